//! Rounds of a test that count only where nothing disturbed them.
//!
//! A machine that stands still for a second or two costs its node the leadership, as it should. What a test promises of a
//! leader that is well cannot be seen then, so the round is run again: only where it was seen what disturbed it, and not for
//! ever.

use super::{Fleet, until};

/// How many rounds may be disturbed, one after the other.
const ROUNDS: usize = 5;

/// What was seen to disturb a round.
#[derive(Debug)]
pub struct Disturbed(String);

/// Who leads, and in which term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Led {
    pub leader: u64,
    pub term: u64,
}

/// What the first round gives that nothing disturbs.
pub async fn quiet<T>(what: &str, mut round: impl AsyncFnMut() -> Result<T, Disturbed>) -> T {
    let mut disturbed = Vec::new();
    while disturbed.len() < ROUNDS {
        match round().await {
            Ok(outcome) => return outcome,
            Err(Disturbed(how)) => {
                println!("{what}, once more: {how}");
                disturbed.push(how);
            }
        }
    }
    panic!("{what}: it never had a quiet round: {disturbed:#?}");
}

impl Disturbed {
    /// By what, as half a sentence.
    pub fn by(how: impl Into<String>) -> Self {
        Self(how.into())
    }
}

impl Led {
    /// The leadership has moved, to whoever leads now.
    pub fn moved_to(self, now: Self) -> Disturbed {
        Disturbed::by(format!(
            "authority node {} leads in term {} and no longer node {} in term {}",
            now.leader, now.term, self.leader, self.term
        ))
    }
}

impl Fleet {
    /// Who leads, once all nodes that run name the same of them.
    pub async fn led(&self) -> Led {
        let running = self.running();
        until("all nodes follow one leader", async || {
            let mut named = Vec::new();
            for id in &running {
                let status = self.status_of(*id).await?;
                named.push(Led { leader: status.leader?, term: status.node.term });
            }
            named.dedup();
            // Right after it has ended, the others may still name the one that led them.
            (named.len() == 1 && running.contains(&named[0].leader)).then(|| named[0])
        })
        .await
    }

    /// Whether the same node still leads in the same term, by what all say who run.
    pub async fn is_still_led(&self, led: Led) -> Result<(), Disturbed> {
        let now = self.led().await;
        assert!(now == led || now.term > led.term, "a term has one leader, and no node goes back: {now:?} after {led:?}");
        if now == led { Ok(()) } else { Err(led.moved_to(now)) }
    }
}
