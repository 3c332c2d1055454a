//! A node whose stores are others than the ones that it was admitted on is nobody: its number stands for promises that it has
//! forgotten. The others let it in nowhere, nothing of the log comes to it, and it votes for nobody.
//!
//! Who does not know yet that the number was given lets it in all the same, and is right to: its certificate says that it was.

use std::collections::BTreeMap;

use super::{Broken, broken};
use crate::fleet::Fleet;

const NAME: &str = "no-second-life";

/// What each node was seen to know, and how far each second life had come.
#[derive(Debug, Default)]
pub struct SecondLives {
    others: BTreeMap<String, Other>,
    /// How many connections each start of a process had made.
    connections: BTreeMap<(String, u32), u64>,
}

/// A node that goes on under its old number, with other stores.
#[derive(Clone, Debug)]
struct SecondLife {
    process: String,
    start: u32,
    id: u64,
    /// How many connections the others have taken from it.
    connections: u64,
    last_log: Option<u64>,
    term: u64,
}

/// Another node that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Other {
    start: u32,
    /// It knows of all numbers below this one that they were given.
    next_number: u64,
}

impl SecondLives {
    pub(super) fn look(&mut self, fleet: &Fleet) -> Result<(), Broken> {
        let running = fleet.authority_nodes.iter().filter_map(|member| Some((member, member.running()?)));
        let others = running.map(|(member, (start, node))| {
            (member.place.process.clone(), Other { start, next_number: node.latest().next().authority_node })
        });
        let second_lives = fleet.authority_nodes.iter().filter_map(|member| Some((member, member.second_life()?)));
        let second_lives = second_lives.map(|(member, (start, node))| {
            let status = node.status();
            SecondLife {
                process: member.place.process.clone(),
                start,
                id: status.id.0,
                connections: node.counters().connections_made,
                last_log: status.last_log,
                term: status.term,
            }
        });
        self.judge(second_lives.collect(), others.collect())
    }

    fn judge(&mut self, second_lives: Vec<SecondLife>, others: BTreeMap<String, Other>) -> Result<(), Broken> {
        for SecondLife { process, start, id, connections, last_log, term } in second_lives {
            let told =
                |what: String| Err(broken(NAME, format!("{process} lost its stores, and under its old number {id} {what}")));
            if let Some(entry) = last_log {
                return told(format!("was sent the log up to entry {entry}"));
            }
            if term > 0 {
                return told(format!("takes part in term {term}"));
            }
            let before = self.connections.insert((process.clone(), start), connections).unwrap_or(0);
            if connections > before && self.all_knew(id, &others) {
                return told("was let in by another node".to_owned());
            }
        }
        self.others = others;
        Ok(())
    }

    /// Whether all who run now ran without a break since the last look, and knew a number by then.
    fn all_knew(&self, id: u64, others: &BTreeMap<String, Other>) -> bool {
        others.iter().all(|(process, now)| {
            self.others.get(process).is_some_and(|before| before.start == now.start && id < before.next_number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second_life() -> SecondLife {
        SecondLife { process: "authority-3".into(), start: 2, id: 3, connections: 0, last_log: None, term: 0 }
    }

    fn others(start: u32, next_number: u64) -> BTreeMap<String, Other> {
        [("authority-1".to_owned(), Other { start, next_number })].into()
    }

    fn after_a_look(others: BTreeMap<String, Other>) -> SecondLives {
        let mut looked = SecondLives::default();
        looked.judge(vec![second_life()], others).unwrap();
        looked
    }

    #[test]
    fn who_is_refused_by_all_and_hears_nothing_is_no_second_life() {
        let mut looked = after_a_look(others(1, 4));
        assert_eq!(looked.judge(vec![second_life()], others(1, 4)), Ok(()));
    }

    #[test]
    fn who_is_let_in_by_one_who_knows_better_has_a_second_life() {
        let let_in = || vec![SecondLife { connections: 1, ..second_life() }];
        let broken = after_a_look(others(1, 4)).judge(let_in(), others(1, 4)).unwrap_err();
        assert_eq!(broken.invariant, NAME);
        assert!(broken.detail.ends_with("was let in by another node"), "{broken}");
        // One who does not know of the number yet, or may not have when it had just been started, does nothing wrong.
        assert_eq!(after_a_look(others(1, 3)).judge(let_in(), others(1, 4)), Ok(()));
        assert_eq!(after_a_look(others(1, 4)).judge(let_in(), others(2, 4)), Ok(()));
        assert_eq!(after_a_look(BTreeMap::new()).judge(let_in(), others(1, 4)), Ok(()));
    }

    #[test]
    fn who_is_sent_the_log_or_votes_has_a_second_life_whoever_knows_what() {
        for (alive, says) in [
            (SecondLife { last_log: Some(7), ..second_life() }, "was sent the log up to entry 7"),
            (SecondLife { term: 2, ..second_life() }, "takes part in term 2"),
        ] {
            let broken = SecondLives::default().judge(vec![alive], others(1, 3)).unwrap_err();
            assert!(broken.detail.ends_with(says), "{broken}");
        }
    }
}
