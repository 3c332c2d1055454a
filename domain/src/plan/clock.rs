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

/// Whom the leadership is to be given to: the voter whose clock is nearest to the median of the quorum's. None where the
/// leader's own clock is near enough, or where too few tell. Of two clocks nobody can say which is wrong.
pub fn heir(observed: &Observed) -> Option<AuthorityNodeId> {
    let Observed { voters, ahead_ms } = observed;
    let mut clocks: Vec<i64> = ahead_ms.values().copied().chain([0]).collect();
    if clocks.len() <= voters / 2 {
        return None;
    }
    clocks.sort_unstable();
    // Of an even number there are two in the middle: both must be far off.
    let middle = [clocks[(clocks.len() - 1) / 2], clocks[clocks.len() / 2]];
    if middle.iter().any(|clock| clock.unsigned_abs() <= SKEW_MS_MAX) {
        return None;
    }
    let nearest = ahead_ms.iter().min_by_key(|(_, ahead)| middle.map(|clock| clock.abs_diff(**ahead)).into_iter().min());
    nearest.map(|(node, _)| *node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heir_of(voters: usize, ahead_ms: &[i64]) -> Option<u64> {
        let ahead_ms = (2..).zip(ahead_ms).map(|(node, ahead)| (AuthorityNodeId(node), *ahead)).collect();
        heir(&Observed { voters, ahead_ms }).map(|node| node.0)
    }

    #[test]
    fn a_leader_whose_clock_is_far_off_gives_way_to_the_one_in_the_middle() {
        assert_eq!(heir_of(3, &[6_000, 6_100]), Some(2));
        assert_eq!(heir_of(3, &[-9_000, -6_000]), Some(3));
        assert_eq!(heir_of(5, &[8_000, 7_000, 9_000, 60_000]), Some(2));
        assert_eq!(heir_of(3, &[i64::MIN, i64::MIN]), Some(2));
    }

    #[test]
    fn a_leader_whose_clock_is_near_the_middle_stays() {
        assert_eq!(heir_of(3, &[5_000, 5_000]), None);
        assert_eq!(heir_of(3, &[90_000, 0]), None, "it is the other's clock that is wrong");
        assert_eq!(heir_of(3, &[90_000, -90_000]), None);
        assert_eq!(heir_of(4, &[90_000, 90_000, 4_000]), None, "two are with it, and two are not");
    }

    #[test]
    fn too_few_clocks_tell_nothing() {
        assert_eq!(heir_of(1, &[]), None);
        assert_eq!(heir_of(2, &[90_000]), None, "one of two is wrong, and nobody knows which");
        assert_eq!(heir_of(3, &[90_000]), None);
        assert_eq!(heir_of(5, &[90_000]), None);
    }
}
