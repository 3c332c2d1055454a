//! Makes a failure small: the fewest items, and the smallest knobs, that still bring it about.
//!
//! Items are left out by delta debugging, `ddmin` of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
//! Input" (IEEE Transactions on Software Engineering 28(2), 2002): halves first, then ever smaller parts, until no single
//! item can be left out. Before that and after it each knob is halved for as long as the failure stays: before, for then the runs take
//! less time; after, for it may free more items.
//!
//! An oracle tells whether a candidate still fails, mostly by a whole run of a simulation; so the number of runs is bounded,
//! and no candidate is tried twice in a row of reductions.

use std::collections::BTreeSet;

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It shows the failure that is looked for.
    Fails,
    /// It shows no failure.
    Passes,
    /// It makes no sense, or shows another failure.
    Unresolved,
}

/// What was asked to be made small does not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is to be made small does not fail ({0:?}); a failure that comes and goes cannot be reduced")]
pub struct DoesNotFail(pub Verdict);

/// What is left of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk<T> {
    /// The smallest that was found to fail.
    pub smallest: T,
    /// How often the oracle was asked.
    pub runs: usize,
    /// Whether no single item more can be left out, and no knob be halved. Else the runs were used up before.
    pub minimal: bool,
}

/// What a failure is planned by: items that can be left out, and knobs that can be turned down.
pub trait Plan: Clone {
    /// Something that can be left out, such as a fault or an operation.
    type Item: Clone;

    /// All of them, in order.
    fn items(&self) -> Vec<Self::Item>;

    /// The plan with these of its items and no others.
    #[must_use]
    fn with_items(&self, items: Vec<Self::Item>) -> Self;

    /// How many knobs it has: a duration, a number of machines, a rate.
    fn knobs(&self) -> usize;

    /// The plan with a knob halved; none where the knob, counted from 0, is at its least.
    fn halved(&self, knob: usize) -> Option<Self>;
}

/// The smallest plan that still fails, asking the oracle at most `runs_max` times.
///
/// # Errors
/// Where the plan itself does not fail.
pub fn shrink<P: Plan>(plan: &P, runs_max: usize, mut oracle: impl FnMut(&P) -> Verdict) -> Result<Shrunk<P>, DoesNotFail> {
    let mut budget = Budget { runs: 0, runs_max };
    must_fail(budget.run(|| oracle(plan)))?;
    let mut smallest = plan.clone();
    turn_down(&mut smallest, &mut budget, &mut oracle);
    loop {
        let items = smallest.items();
        let kept = ddmin(&items, &mut budget, |candidate| oracle(&smallest.with_items(candidate)));
        if kept.len() < items.len() {
            smallest = smallest.with_items(kept);
        }
        if !turn_down(&mut smallest, &mut budget, &mut oracle) {
            return Ok(Shrunk { smallest, runs: budget.runs, minimal: !budget.is_used_up() });
        }
    }
}

/// The fewest of `items` that still fail, asking the oracle at most `runs_max` times.
///
/// # Errors
/// Where all of them together do not fail.
pub fn fewest<T: Clone>(
    items: &[T],
    runs_max: usize,
    mut oracle: impl FnMut(&[T]) -> Verdict,
) -> Result<Shrunk<Vec<T>>, DoesNotFail> {
    let mut budget = Budget { runs: 0, runs_max };
    must_fail(budget.run(|| oracle(items)))?;
    let smallest = ddmin(items, &mut budget, |candidate| oracle(&candidate));
    Ok(Shrunk { smallest, runs: budget.runs, minimal: !budget.is_used_up() })
}

fn must_fail(verdict: Option<Verdict>) -> Result<(), DoesNotFail> {
    match verdict {
        Some(Verdict::Fails) | None => Ok(()),
        Some(verdict) => Err(DoesNotFail(verdict)),
    }
}

