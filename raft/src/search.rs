//! Looking for the leader where this node does not know who leads.

use crate::leadership::Leader;

/// Whom to ask next. A node that has moved, or that was away for long, hears nothing of the leader, who does not know where it
/// is; but it knows where the others were, and any of them knows more.
#[derive(Debug, Default)]
pub(crate) struct Search {
    told: Option<u64>,
    attempts: usize,
}

impl Search {
    /// Who is to be asked: the leader that this node knows, else the one it was told of, else the others in turn.
    pub(crate) fn whom(&mut self, known: Leader, others: impl FnOnce() -> Vec<u64>) -> Leader {
        if known != Leader::Unknown {
            return known;
        }
        if let Some(told) = self.told.take() {
            return Leader::Other(told);
        }
        let others = others();
        self.attempts += 1;
        others.get(self.attempts % others.len().max(1)).map_or(Leader::Unknown, |other| Leader::Other(*other))
    }

    /// Somebody said who leads, or that it does not know either.
    pub(crate) fn was_told(&mut self, leader: Option<u64>) {
        self.told = leader;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_are_asked_in_turn_until_one_knows() {
        let mut search = Search::default();
        let others = || vec![4, 7];
        assert_eq!(search.whom(Leader::Own, others), Leader::Own);
        let asked = [search.whom(Leader::Unknown, others), search.whom(Leader::Unknown, others)];
        assert_eq!(asked, [Leader::Other(7), Leader::Other(4)]);
        search.was_told(Some(9));
        assert_eq!(search.whom(Leader::Other(2), others), Leader::Other(2));
        assert_eq!(search.whom(Leader::Unknown, others), Leader::Other(9));
        assert_eq!(search.whom(Leader::Unknown, others), Leader::Other(7));
        assert_eq!(search.whom(Leader::Unknown, Vec::new), Leader::Unknown);
    }
}
