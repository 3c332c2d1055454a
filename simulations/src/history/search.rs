//! Is there an order? A search for linearizations of one register.
//!
//! The algorithm is that of Wing and Gong, "Testing and Verifying Concurrent Objects" (Journal of Parallel and Distributed
//! Computing 17, 1993), with the memory that Lowe gave it, "Testing for Linearizability" (Concurrency and Computation 29(4),
//! 2017): which operations have taken effect, with what the register holds then, is never looked at twice. The question is
//! NP-complete, so a search may be ended by its limits; it then says nothing, and least of all that all is well.

use std::collections::HashSet;

/// What a register holds; what names stand for which number is the caller's business.
pub(super) type Value = u32;

/// An operation on the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// When it was asked for.
    pub(super) called: u64,
    /// When it was answered; none where it was not, and may take effect at any time from then on, or never.
    pub(super) answered: Option<u64>,
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Sets the register.
    Write(Value),
    /// Has seen this.
    Read(Value),
}

/// How long a search may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most operations that one object may have.
    pub operations_max: usize,
    /// The most steps: attempts to let an operation take effect next.
    pub steps_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { operations_max: 300, steps_max: 1_000_000 }
    }
}

/// What a search found, and in how many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) verdict: Verdict,
    pub(super) steps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is an order that explains everything.
    Linearizable,
    /// There is none.
    Contradiction,
    /// The search reached its limits.
    Unknown,
}

/// Looks for an order of `accesses` in which each takes effect between its call and its answer and each read sees the value
/// written last, the first ones `initial`.
pub(super) fn search(accesses: &[Access], initial: Value, limits: Limits) -> Found {
    if accesses.len() > limits.operations_max {
        return Found { verdict: Verdict::Unknown, steps: 0 };
    }
    let mut timeline = Timeline::of(accesses);
    let mut open = accesses.iter().filter(|access| access.answered.is_some()).count();
    let mut held = initial;
    let mut effective = vec![0_u64; accesses.len().div_ceil(64)].into_boxed_slice();
    let mut looked_at: HashSet<(Box<[u64]>, Value)> = HashSet::new();
    // Which operations took effect, in this order, and what the register held before each.
    let mut order: Vec<(usize, Value)> = Vec::new();
    let mut steps = 0;
    let mut at = timeline.first();
    while open > 0 {
        match timeline.moments[at] {
            Event::Call(access) => {
                steps += 1;
                if steps > limits.steps_max {
                    return Found { verdict: Verdict::Unknown, steps };
                }
                let next = match accesses[access].action {
                    Action::Write(value) => Some(value),
                    Action::Read(value) => (value == held).then_some(value),
                };
                flip(&mut effective, access);
                match next {
                    Some(next) if looked_at.insert((effective.clone(), next)) => {
                        order.push((access, held));
                        held = next;
                        open -= usize::from(accesses[access].answered.is_some());
                        timeline.take_out(access);
                        at = timeline.first();
                    }
                    _ => {
                        flip(&mut effective, access);
                        at = timeline.next[at];
                    }
                }
            }
            // Something was answered that has not taken effect: an earlier choice was wrong.
            Event::Answer => {
                let Some((access, before)) = order.pop() else { return Found { verdict: Verdict::Contradiction, steps } };
                flip(&mut effective, access);
                held = before;
                open += usize::from(accesses[access].answered.is_some());
                timeline.put_back(access);
                at = timeline.next[timeline.call_of[access]];
            }
            Event::Edge => unreachable!("while something answered has no effect yet, its answer stands before the end"),
        }
    }
    Found { verdict: Verdict::Linearizable, steps }
}

fn flip(bits: &mut [u64], index: usize) {
    bits[index / 64] ^= 1 << (index % 64);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Call(usize),
    Answer,
    /// Before the first, and behind the last.
    Edge,
}

