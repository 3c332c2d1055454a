//! What clients saw, held against the journal: a pure checker that names every contradiction.
//!
//! Every acknowledgement tells the revision of its write, and every answer tells the revision of the state that it shows. So
//! the journal itself is the witness: it is the one order that could explain everything, and what is left to check is that it
//! does, which costs no more than reading the history once.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use bursar_wire::events::{EventLine, StreamItem};

/// When something was seen, in nanoseconds since the history began, by the one clock of the test.
pub type Moment = u64;

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub writes: Vec<Write>,
    pub reads: Vec<Read>,
    pub streams: Vec<Received>,
    /// The journal of each node, as it was read at the end.
    pub journals: BTreeMap<u64, Vec<EventLine>>,
}

/// A request for a change, as its client saw it.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its id.
    pub request: String,
    /// What it was to write: found nowhere else.
    pub mark: String,
    /// When it was first sent.
    pub invoked: Moment,
    pub acknowledgement: Option<Acknowledgement>,
}

/// What a client was told of its write.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement {
    pub at: Moment,
    /// The revision of the write.
    pub revision: u64,
    /// The revision of the state that the answer shows.
    pub shown: u64,
}

/// A linearizable read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub invoked: Moment,
    pub answered: Moment,
    /// The revision of the state that the answer shows.
    pub shown: u64,
}

/// What a reader of events received, over all its connections.
#[derive(Clone, Debug)]
pub struct Received {
    pub reader: String,
    /// The revision behind which it began.
    pub since: u64,
    pub items: Vec<StreamItem>,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A journal does not count 1, 2, 3.
    JournalBroken { node: u64, expected: u64, found: u64 },
    /// Two nodes tell different things.
    JournalsDiffer { nodes: [u64; 2], revision: u64 },
    /// The records of a decision do not stand together.
    DecisionSplit { node: u64, revision: u64 },
    /// A request was carried out more than once.
    Doubled { request: String, revisions: Vec<u64> },
    /// A write that was acknowledged is in no journal.
    Lost { request: String, told: u64 },
    /// A write is in the journal at another revision than its client was told.
    Misplaced { request: String, told: u64, found: u64 },
    /// The record of a write does not hold what was to be written.
    Altered { request: String, revision: u64 },
    /// A write that began after a state had been shown has its place before it.
    OutOfOrder { request: String, revision: u64, shown_before: u64 },
    /// A state was shown that is older than one that had been shown before it was asked for.
    Stale { invoked: Moment, shown: u64, shown_before: u64 },
    /// An acknowledgement shows a state without the write that it acknowledges.
    AnswerWithoutItsWrite { request: String, revision: u64, shown: u64 },
    /// A reader lacks events.
    Gap { reader: String, expected: u64, found: u64 },
    /// A reader received an event again.
    Repeated { reader: String, expected: u64, found: u64 },
    /// A reader received another event than the one that stands in the journal.
    StreamDiffers { reader: String, revision: u64 },
    /// A bookmark names another place than the one where the reader is.
    BookmarkAstray { reader: String, at: u64, named: u64 },
    /// A bookmark came between the events of a decision.
    BookmarkInDecision { reader: String, at: u64 },
    /// A stream ended by itself.
    StreamEnded { reader: String, at: u64 },
    /// A reader did not receive the end of the journal.
    EndMissing { reader: String, at: u64, head: u64 },
}

