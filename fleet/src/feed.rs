//! What one storage server follows: the records that concern it, from this node's own journal.
//!
//! The next page is read once the one before was taken, so a server costs a page however slow it is, and whatever it misses
//! meanwhile waits in the journal. Everything that is told ends at the end of a decision.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bursar_domain::{
    Cursor, Hash, Projection, Reader, Record, Revision, ServerGuid, ServerId, State, encoding::decode, projection::SCHEMA,
};
use bursar_net::{FrameReader, FrameWriter};
use bursar_raft::{Consistency, Node, ReadError};
use bursar_wire::control::{FeedItem, Follow};
use bytes::Bytes;
use serde_bytes::ByteBuf;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use crate::{counters::Meter, fleet::Shared};

/// About how many bytes of the journal are read at a time.
const PAGE_BYTES: usize = 64 << 10;
/// How long a server may take to say where it begins.
const BEGINNING_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest frame that a server sends here, in bytes.
const FOLLOW_BYTES_MAX: usize = 4 << 10;
/// How long a server may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long this node may take to come as far as the server already is.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the server is told that nothing more has happened.
const HEAD_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is told how far it is while things happen that do not concern it.
const POSITION_INTERVAL: Duration = Duration::from_secs(1);

/// Lets the machine `guid`, which is `server`, follow, until it goes away or may no longer.
pub(crate) async fn serve(fleet: &Arc<Shared>, server: ServerId, guid: ServerGuid, mut reader: FrameReader, writer: FrameWriter) {
    reader.set_bytes_max(FOLLOW_BYTES_MAX);
    let follow = match timeout(BEGINNING_TIMEOUT, reader.receive::<Follow>()).await {
        Ok(Ok(follow)) => follow,
        Ok(Err(error)) => return tracing::debug!(%server, %error, "a server does not say where it begins to follow"),
        Err(_elapsed) => return tracing::debug!(%server, "a server did not say in time where it begins to follow"),
    };
    let _open = fleet.meter.open_feed();
    let feed = Feed {
        revisions: fleet.node.revisions(),
        fleet,
        server,
        guid,
        keeps_this_schema: follow.schema == SCHEMA,
        position: fleet.node.latest().cursor(),
        told: Revision::ZERO,
        told_at: Instant::now(),
        head_at: Instant::now(),
        digest: None,
        writer,
    };
    tokio::select! {
        () = feed.run(follow.since) => {}
        // It has nothing more to say: whatever comes is its end.
        _ = reader.receive_raw() => tracing::debug!(%server, "a server follows no more"),
    }
}

struct Feed<'f> {
    fleet: &'f Shared,
    server: ServerId,
    guid: ServerGuid,
    keeps_this_schema: bool,
    /// Everything up to here was told, or does not concern the server.
    position: Cursor,
    /// Up to where it was told how far it is.
    told: Revision,
    /// When it was told something last.
    told_at: Instant,
    /// When it is told next that nothing more has happened.
    head_at: Instant,
    /// Of what it should know; as nothing that concerns it has happened since, still the right one.
    digest: Option<Hash>,
    revisions: watch::Receiver<Revision>,
    writer: FrameWriter,
}

/// Why a feed ends.
enum End {
    /// The server took nothing.
    TooSlow,
    /// The connection failed.
    Left,
    /// The server is no member any more.
    Excluded,
    /// This node cannot go on.
    Broken(String),
}

