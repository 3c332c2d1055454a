//! Following the authority's events: what the server is to know, folded decision by decision.
//!
//! Items that have arrived together are folded together and saved once. Nobody else sees what is not yet durable, so whatever
//! fails, the server goes on from what rests on its disk.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bursar_domain::{
    Cursor, Hash, Projection, Record, Revision, ServerId,
    encoding::{DecodeError, decode},
    mutants::{Mutant, planted},
    projection::SCHEMA,
    server::ProjectionState,
};
use bursar_net::{Blocking, FrameError, FrameReader, Lane, Link};
use bursar_wire::control::{FeedItem, Follow, Notice};
use serde_bytes::ByteBuf;
use tokio::{sync::watch, time::timeout};
use tracing::{debug, error, info, warn};

use super::{
    Known, MemberError, Outbox,
    search::{Excluded, Search},
};
use crate::projection_file::ProjectionFile;

/// How long a node may say nothing: it says every five seconds where its journal ends.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How many items are saved together at most.
const BATCH_ITEMS: usize = 64;

/// Follows the events, and tells the rest of the server what it knows by them.
pub(super) struct Follower {
    pub me: ServerId,
    pub search: Search,
    pub file: Arc<ProjectionFile>,
    pub blocking: Arc<dyn Blocking>,
    /// What it knows: everything in it rests on the disk.
    pub known: watch::Sender<Known>,
    pub outbox: Arc<Outbox>,
    /// Whether what it knows is as it should be, as far as is known.
    pub trusting: bool,
    /// What it told of that last.
    pub said: Option<ProjectionState>,
}

/// Why following one node ended.
enum Left {
    /// Another node may go on.
    Elsewhere(String),
    /// What the server knows is not what it should: it reads all of it anew.
    Astray(String),
    /// The server cannot go on.
    Stopped(MemberError),
}

impl Follower {
    /// Follows one node after the other, until the server is excluded or does not understand what it is told.
    pub(super) async fn follow(mut self) -> MemberError {
        loop {
            let link = match self.search.connect(Lane::Follow).await {
                Ok(link) => link,
                Err(Excluded) => return MemberError::Excluded,
            };
            let node = link.peer.member;
            let Err(left) = self.follow_one(link).await;
            match left {
                Left::Elsewhere(reason) => debug!(%node, reason, "a node is no longer followed"),
                Left::Astray(reason) => {
                    warn!(%node, reason, "the server does not hold what it should, and reads the fleet anew");
                    self.trusting = false;
                }
                Left::Stopped(error) => return error,
            }
        }
    }

    async fn follow_one(&mut self, link: Link) -> Result<Infallible, Left> {
        let Link { mut reader, mut writer, .. } = link;
        let since = self.known.borrow().position().filter(|_| self.trusting);
        writer.send(&Follow { since, schema: SCHEMA }).await.map_err(elsewhere)?;
        loop {
            let first = timeout(SILENCE_MAX, reader.receive::<FeedItem>()).await;
            let mut next = Some(first.map_err(|_elapsed| Left::Elsewhere("it says nothing".to_owned()))?.map_err(elsewhere)?);
            let mut fold = Fold::of(self.me, &self.known.borrow());
            let (mut items, mut trusting) = (0, self.trusting);
            while let Some(item) = next {
                fold.take(item, trusting)?;
                trusting = true;
                items += 1;
                next = if items < BATCH_ITEMS { arrived(&mut reader).await.map_err(elsewhere)? } else { None };
            }
            let (compared, goes_on) = (fold.compared, fold.goes_on);
            self.commit(fold).await?;
            self.trusting = true;
            if let Some((matches, at)) = compared {
                self.tell(matches, at)?;
            }
            // All of it anew is no progress yet: what is not as it should be after that either must not be asked for without rest.
            if goes_on {
                self.search.found();
            }
        }
    }

    /// Saves what was folded, and only then shows it.
    async fn commit(&mut self, fold: Fold) -> Result<(), Left> {
        let Fold { projection, changed: true, .. } = fold else { return Ok(()) };
        let known = Known { projection: projection.map(|(projection, position)| (Arc::new(projection), position)) };
        match known.save(&self.blocking, &self.file).await {
            Ok(()) => {
                bursar_net::point!("projection.saved");
                self.known.send_replace(known);
                Ok(())
            }
            Err(error) => {
                error!(%error, "what the authority tells cannot be kept; the server works on with what it kept before");
                Err(Left::Elsewhere(error.to_string()))
            }
        }
    }