impl History {
    /// Everything that contradicts what the authority promises; empty where it keeps its word.
    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (node, journal) in &self.journals {
            check_journal(*node, journal, &mut violations);
        }
        self.compare_journals(&mut violations);
        // All are the same, or it was just said that they are not.
        let journal = self.journals.values().next().map_or(&[][..], Vec::as_slice);
        check_requests(journal, &mut violations);
        self.check_writes(journal, &mut violations);
        self.check_order(&mut violations);
        for stream in &self.streams {
            check_stream(stream, journal, &mut violations);
        }
        violations
    }

    /// At the end of a test all nodes have caught up, so a journal that ends early differs, too.
    fn compare_journals(&self, violations: &mut Vec<Violation>) {
        let Some((first, reference)) = self.journals.first_key_value() else { return };
        for (node, journal) in self.journals.iter().skip(1) {
            let length = reference.len().max(journal.len());
            let differs = |at: &usize| reference.get(*at) != journal.get(*at);
            if let Some(at) = (0..length).find(differs) {
                violations.push(Violation::JournalsDiffer { nodes: [*first, *node], revision: at as u64 + 1 });
            }
        }
    }

    /// Each acknowledged write stands in the journal where its client was told, as it was sent. An unknown one may or may not.
    fn check_writes(&self, journal: &[EventLine], violations: &mut Vec<Violation>) {
        let mut places: HashMap<&str, &EventLine> = HashMap::new();
        for line in journal.iter().rev() {
            places.insert(&line.request, line);
        }
        for write in &self.writes {
            let request = || write.request.clone();
            let found = places.get(write.request.as_str());
            if let Some(line) = found
                && !line.data.to_string().contains(&write.mark)
            {
                violations.push(Violation::Altered { request: request(), revision: line.revision });
            }
            let Some(Acknowledgement { revision: told, shown, .. }) = write.acknowledgement else { continue };
            match found {
                None => violations.push(Violation::Lost { request: request(), told }),
                Some(line) if line.revision != told => {
                    violations.push(Violation::Misplaced { request: request(), told, found: line.revision });
                }
                Some(_) => {}
            }
            if shown < told {
                violations.push(Violation::AnswerWithoutItsWrite { request: request(), revision: told, shown });
            }
        }
    }

    /// Real time and the journal agree: what was shown to anybody lies behind whoever asks later.
    fn check_order(&self, violations: &mut Vec<Violation>) {
        let told = self.writes.iter().filter_map(|write| Some((write, write.acknowledgement?)));
        let mut shown: Vec<(Moment, u64)> = told.clone().map(|(_, told)| (told.at, told.shown.max(told.revision))).collect();
        shown.extend(self.reads.iter().map(|read| (read.answered, read.shown)));
        shown.sort_unstable();
        // The newest state that had been shown by then.
        for at in 1..shown.len() {
            shown[at].1 = shown[at].1.max(shown[at - 1].1);
        }
        let shown_before = |moment: Moment| {
            let earlier = shown.partition_point(|(at, _)| *at < moment);
            earlier.checked_sub(1).map_or(0, |last| shown[last].1)
        };
        for (write, told) in told {
            let before = shown_before(write.invoked);
            if told.revision <= before {
                let request = write.request.clone();
                violations.push(Violation::OutOfOrder { request, revision: told.revision, shown_before: before });
            }
        }
        for read in &self.reads {
            let before = shown_before(read.invoked);
            if read.shown < before {
                violations.push(Violation::Stale { invoked: read.invoked, shown: read.shown, shown_before: before });
            }
        }
    }
}

fn check_journal(node: u64, journal: &[EventLine], violations: &mut Vec<Violation>) {
    let mut open = None;
    for (expected, line) in (1..).zip(journal) {
        if line.revision != expected {
            violations.push(Violation::JournalBroken { node, expected, found: line.revision });
            return;
        }
        let continues = open == Some(line.decision);
        let begins = open.is_none() && line.decision.first_revision == line.revision;
        if !(continues || begins) {
            violations.push(Violation::DecisionSplit { node, revision: line.revision });
            return;
        }
        open = (!line.decision.ends_at(line.revision)).then_some(line.decision);
    }
    if let Some(decision) = open {
        violations.push(Violation::DecisionSplit { node, revision: decision.first_revision });
    }
}

/// One request, one decision: the events of a decision share a request, and no other decision has it.
fn check_requests(journal: &[EventLine], violations: &mut Vec<Violation>) {
    let mut decisions: BTreeMap<(String, &str), Vec<u64>> = BTreeMap::new();
    for line in journal.iter().filter(|line| line.revision == line.decision.first_revision) {
        decisions.entry((line.actor.to_string(), &line.request)).or_default().push(line.revision);
    }
    for ((_, request), revisions) in decisions {
        if revisions.len() > 1 {
            violations.push(Violation::Doubled { request: request.to_owned(), revisions });
        }
    }
}

