//! Whether the authority still has the server. The server's own files do not show it: one that did not run when it was removed, or
//! when another machine got its place, was never told.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bursar_agent::Membership;
use bursar_domain::{AuthorityNodeId, ServerId};
use bursar_net::{Address, DialError, Dialer, FRAME_BYTES_MAX, Lane, Member, RefusalCode};

use super::PORT_PATIENCE;
use crate::{World, doctor::report::Finding};

/// What the authority nodes say to the server's own certificate, each with its address.
#[derive(Default)]
pub(super) struct Standing {
    /// Those that let it in.
    welcoming: Vec<String>,
    /// Those that say that it is none of the fleet's any more.
    excluding: Vec<String>,
    /// Those of which nothing is heard, or nothing that settles it, and why.
    undecided: Vec<String>,
}

impl Standing {
    /// Calls each node as the server does, and says nothing behind the greeting.
    pub async fn asked(world: &World, membership: &Membership, nodes: &BTreeMap<AuthorityNodeId, Address>) -> Self {
        let mut standing = Self::default();
        let connector = match world.transport.connect_to_members(&membership.credentials) {
            Ok(connector) => connector,
            Err(error) => {
                standing.undecided.push(error.to_string());
                return standing;
            }
        };
        let network = Arc::clone(&world.network);
        let dialer = Dialer { network, connector, me: membership.me.clone(), frame_bytes_max: FRAME_BYTES_MAX };
        for (node, address) in nodes {
            let called = dialer.dial(address, Member::authority(node.0), None, Lane::Control, PORT_PATIENCE).await;
            standing.note(format!("{node} at {address}"), called.map(drop));
        }
        standing
    }

    fn note(&mut self, node: String, called: Result<(), DialError>) {
        match called {
            Ok(()) => self.welcoming.push(node),
            Err(DialError::Refused { refusal, .. }) if refusal.code == RefusalCode::RemovedNode => self.excluding.push(node),
            Err(error) => self.undecided.push(format!("{node} ({error})")),
        }
    }

    /// What is to be told of it. `was_excluded` is what the server itself was told when it ran last.
    pub fn finding(&self, server: ServerId, was_excluded: bool, runs: bool, root: &Path) -> Finding {
        const WHAT: &str = "authority";
        let (number, root) = (server.0, root.display());
        let excluded = |who: &str| {
            Finding::bad(
                WHAT,
                format!(
                    "{who} that {server} was removed, or its place given to another machine. Archives stay on its disks; this data \
                     directory is of no use any more, and may be removed. To use the machine again, make a new server with `bursar \
                     storage-server init` in an empty directory"
                ),
            )
        };
        // A node that lags behind may still let in whom another one has seen removed.
        if !self.excluding.is_empty() {
            return excluded(&format!("{} says", self.excluding.join(", ")));
        }
        if !self.welcoming.is_empty() {
            let welcoming = self.welcoming.join(", ");
            let next = if runs {
                format!("whether the running server is heard cannot be seen from here: `bursar server show {number}` tells")
            } else {
                format!("the server is not running: `bursar storage-server run --dir {root}` starts it")
            };
            return Finding::sound(WHAT, format!("{server} is let in by {welcoming}; {next}"));
        }
        if was_excluded {
            return excluded("no authority node answers, and when the server ran last the authority told it");
        }
        let works_on =
            if runs { " The server works on with what it knows; since when it hears nobody, its log tells." } else { "" };
        let undecided = self.undecided.join(", ");
        Finding::warning(
            WHAT,
            format!(
                "no authority node lets the server in: {undecided}.{works_on} Whether the authority still has {server} is not known \
                 here: `bursar server show {number}` tells, where you administer the fleet. See whether the nodes run, and whether this \
                 machine reaches them"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use bursar_net::Refusal;

    use super::*;

    fn address() -> Address {
        Address::new("10.0.0.1", 4288).expect("an address")
    }

    fn refused(code: RefusalCode) -> Result<(), DialError> {
        let refusal = Refusal { code, reason: "its place is being given away".into(), remedy: "wait".into() };
        Err(DialError::Refused { address: address(), refusal })
    }

    fn silent() -> Result<(), DialError> {
        Err(DialError::Unreachable { address: address(), source: io::ErrorKind::ConnectionRefused.into() })
    }

    fn finding(said: Vec<Result<(), DialError>>, was_excluded: bool, runs: bool) -> Finding {
        let mut standing = Standing::default();
        for (number, called) in (1..).zip(said) {
            standing.note(format!("authority node {number}"), called);
        }
        standing.finding(ServerId(3), was_excluded, runs, Path::new("/srv/store"))
    }

    #[test]
    fn a_server_that_any_node_refuses_as_removed_is_not_healthy_and_its_data_stay() {
        let found = finding(vec![Ok(()), refused(RefusalCode::RemovedNode)], false, true);
        assert!(!found.is_sound());
        let told = found.detail();
        assert!(told.starts_with("authority node 2 says that server 3 was removed, or its place given to another"), "{told}");
        assert!(told.contains("Archives stay on its disks") && told.contains("`bursar storage-server init`"), "{told}");
    }

    #[test]
    fn what_the_server_was_told_holds_until_a_node_lets_it_in() {
        assert!(!finding(vec![silent(), silent()], true, false).is_sound());
        assert!(finding(vec![silent(), Ok(())], true, true).is_sound());
    }

    #[test]
    fn where_nobody_settles_it_that_is_said_and_why() {
        for runs in [false, true] {
            let found = finding(vec![silent(), refused(RefusalCode::Unavailable)], false, runs);
            assert!(found.is_sound() && found.is_warning(), "{}", found.detail());
            let told = found.detail();
            assert!(told.contains("authority node 1 (") && told.contains("its place is being given away"), "{told}");
            assert!(
                told.contains("Whether the authority still has server 3 is not known here: `bursar server show 3`"),
                "{told}"
            );
            assert_eq!(told.contains("works on with what it knows"), runs, "{told}");
        }
    }

    #[test]
    fn a_server_that_is_let_in_is_not_called_heard() {
        let running = finding(vec![Ok(()), silent()], false, true);
        assert!(running.is_sound() && !running.is_warning());
        assert!(
            running.detail().contains("let in by authority node 1; whether the running server is heard"),
            "{}",
            running.detail()
        );
        let stopped = finding(vec![Ok(())], false, false);
        assert!(stopped.detail().ends_with("`bursar storage-server run --dir /srv/store` starts it"), "{}", stopped.detail());
    }
}