    /// Says for good whether the server holds what it should, where it has not said so yet.
    fn tell(&mut self, matches: bool, at: Revision) -> Result<(), Left> {
        let state = if matches { ProjectionState::Matching } else { ProjectionState::Mismatched };
        if self.said != Some(state) {
            self.outbox.say(Notice::Projection { state, at });
            self.said = Some(state);
        }
        if matches { Ok(()) } else { Err(Left::Astray(format!("at revision {at} its digest is another one"))) }
    }
}

fn elsewhere(error: FrameError) -> Left {
    Left::Elsewhere(error.to_string())
}

/// The next item, where it is there already.
async fn arrived(reader: &mut FrameReader) -> Result<Option<FeedItem>, FrameError> {
    tokio::select! {
        biased;
        item = reader.receive() => item.map(Some),
        () = std::future::ready(()) => Ok(None),
    }
}

/// What the server knows by the items of one batch.
struct Fold {
    me: ServerId,
    projection: Option<(Projection, Cursor)>,
    /// Whether it is another one than before.
    changed: bool,
    /// Whether it is what the authority said that it should be at a revision, where that was said last.
    compared: Option<(bool, Revision)>,
    /// Whether it was told what follows, and not only all of it.
    goes_on: bool,
}

impl Fold {
    fn of(me: ServerId, known: &Known) -> Self {
        let projection = known.projection.as_ref().map(|(projection, position)| (Projection::clone(projection), *position));
        Self { me, projection, changed: false, compared: None, goes_on: false }
    }

    /// Folds one item. Where what the server knows is not trusted, only all of it anew goes on.
    fn take(&mut self, item: FeedItem, trusting: bool) -> Result<(), Left> {
        match item {
            FeedItem::Anew { cursor, projection } if projection.server == self.me => {
                info!(%cursor, "the server was told all that it is to know");
                (self.projection, self.changed, self.compared) = (Some((*projection, cursor)), true, None);
                Ok(())
            }
            FeedItem::Anew { projection, .. } => Err(Left::Elsewhere(format!("it tells what {} is to know", projection.server))),
            FeedItem::Records { .. } | FeedItem::Head { .. } if !trusting => {
                Err(Left::Elsewhere("it does not begin anew".to_owned()))
            }
            FeedItem::Records { records, upto } => self.take_records(&records, upto),
            FeedItem::Head { cursor, digest } => self.take_head(cursor, digest),
            FeedItem::Excluded => Err(Left::Stopped(MemberError::Excluded)),
            FeedItem::Ended { detail } => Err(Left::Elsewhere(detail)),
        }
    }

    fn take_records(&mut self, records: &[ByteBuf], upto: Cursor) -> Result<(), Left> {
        let Some((projection, position)) = self.projection.take() else {
            return Err(Left::Elsewhere("it tells what happened to what the server does not know".to_owned()));
        };
        if upto.epoch != position.epoch || upto < position {
            return Err(Left::Astray(format!("it is told of {upto} behind {position}")));
        }
        let (mut projection, mut last) = (Some(projection), position.revision);
        let folded = if planted(Mutant::CommitAmidBatch) { records.len().div_ceil(2) } else { records.len() };
        for bytes in &records[..folded] {
            let record: Record = decode(bytes).map_err(|error| match error {
                DecodeError::Newer { .. } => Left::Stopped(MemberError::Newer(error)),
                error => Left::Elsewhere(error.to_string()),
            })?;
            if record.revision <= last || record.revision > upto.revision {
                return Err(Left::Astray(format!("it is told of {} behind {last}, up to {upto}", record.revision)));
            }
            last = record.revision;
            projection = Projection::behind(projection, self.me, &record.event);
        }
        // What is not known any more is what it was: a member.
        let projection = projection.ok_or(Left::Stopped(MemberError::Excluded))?;
        (self.projection, self.changed, self.compared) = (Some((projection, upto)), true, None);
        self.goes_on = true;
        Ok(())
    }

    fn take_head(&mut self, cursor: Cursor, digest: Option<Hash>) -> Result<(), Left> {
        let Some((projection, position)) = &mut self.projection else {
            return Err(Left::Elsewhere("it tells nothing of what the server is to know".to_owned()));
        };
        if cursor.epoch != position.epoch || cursor < *position {
            return Err(Left::Astray(format!("the history ends at {cursor}, and the server has read up to {position}")));
        }
        self.changed |= cursor != *position;
        *position = cursor;
        self.compared = digest.map(|digest| (digest == projection.digest(), cursor.revision));
        self.goes_on = true;
        Ok(())
    }
}