/// Calls and answers in the order of time, as a list from which operations are taken out, and put back in reverse.
struct Timeline {
    moments: Vec<Event>,
    next: Vec<usize>,
    previous: Vec<usize>,
    call_of: Vec<usize>,
    answer_of: Vec<Option<usize>>,
}

impl Timeline {
    fn of(accesses: &[Access]) -> Self {
        let calls = accesses.iter().enumerate().map(|(index, access)| (access.called, false, index));
        let answers = accesses.iter().enumerate().filter_map(|(index, access)| Some((access.answered?, true, index)));
        let mut sorted: Vec<_> = calls.chain(answers).collect();
        // Of one moment, calls come first: what is sent in the moment of an answer is not sent after it.
        sorted.sort_unstable();
        let mut moments = vec![Event::Edge];
        let (mut call_of, mut answer_of) = (vec![0; accesses.len()], vec![None; accesses.len()]);
        for (_, is_answer, access) in sorted {
            if is_answer {
                answer_of[access] = Some(moments.len());
                moments.push(Event::Answer);
            } else {
                call_of[access] = moments.len();
                moments.push(Event::Call(access));
            }
        }
        moments.push(Event::Edge);
        let last = moments.len() - 1;
        let next = (1..=last + 1).map(|index| index.min(last)).collect();
        let previous = (0..=last).map(|index: usize| index.saturating_sub(1)).collect();
        Self { moments, next, previous, call_of, answer_of }
    }

    fn first(&self) -> usize {
        self.next[0]
    }

    fn take_out(&mut self, access: usize) {
        for moment in [Some(self.call_of[access]), self.answer_of[access]].into_iter().flatten() {
            self.next[self.previous[moment]] = self.next[moment];
            self.previous[self.next[moment]] = self.previous[moment];
        }
    }