/// Halves each knob for as long as the plan fails. Whether that changed anything.
fn turn_down<P: Plan>(plan: &mut P, budget: &mut Budget, oracle: &mut impl FnMut(&P) -> Verdict) -> bool {
    let mut changed = false;
    for knob in 0..plan.knobs() {
        while let Some(candidate) = plan.halved(knob) {
            if budget.run(|| oracle(&candidate)) != Some(Verdict::Fails) {
                break;
            }
            *plan = candidate;
            changed = true;
        }
    }
    changed
}

/// How many runs there may be, and were.
struct Budget {
    runs: usize,
    runs_max: usize,
}

impl Budget {
    /// Asks the oracle, unless the runs are used up.
    fn run(&mut self, ask: impl FnOnce() -> Verdict) -> Option<Verdict> {
        if self.is_used_up() {
            return None;
        }
        self.runs += 1;
        Some(ask())
    }

    const fn is_used_up(&self) -> bool {
        self.runs >= self.runs_max
    }
}

/// The items of a list that fails which are left when nothing more can be left out.
fn ddmin<T: Clone>(items: &[T], budget: &mut Budget, mut oracle: impl FnMut(Vec<T>) -> Verdict) -> Vec<T> {
    let chosen = |indices: &[usize]| indices.iter().map(|index| items[*index].clone()).collect::<Vec<_>>();
    let mut known_not_to_fail = BTreeSet::new();
    let mut fails = |candidate: &[usize]| {
        if known_not_to_fail.contains(candidate) {
            return false;
        }
        let fails = budget.run(|| oracle(chosen(candidate))) == Some(Verdict::Fails);
        if !fails {
            known_not_to_fail.insert(candidate.to_vec());
        }
        fails
    };
    let mut kept: Vec<usize> = (0..items.len()).collect();
    let mut parts = 2;
    while !kept.is_empty() {
        parts = parts.min(kept.len());
        let ranges: Vec<_> = (0..parts).map(|part| part * kept.len() / parts..(part + 1) * kept.len() / parts).collect();
        let alone = ranges.iter().map(|range| kept[range.clone()].to_vec());
        if let Some(part) = alone.filter(|part| part.len() < kept.len()).find(|part| fails(part)) {
            kept = part;
            parts = 2;
            continue;
        }
        let mut rests = ranges.iter().map(|range| [&kept[..range.start], &kept[range.end..]].concat());
        if let Some(rest) = rests.find(|rest| fails(rest)) {
            kept = rest;
            parts = (parts - 1).max(2);
            continue;
        }
        if parts == kept.len() {
            break;
        }
        parts *= 2;
    }
    chosen(&kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails where all of `culprits` are there.
    fn together<'c>(culprits: &'c [u32], asked: &'c mut Vec<Vec<u32>>) -> impl FnMut(&[u32]) -> Verdict + 'c {
        move |items| {
            asked.push(items.to_vec());
            if culprits.iter().all(|culprit| items.contains(culprit)) { Verdict::Fails } else { Verdict::Passes }
        }
    }

    fn numbers(count: u32) -> Vec<u32> {
        (0..count).collect()
    }

    #[test]
    fn what_fails_together_is_what_is_left() {
        let cases = [&[][..], &[3], &[3, 17], &[0, 31], &[3, 17, 30], &[1, 2, 3, 4, 5, 6]];
        let runs = cases.map(|culprits| {
            let mut asked = Vec::new();
            let shrunk = fewest(&numbers(32), 1_000, together(culprits, &mut asked)).expect("it fails");
            assert_eq!((&shrunk.smallest[..], shrunk.minimal), (culprits, true));
            let distinct: BTreeSet<_> = asked.iter().collect();
            assert_eq!((shrunk.runs, distinct.len()), (asked.len(), asked.len()), "nothing is tried twice");
            shrunk.runs
        });
        // The more culprits there are, and the wider apart, the more runs it takes.
        assert_eq!(runs, [7, 9, 32, 31, 57, 34]);
    }

    #[test]
    fn no_single_item_more_can_be_left_out() {
        // Fails with an odd number of items, or with any five of them: local minima.
        let odd = |items: &[u32]| if items.len() >= 5 || items.len() == 3 { Verdict::Fails } else { Verdict::Passes };
        let shrunk = fewest(&numbers(40), 10_000, odd).expect("it fails");
        assert!(shrunk.minimal);
        assert_eq!(odd(&shrunk.smallest), Verdict::Fails);
        for left_out in 0..shrunk.smallest.len() {
            let mut fewer = shrunk.smallest.clone();
            fewer.remove(left_out);
            assert_eq!(odd(&fewer), Verdict::Passes);
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_taken_for_the_failure() {
        // Item 5 does nothing without item 4 before it.
        let oracle = |items: &[u32]| match (items.contains(&4), items.contains(&5)) {
            (true, true) => Verdict::Fails,
            (false, true) => Verdict::Unresolved,
            (_, false) => Verdict::Passes,
        };
        assert_eq!(fewest(&numbers(16), 1_000, oracle).expect("it fails").smallest, [4, 5]);
    }

    #[test]
    fn runs_are_bounded_and_what_was_found_until_then_fails() {
        for runs_max in 1..40 {
            let mut asked = Vec::new();
            let shrunk = fewest(&numbers(32), runs_max, together(&[3, 17], &mut asked)).expect("it fails");
            assert!([3, 17].iter().all(|culprit| shrunk.smallest.contains(culprit)), "{shrunk:?}");
            assert_eq!(shrunk.minimal, runs_max > 32, "{shrunk:?}");
            assert_eq!(shrunk.runs, runs_max.min(32));
        }
    }

    #[test]
    fn what_does_not_fail_is_not_made_small() {
        for verdict in [Verdict::Passes, Verdict::Unresolved] {
            assert_eq!(fewest(&numbers(8), 100, |_| verdict), Err(DoesNotFail(verdict)));
        }
    }

    /// Machines, a duration, and faults at some of its seconds.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Sketch {
        faults: Vec<u32>,
        machines: u32,
        seconds: u32,
    }

    impl Plan for Sketch {
        type Item = u32;
        fn items(&self) -> Vec<u32> {
            self.faults.clone()
        }
        fn with_items(&self, faults: Vec<u32>) -> Self {
            Self { faults, ..self.clone() }
        }
        fn knobs(&self) -> usize {
            2
        }
        fn halved(&self, knob: usize) -> Option<Self> {
            let halved = match knob {
                0 => Self { machines: self.machines / 2, ..self.clone() },
                _ => Self { seconds: self.seconds / 2, ..self.clone() },
            };
            (halved.machines > 0 && halved.seconds > 0).then_some(halved)
        }
    }

    #[test]
    fn knobs_are_turned_down_and_may_free_items() {
        // With many machines it takes two faults, with few of them one; and it takes five seconds.
        let mut runs = 0;
        let oracle = |plan: &Sketch| {
            runs += 1;
            let enough = if plan.machines > 4 { plan.faults.len() >= 2 } else { plan.faults.contains(&20) };
            if enough && plan.faults.contains(&20) && plan.seconds >= 5 { Verdict::Fails } else { Verdict::Passes }
        };
        let plan = Sketch { faults: numbers(24), machines: 30, seconds: 60 };
        let shrunk = shrink(&plan, 1_000, oracle).expect("it fails");
        assert_eq!(shrunk.smallest, Sketch { faults: vec![20], machines: 1, seconds: 7 });
        assert!(shrunk.minimal);
        assert_eq!(shrunk.runs, runs);
    }

    #[test]
    fn a_plan_that_runs_out_of_runs_says_so() {
        let fails = |plan: &Sketch| if plan.faults.contains(&20) { Verdict::Fails } else { Verdict::Passes };
        let plan = Sketch { faults: numbers(24), machines: 30, seconds: 60 };
        for runs_max in 1..20 {
            let shrunk = shrink(&plan, runs_max, fails).expect("it fails");
            assert_eq!(fails(&shrunk.smallest), Verdict::Fails);
            assert_eq!(shrunk.runs, runs_max.min(shrunk.runs));
            assert_eq!(shrunk.minimal, shrunk.runs < runs_max);
        }
        let passes = shrink(&plan, 10, |_| Verdict::Passes);
        assert_eq!(passes, Err(DoesNotFail(Verdict::Passes)));
    }
}
