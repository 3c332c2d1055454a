//! Nobody goes on leading over a restart: a node that starts is a follower, and has to be voted for anew (Ongaro and Ousterhout 2014,
//! section 5.2). Its quorum may have turned to another meanwhile.

use std::collections::BTreeMap;

use bursar_raft::Role;

use super::told::{Told, What};
use super::{Broken, broken};
use crate::fleet::Fleet;

/// When each process led.
#[derive(Debug, Default)]
pub struct Terms {
    led: BTreeMap<String, Led>,
}

/// The latest terms in which a process led; 0 where it has not.
#[derive(Debug, Default)]
struct Led {
    /// In which it was elected.
    elected: u64,
    /// In which it was seen to lead.
    seen: u64,
    /// In which it led before it was started last.
    before_its_start: u64,
}

impl Terms {
    pub(super) fn look(&mut self, fleet: &Fleet, told: &[Told]) -> Result<(), Broken> {
        for told in told {
            let led = self.led.entry(told.process.clone()).or_default();
            match told.what {
                What::Found(_) => led.starts(),
                What::Elected { term, .. } => led.is_elected(term).map_err(|detail| leads_on(&told.process, &detail))?,
                What::Durable(_) => {}
            }
        }
        for member in &fleet.authority_nodes {
            let Some((_, node)) = member.running() else { continue };
            let (status, process) = (node.status(), &member.place.process);
            if status.role == Role::Leader {
                let led = self.led.entry(process.clone()).or_default();
                led.is_seen_to_lead(status.term).map_err(|detail| leads_on(process, &detail))?;
            }
        }
        Ok(())
    }
}

impl Led {
    fn starts(&mut self) {
        self.before_its_start = self.elected.max(self.seen);
    }

    fn is_elected(&mut self, term: u64) -> Result<(), String> {
        if term <= self.elected {
            return Err(format!("was elected in term {}, and is again in term {term}", self.elected));
        }
        self.elected = term;
        Ok(())
    }

    fn is_seen_to_lead(&mut self, term: u64) -> Result<(), String> {
        if term <= self.before_its_start {
            return Err(format!("was started again, and leads on in term {term}"));
        }
        self.seen = term.max(self.seen);
        Ok(())
    }
}

fn leads_on(process: &str, detail: &str) -> Broken {
    broken("no-leader-restored", format!("{process} {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_started_again_leads_in_a_later_term_only() {
        let mut led = Led::default();
        led.starts();
        assert_eq!(led.is_elected(2).and_then(|()| led.is_seen_to_lead(2)), Ok(()));
        assert_eq!(led.is_seen_to_lead(2), Ok(()), "it goes on");
        led.starts();
        assert_eq!(led.is_seen_to_lead(2), Err("was started again, and leads on in term 2".to_owned()));
        assert_eq!(led.is_elected(3).and_then(|()| led.is_seen_to_lead(3)), Ok(()));
    }

    #[test]
    fn an_election_that_nobody_saw_counts_too() {
        let mut led = Led::default();
        assert_eq!(led.is_elected(2), Ok(()));
        led.starts();
        assert!(led.is_seen_to_lead(2).is_err());
        assert_eq!(led.is_elected(2), Err("was elected in term 2, and is again in term 2".to_owned()));
    }
}