    fn put_back(&mut self, access: usize) {
        for moment in [self.answer_of[access], Some(self.call_of[access])].into_iter().flatten() {
            self.next[self.previous[moment]] = moment;
            self.previous[self.next[moment]] = moment;
        }
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain_testing::Dice;

    use super::*;

    const LIMITS: Limits = Limits { operations_max: 300, steps_max: 1_000_000 };

    fn write(value: Value, called: u64, answered: impl Into<Option<u64>>) -> Access {
        Access { called, answered: answered.into(), action: Action::Write(value) }
    }

    fn read(value: Value, called: u64, answered: u64) -> Access {
        Access { called, answered: Some(answered), action: Action::Read(value) }
    }

    fn verdict(accesses: &[Access]) -> Verdict {
        search(accesses, 0, LIMITS).verdict
    }

    #[test]
    fn what_one_client_does_in_turn_has_one_order() {
        let sound = [read(0, 1, 2), write(1, 3, 4), read(1, 5, 6), write(2, 7, 8), read(2, 9, 10)];
        assert_eq!(verdict(&sound), Verdict::Linearizable);
        for (at, value) in [(0, 1), (2, 0), (2, 2), (4, 1), (4, 0)] {
            let mut stale = sound;
            stale[at].action = Action::Read(value);
            assert_eq!(verdict(&stale), Verdict::Contradiction, "read {at} sees {value}");
        }
    }

    #[test]
    fn what_happens_at_once_has_any_order() {
        for seen in [0, 1, 2] {
            assert_eq!(verdict(&[write(1, 1, 10), write(2, 1, 10), read(seen, 5, 6)]), Verdict::Linearizable);
        }
        // Two readers do not see the values come in different orders.
        let crossed = [write(1, 1, 10), write(2, 1, 10), read(1, 2, 3), read(2, 4, 5), read(1, 6, 7)];
        assert_eq!(verdict(&crossed), Verdict::Contradiction);
        // What is called in the moment of an answer was not called after it.
        assert_eq!(verdict(&[write(1, 1, 5), read(0, 5, 6)]), Verdict::Linearizable);
        assert_eq!(verdict(&[write(1, 1, 5), read(0, 6, 7)]), Verdict::Contradiction);
    }

    #[test]
    fn what_was_never_answered_may_happen_at_any_time_or_never() {
        assert_eq!(verdict(&[write(1, 1, None), read(0, 2, 3)]), Verdict::Linearizable);
        assert_eq!(verdict(&[write(1, 1, None), read(0, 2, 3), read(1, 4, 5)]), Verdict::Linearizable);
        assert_eq!(verdict(&[write(1, 1, None), read(1, 2, 3), read(0, 4, 5)]), Verdict::Contradiction, "it happens once");
        assert_eq!(verdict(&[read(1, 1, 2), write(1, 3, None)]), Verdict::Contradiction, "not before it was sent");
    }

    #[test]
    fn a_search_that_takes_too_long_says_that_it_does_not_know() {
        // Writes at once, and a read of what nobody wrote: every subset of the writes is to be looked at.
        let mut hard: Vec<_> = (1..=16).map(|value| write(value, 1, 100)).collect();
        hard.push(read(99, 2, 3));
        let found = search(&hard, 0, Limits { steps_max: 10_000, ..LIMITS });
        assert_eq!(found, Found { verdict: Verdict::Unknown, steps: 10_001 });
        let many = vec![write(1, 1, 2); 301];
        assert_eq!(search(&many, 0, LIMITS), Found { verdict: Verdict::Unknown, steps: 0 });
    }

    #[test]
    fn three_hundred_operations_of_many_clients_are_searched_in_few_steps() {
        // Ten clients, each at any time within a call: writes of their own, or reads of what is there.
        let mut dice = Dice::new(7);
        let (mut held, mut accesses) = (0, Vec::new());
        for number in 1..=300 {
            let at = u64::from(number) * 10;
            let (called, answered) = (at - dice.below(50).min(at), at + dice.below(50));
            let action = if dice.chance(40) { Action::Write(number) } else { Action::Read(held) };
            if let Action::Write(value) = action {
                held = value;
            }
            accesses.push(Access { called, answered: Some(answered), action });
        }
        let found = search(&accesses, 0, LIMITS);
        assert_eq!(found.verdict, Verdict::Linearizable);
        assert!(found.steps < 20_000, "{} steps", found.steps);
    }

    /// Tries every order: the definition itself.
    fn has_an_order(accesses: &[Access], held: Value) -> bool {
        if accesses.iter().all(|access| access.answered.is_none()) {
            return true;
        }
        (0..accesses.len()).any(|first| {
            let mut rest = accesses.to_vec();
            let chosen = rest.remove(first);
            let in_time = rest.iter().all(|other| other.answered.is_none_or(|answered| answered >= chosen.called));
            let next = match chosen.action {
                Action::Write(value) => Some(value),
                Action::Read(value) => (value == held).then_some(value),
            };
            in_time && next.is_some_and(|next| has_an_order(&rest, next))
        })
    }

    #[test]
    fn the_search_finds_an_order_exactly_where_there_is_one() {
        let mut verdicts = [0, 0];
        for seed in 0..4_000 {
            let mut dice = Dice::new(seed);
            let accesses: Vec<_> = (0..dice.below(6) + 1)
                .map(|_| {
                    let called = dice.below(12);
                    let answered = called + dice.below(8);
                    let value = Value::try_from(dice.below(3)).expect("it fits");
                    match dice.below(5) {
                        0 => write(value, called, None),
                        1..=2 => write(value, called, answered),
                        _ => read(value, called, answered),
                    }
                })
                .collect();
            let expected = if has_an_order(&accesses, 0) { Verdict::Linearizable } else { Verdict::Contradiction };
            assert_eq!(verdict(&accesses), expected, "{accesses:?}");
            verdicts[usize::from(expected == Verdict::Contradiction)] += 1;
        }
        assert!(verdicts.iter().all(|count| *count > 800), "{verdicts:?}");
    }
}
