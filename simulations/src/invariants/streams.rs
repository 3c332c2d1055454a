//! Who follows the events misses none, gets none twice, and can go on behind whole decisions only.

use std::collections::VecDeque;

use bursar_domain::Revision;

use super::{Broken, Journals, broken};
use crate::followers::{Followed, Follower};

const NAME: &str = "whole-streams";

/// How far each follower was looked at.
#[derive(Debug, Default)]
pub struct Streams {
    streams: Vec<Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    /// What the history, as far as it is known, does not tell yet.
    pending: VecDeque<Followed>,
    reached: Revision,
}

impl Streams {
    pub(super) fn look(&mut self, journals: &Journals, followers: &[Follower]) -> Result<(), Broken> {
        self.streams.resize_with(followers.len(), Stream::default);
        for (number, (follower, stream)) in followers.iter().zip(&mut self.streams).enumerate() {
            stream.pending.extend(follower.take());
            stream.look(journals).map_err(|fault| broken(NAME, format!("follower {number} was sent {fault}")))?;
        }
        Ok(())
    }

    pub(super) fn look_at_the_end(&self, journals: &Journals) -> Result<(), Broken> {
        let head = journals.head();
        match self.streams.iter().enumerate().find(|(_, stream)| stream.reached != head) {
            Some((number, stream)) => {
                Err(broken("convergence", format!("follower {number} was sent what is up to {} of {head}", stream.reached)))
            }
            None => Ok(()),
        }
    }

    /// By the end all that a follower was sent has been told by a journal: what was sent is not lost.
    pub(super) fn look_at_what_is_left(&self) -> Result<(), Broken> {
        let mut left = self.streams.iter().enumerate().filter_map(|(number, stream)| Some((number, stream.pending.front()?)));
        match left.next() {
            Some((number, sent)) => Err(broken(NAME, format!("follower {number} was sent {sent:?}, which no journal tells"))),
            None => Ok(()),
        }
    }
}

impl Stream {
    fn look(&mut self, journals: &Journals) -> Result<(), String> {
        while let Some(next) = self.pending.front() {
            let (next, due) = (next.clone(), self.reached.next());
            match next {
                Followed::Event { revision, .. } if revision != due => {
                    return Err(format!("revision {revision} where {due} was due"));
                }
                Followed::Bookmark { revision } if revision != self.reached => {
                    return Err(format!("a bookmark at {revision} where {due} was due"));
                }
                Followed::Refused { problem } => return Err(problem),
                Followed::Event { revision, kind, request } => {
                    // It may come from a node that has died since, before any other has told.
                    let Some(known) = journals.at(revision) else { return Ok(()) };
                    let record = &known.record;
                    if record.event.kind() != kind || record.request.as_str() != request {
                        return Err(format!("revision {revision} as {kind} on {request}; it is {record:?}"));
                    }
                    self.reached = revision;
                }
                Followed::Bookmark { revision } => {
                    if journals.at(revision).is_some_and(|known| known.record.closing.is_none()) {
                        return Err(format!("a bookmark at {revision}, which is amid a decision"));
                    }
                }
            }
            self.pending.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::Sealed;

    use super::super::journals::tests::{some_records, told};
    use super::*;

    fn event(sealed: &Sealed) -> Followed {
        let record = &sealed.record;
        let (kind, request) = (record.event.kind().to_owned(), record.request.as_str().to_owned());
        Followed::Event { revision: record.revision, kind, request }
    }

    fn bookmark(revision: Revision) -> Followed {
        Followed::Bookmark { revision }
    }

    fn sent(sent: impl IntoIterator<Item = Followed>) -> Stream {
        Stream { pending: sent.into_iter().collect(), reached: Revision::ZERO }
    }

    #[test]
    fn who_is_sent_every_event_once_follows_a_whole_stream() {
        let records = some_records();
        let followed = records.iter().flat_map(|sealed| {
            let is_last = sealed.record.closing.is_some();
            [event(sealed)].into_iter().chain(is_last.then(|| bookmark(sealed.record.revision)))
        });
        let mut stream = sent(followed);
        assert_eq!(stream.look(&told(&records)), Ok(()));
        let streams = Streams { streams: vec![stream] };
        assert_eq!(streams.look_at_the_end(&told(&records)), Ok(()));
        assert_eq!(streams.look_at_what_is_left(), Ok(()));
    }

    #[test]
    fn what_a_follower_was_not_to_be_sent_is_found() {
        let records = some_records();
        let told = told(&records);
        let found = |followed: &[Followed]| sent(followed.iter().cloned()).look(&told).unwrap_err();
        let (first, second) = (event(&records[0]), event(&records[1]));
        assert_eq!(found(std::slice::from_ref(&second)), "revision 2 where 1 was due");
        assert_eq!(found(&[first.clone(), first.clone()]), "revision 1 where 2 was due");
        assert_eq!(found(&[first.clone(), bookmark(Revision(2))]), "a bookmark at 2 where 2 was due");
        let amid = records.iter().position(|sealed| sealed.record.closing.is_none()).unwrap();
        let upto_amid = records[..=amid].iter().map(event).chain([bookmark(records[amid].record.revision)]);
        assert!(found(&upto_amid.collect::<Vec<_>>()).ends_with("which is amid a decision"));
        let Followed::Event { revision, kind, .. } = first else { unreachable!("it was made so") };
        let another = Followed::Event { revision, kind, request: "another".to_owned() };
        assert!(found(&[another]).contains("on another; it is "));
        assert_eq!(found(&[Followed::Refused { problem: "gone".to_owned() }]), "gone");
    }

    #[test]
    fn what_no_journal_tells_yet_is_judged_later_and_must_be_by_the_end() {
        let records = some_records();
        let before = told(&records[..records.len() - 1]);
        let mut streams = Streams { streams: vec![sent(records.iter().map(event))] };
        assert_eq!(streams.streams[0].look(&before), Ok(()));
        assert_eq!(streams.look_at_the_end(&before), Ok(()));
        let left = streams.look_at_what_is_left().unwrap_err();
        assert!(left.detail.starts_with("follower 0 was sent ") && left.detail.ends_with("which no journal tells"), "{left}");
        assert_eq!(streams.look_at_the_end(&told(&records)).unwrap_err().invariant, "convergence");
        assert_eq!(streams.streams[0].look(&told(&records)), Ok(()));
        assert_eq!(streams.look_at_what_is_left(), Ok(()));
    }
}