impl Feed<'_> {
    async fn run(mut self, since: Option<Cursor>) {
        let Err(end) = self.follow(since).await;
        let server = self.server;
        match end {
            End::TooSlow => {
                self.meter().feed_readers_too_slow.fetch_add(1, Relaxed);
                tracing::info!(%server, "a server took nothing of what it follows for too long");
            }
            End::Left => {}
            // Who does not take a last word has gone already.
            End::Excluded => drop(self.say(&FeedItem::Excluded).await),
            End::Broken(detail) => {
                tracing::warn!(%server, detail, "a server cannot follow here");
                drop(self.say(&FeedItem::Ended { detail }).await);
            }
        }
    }

    async fn follow(&mut self, since: Option<Cursor>) -> Result<Infallible, End> {
        match self.beginning(since).await? {
            Some(position) => self.position = position,
            None => self.begin_anew().await?,
        }
        loop {
            // In this order: the state is at least as new as what is to be told.
            let head = *self.revisions.borrow_and_update();
            let state = self.standing()?;
            if self.position.revision < head {
                self.advance(head).await?;
            } else if Instant::now() >= self.head_at && self.position == state.cursor() {
                self.head(&state).await?;
            } else {
                self.wait().await?;
            }
        }
    }

    /// The newest state, if the server still has its place in it.
    fn standing(&self) -> Result<Arc<State>, End> {
        let state = self.node().latest();
        match state.servers().get(self.server).filter(|row| row.is_present()) {
            Some(row) if row.facts.guid == self.guid => Ok(state),
            Some(row) if row.gives_way(self.guid) => Err(End::Broken("its place is being given to another machine".to_owned())),
            _ => Err(End::Excluded),
        }
    }

    /// Where it can go on; nowhere where it knows nothing, or what this history has not.
    async fn beginning(&mut self, since: Option<Cursor>) -> Result<Option<Cursor>, End> {
        let state = self.standing()?;
        let Some(since) = since.filter(|since| since.epoch == state.epoch() && since.revision >= self.node().journal().floor())
        else {
            return Ok(None);
        };
        if since.revision <= state.revision() {
            return Ok(Some(since));
        }
        let deadline = Instant::now() + CATCH_UP_TIMEOUT;
        match self.node().read(Consistency::Linearizable, Some(since.revision), deadline).await {
            Ok(_) => Ok(Some(since)),
            // It has all that was acknowledged to anybody, and still not so much.
            Err(ReadError::Behind { .. }) => Ok(None),
            Err(error) => Err(End::Broken(format!("this node is not as far as {since}: {error}"))),
        }
    }

    async fn begin_anew(&mut self) -> Result<(), End> {
        let state = self.standing()?;
        let projection = Projection::of(&state, self.server).ok_or(End::Excluded)?;
        self.position = state.cursor();
        self.digest = Some(projection.digest());
        self.say(&FeedItem::Anew { cursor: self.position, projection: Box::new(projection) }).await
    }

    /// Tells of the next page of the journal.
    async fn advance(&mut self, head: Revision) -> Result<(), End> {
        let state = self.standing()?;
        let destination = state.servers().get(self.server).ok_or(End::Excluded)?.destination;
        let reader = Reader::Server { server: self.server, destination };
        let (records, last) = self.whole_decisions(head).await?;
        let concerning = records.into_iter().filter(|(record, _)| record.audience.includes(reader));
        let records: Vec<ByteBuf> = concerning.map(|(_, bytes)| ByteBuf::from(bytes.to_vec())).collect();
        self.position.revision = last;
        if !records.is_empty() {
            self.digest = None;
            self.meter().feed_records.fetch_add(records.len() as u64, Relaxed);
            self.say(&FeedItem::Records { records, upto: self.position }).await?;
        } else if self.told_at.elapsed() >= POSITION_INTERVAL {
            self.say_position().await?;
        }
        Ok(())
    }

    /// The records that come next, about a page of them and no decision in part, and the last one's revision.
    async fn whole_decisions(&mut self, head: Revision) -> Result<(Vec<(Record, Bytes)>, Revision), End> {
        let broken = |detail: String| End::Broken(format!("the journal cannot be read: {detail}"));
        let mut records: Vec<(Record, Bytes)> = Vec::new();
        let mut behind = self.position.revision;
        loop {
            let more = self.node().records(behind, head, PAGE_BYTES).await.map_err(|error| broken(error.to_string()))?;
            if more.first().is_none_or(|first| first.revision != behind.next()) {
                return Err(broken(format!("revision {} is not kept", behind.next())));
            }
            for stored in more {
                let record: Record = decode(&stored.bytes).map_err(|error| broken(error.to_string()))?;
                records.push((record, stored.bytes));
            }
            let last = &records.last().expect("records were added").0;
            behind = last.revision;
            let cut_off = last.decision;
            if behind == cut_off.last() {
                return Ok((records, behind));
            }
            let whole = records.iter().take_while(|(record, _)| record.decision != cut_off).count();
            if whole > 0 {
                records.truncate(whole);
                return Ok((records, Revision(cut_off.first.0 - 1)));
            }
        }
    }

    /// Tells that nothing more has happened, and of what the server should know there.
    async fn head(&mut self, state: &State) -> Result<(), End> {
        if self.digest.is_none() {
            self.digest = Some(Projection::of(state, self.server).ok_or(End::Excluded)?.digest());
        }
        self.head_at = Instant::now() + HEAD_INTERVAL;
        let digest = self.digest.filter(|_| self.keeps_this_schema);
        self.say(&FeedItem::Head { cursor: self.position, digest }).await
    }

    async fn say_position(&mut self) -> Result<(), End> {
        self.say(&FeedItem::Records { records: Vec::new(), upto: self.position }).await
    }

    /// Waits for something to say.
    async fn wait(&mut self) -> Result<(), End> {
        let is_behind = self.told < self.position.revision;
        let position_at = self.told_at + POSITION_INTERVAL;
        tokio::select! {
            changed = self.revisions.changed() => changed.map_err(|_| End::Broken("the node ends".to_owned())),
            () = sleep_until(position_at), if is_behind => self.say_position().await,
            () = sleep_until(self.head_at), if self.head_at > Instant::now() => Ok(()),
        }
    }

    async fn say(&mut self, item: &FeedItem) -> Result<(), End> {
        match timeout(WRITE_TIMEOUT, self.writer.send(item)).await {
            Ok(Ok(())) => {
                (self.told, self.told_at) = (self.position.revision, Instant::now());
                Ok(())
            }
            Ok(Err(_)) => Err(End::Left),
            Err(_elapsed) => Err(End::TooSlow),
        }
    }

    fn node(&self) -> &Node {
        &self.fleet.node
    }

    fn meter(&self) -> &Meter {
        &self.fleet.meter
    }
}