/// A stream is the journal behind where it began.
fn check_stream(stream: &Received, journal: &[EventLine], violations: &mut Vec<Violation>) {
    let reader = || stream.reader.clone();
    let mut at = stream.since;
    let mut in_decision = false;
    for item in &stream.items {
        match item {
            StreamItem::Event(line) => {
                let (expected, found) = (at + 1, line.revision);
                if found > expected {
                    violations.push(Violation::Gap { reader: reader(), expected, found });
                } else if found < expected {
                    violations.push(Violation::Repeated { reader: reader(), expected, found });
                } else if journal.get(found as usize - 1) != Some(line) {
                    violations.push(Violation::StreamDiffers { reader: reader(), revision: found });
                }
                at = found;
                in_decision = !line.decision.ends_at(found);
            }
            StreamItem::Bookmark(bookmark) => {
                let named = number_of(&bookmark.cursor);
                if named != at {
                    violations.push(Violation::BookmarkAstray { reader: reader(), at, named });
                }
                if in_decision {
                    violations.push(Violation::BookmarkInDecision { reader: reader(), at });
                }
            }
            _ => violations.push(Violation::StreamEnded { reader: reader(), at }),
        }
    }
    let head = journal.len() as u64;
    if at < head {
        violations.push(Violation::EndMissing { reader: reader(), at, head });
    }
}

/// The number in a cursor, `<epoch>-<number>`.
pub fn number_of(cursor: &str) -> u64 {
    let number = cursor.split_once('-').and_then(|(_, number)| number.parse().ok());
    number.unwrap_or_else(|| panic!("“{cursor}” is no cursor"))
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JournalBroken { node, expected, found } => {
                write!(f, "the journal of node {node} has revision {found} where {expected} belongs")
            }
            Self::JournalsDiffer { nodes: [one, other], revision } => {
                write!(f, "nodes {one} and {other} differ at revision {revision}")
            }
            Self::DecisionSplit { node, revision } => write!(f, "node {node} splits the decision at revision {revision}"),
            Self::Doubled { request, revisions } => {
                write!(f, "{request} was carried out {} times: {revisions:?}", revisions.len())
            }
            Self::Lost { request, told } => write!(f, "{request}, acknowledged at revision {told}, is lost"),
            Self::Misplaced { request, told, found } => {
                write!(f, "{request}, acknowledged at revision {told}, stands at {found}")
            }
            Self::Altered { request, revision } => write!(f, "{request} at revision {revision} does not hold what was sent"),
            Self::OutOfOrder { request, revision, shown_before } => {
                write!(f, "{request} got revision {revision}, although {shown_before} had been shown before it began")
            }
            Self::Stale { invoked, shown, shown_before } => {
                write!(f, "a read at {invoked} ns showed revision {shown}, although {shown_before} had been shown before")
            }
            Self::AnswerWithoutItsWrite { request, revision, shown } => {
                write!(f, "the answer to {request} at revision {revision} shows a state of revision {shown}")
            }
            Self::Gap { reader, expected, found } => write!(f, "{reader} received {found} where {expected} comes next"),
            Self::Repeated { reader, expected, found } => {
                write!(f, "{reader} received {found} again where {expected} comes next")
            }
            Self::StreamDiffers { reader, revision } => {
                write!(f, "{reader} received another event at revision {revision} than the journal has")
            }
            Self::BookmarkAstray { reader, at, named } => write!(f, "a bookmark told {reader}, who is at {at}, to be at {named}"),
            Self::BookmarkInDecision { reader, at } => write!(f, "{reader} received a bookmark within a decision, at {at}"),
            Self::StreamEnded { reader, at } => write!(f, "the stream of {reader} ended at {at}"),
            Self::EndMissing { reader, at, head } => write!(f, "{reader} received events up to {at}, the journal goes to {head}"),
        }
    }
}
