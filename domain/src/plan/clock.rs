//! Whether the leader's clock is to be trusted, by the clocks of its quorum, and who leads better where it is not.

use std::collections::BTreeMap;

use crate::ids::AuthorityNodeId;

/// How far the leader's clock may be off those of its quorum, in milliseconds.
pub const SKEW_MS_MAX: u64 = 5_000;

/// Clocks, as the leader sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// How many nodes vote, the leader among them.
    pub voters: usize,
    /// How far the clocks of other voters are ahead of the leader's, in milliseconds; absent where they do not tell.
    pub ahead_ms: BTreeMap<AuthorityNodeId, i64>,
}

/// Who may lead instead: the voters whose clocks are as near to the median of the quorum's. Nobody where the leader's own clock
/// is near enough, or where too few tell. Of two clocks nobody can say which is wrong.
pub fn heirs(observed: &Observed) -> Vec<AuthorityNodeId> {
    let Observed { voters, ahead_ms } = observed;
    let mut clocks: Vec<i64> = ahead_ms.values().copied().chain([0]).collect();
    if clocks.len() <= voters / 2 {
        return Vec::new();
    }
    clocks.sort_unstable();
    // Of an even number there are two in the middle: who is near one of them leads well.
    let middle = [clocks[(clocks.len() - 1) / 2], clocks[clocks.len() / 2]];
    let is_near = |clock: i64| middle.iter().any(|median| median.abs_diff(clock) <= SKEW_MS_MAX);
    if is_near(0) {
        return Vec::new();
    }
    ahead_ms.iter().filter(|(_, ahead)| is_near(**ahead)).map(|(node, _)| *node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: [u64; 0] = [];

    fn heirs_of(voters: usize, ahead_ms: &[i64]) -> Vec<u64> {
        let ahead_ms = (2..).zip(ahead_ms).map(|(node, ahead)| (AuthorityNodeId(node), *ahead)).collect();
        heirs(&Observed { voters, ahead_ms }).into_iter().map(|node| node.0).collect()
    }

    #[test]
    fn a_leader_whose_clock_is_far_off_gives_way_to_any_that_is_near_the_middle() {
        assert_eq!(heirs_of(3, &[6_000, 6_100]), [2, 3]);
        assert_eq!(heirs_of(3, &[-9_000, -6_000]), [2, 3]);
        assert_eq!(heirs_of(3, &[60_000, 6_000]), [3], "the other one's clock is wrong, too");
        assert_eq!(heirs_of(5, &[8_000, 7_000, 9_000, 60_000]), [2, 3, 4]);
        assert_eq!(heirs_of(3, &[i64::MIN, i64::MIN]), [2, 3]);
    }

    #[test]
    fn a_leader_whose_clock_is_near_the_middle_stays() {
        assert_eq!(heirs_of(3, &[5_000, 5_000]), NOBODY);
        assert_eq!(heirs_of(3, &[90_000, 0]), NOBODY, "it is the other's clock that is wrong");
        assert_eq!(heirs_of(3, &[90_000, -90_000]), NOBODY);
        assert_eq!(heirs_of(4, &[90_000, 90_000, 4_000]), NOBODY, "two are with it, and two are not");
    }

    #[test]
    fn too_few_clocks_tell_nothing() {
        assert_eq!(heirs_of(1, &[]), NOBODY);
        assert_eq!(heirs_of(2, &[90_000]), NOBODY, "one of two is wrong, and nobody knows which");
        assert_eq!(heirs_of(3, &[90_000]), NOBODY);
        assert_eq!(heirs_of(5, &[90_000]), NOBODY);
    }
}
