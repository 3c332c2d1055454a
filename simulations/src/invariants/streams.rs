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
        let head = Revision(journals.records().len() as u64);
        match self.streams.iter().enumerate().find(|(_, stream)| stream.reached != head) {
            Some((number, stream)) => {
                Err(broken("convergence", format!("follower {number} was sent what is up to {} of {head}", stream.reached)))
            }
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
