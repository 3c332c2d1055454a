//! One reader's stream.
//!
//! A task of its own reads the journal page by page and hands each page over; it reads the next only when the reader has taken
//! the one before. So a reader costs a page or two however slow it is, and whatever it misses meanwhile waits in the journal.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use bursar_domain::{
    Cursor, Record, Revision,
    mutants::{Mutant, planted},
};
use bursar_wire::{
    events::{Bookmark, EventLine, Gone, StreamItem},
    header::REVISION,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use super::{EventFilter, Format, GONE_HINT};
use crate::{answer::header_value, api::Service, authentication::Caller, authority::JournalError, failure::Failure};

/// Opens a stream behind `start`.
pub(super) fn open(
    service: &Service,
    caller: Caller,
    format: Format,
    filter: EventFilter,
    start: Cursor,
    ends_at_head: bool,
) -> Result<Response, Failure> {
    let floor = service.authority.floor();
    if start.revision < floor && format == Format::Ndjson {
        return Err(Failure::gone(start, Cursor { revision: floor, ..start }));
    }
    let place = service.stream_places.clone().try_acquire_owned();
    let place = place.map_err(|_| Failure::overloaded("Too many event streams are open on this node."))?;
    let (pages, taken) = mpsc::channel(1);
    let stream = Stream {
        revisions: service.authority.revisions(),
        service: service.clone(),
        caller,
        format,
        filter,
        position: start,
        ends_at_head,
        reached_head: false,
        next_bookmark: Instant::now() + service.config.bookmark_interval,
        pages,
    };
    service.metrics.streams_opened.fetch_add(1, Relaxed);
    bursar_net::tasks::spawn(stream.run(place));
    let body = futures_util::stream::unfold(taken, |mut taken| async {
        let page: Bytes = taken.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(page), taken))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, format.media_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REVISION, header_value(start));
    Ok(response)
}

struct Stream {
    service: Service,
    caller: Caller,
    format: Format,
    filter: EventFilter,
    /// Everything up to here was handed over, or does not concern the reader.
    position: Cursor,
    ends_at_head: bool,
    /// Whether the reader was told once that it has caught up.
    reached_head: bool,
    next_bookmark: Instant,
    revisions: watch::Receiver<Revision>,
    pages: mpsc::Sender<Bytes>,
}

/// Why a stream ends.
enum End {
    /// The reader has what it asked for.
    Complete,
    /// The reader went away.
    ReaderLeft,
    /// The reader took nothing for too long.
    ReaderTooSlow,
    /// The node is going down.
    Shutdown,
    /// The reader may no longer read, or should do so elsewhere.
    Refused(Failure),
    /// What comes next is no longer kept.
    Gone,
    /// What comes next cannot be read.
    Journal(JournalError),
}

impl Stream {
    async fn run(mut self, place: OwnedSemaphorePermit) {
        let Err(end) = self.follow().await;
        let position = self.position;
        match end {
            End::Complete | End::ReaderLeft => {}
            End::ReaderTooSlow => {
                self.service.metrics.stream_readers_too_slow.fetch_add(1, Relaxed);
                debug!(token = self.caller.token.0, %position, "an event stream ended, its reader took nothing");
            }
            End::Refused(failure) => self.say_last(&StreamItem::Problem(failure.into_problem())).await,
            End::Gone => {
                let floor = Cursor { revision: self.service.authority.floor(), ..position };
                self.say_last(&StreamItem::Gone(Gone { floor: floor.to_string(), hint: GONE_HINT.to_owned() })).await;
            }
            End::Journal(error) => self.say_last(&StreamItem::Problem(Failure::from(error).into_problem())).await,
            End::Shutdown => {
                // Nobody waits for a reader that is behind: it resumes at another node.
                let _ = self.pages.try_send(self.page_of(&StreamItem::Problem(Failure::stopping().into_problem())));
            }
        }
        drop(place);
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            let latest = self.service.authority.latest();
            self.caller.stands(&latest, self.service.now()).map_err(End::Refused)?;
            let head = *self.revisions.borrow_and_update();
            if self.position.revision < head {
                self.advance(head).await?;
            } else if self.ends_at_head {
                self.bookmark().await?;
                return Err(End::Complete);
            } else if !self.reached_head {
                self.reached_head = true;
                self.bookmark().await?;
            } else {
                self.wait().await?;
            }
            if Instant::now() >= self.next_bookmark {
                self.is_in_touch()?;
                self.bookmark().await?;
            }
        }
    }

    /// Ends a stream that would wait in vain: a node that is cut off has nothing to tell, and its reader would take that for calm.
    fn is_in_touch(&self) -> Result<(), End> {
        let status = self.service.authority.status();
        let since = status.confirmed_ms_ago.map(Duration::from_millis);
        let may_be_brief = since.is_some_and(|since| since <= self.service.config.bookmark_interval);
        if self.ends_at_head || status.confirmed || may_be_brief {
            return Ok(());
        }
        Err(End::Refused(Failure::cut_off(since)))
    }

    /// Waits for something to say.
    async fn wait(&mut self) -> Result<(), End> {
        tokio::select! {
            changed = self.revisions.changed() => changed.map_err(|_| End::Shutdown),
            () = sleep_until(self.next_bookmark) => Ok(()),
            () = self.service.shutdown.requested() => Err(End::Shutdown),
            () = self.pages.closed() => Err(End::ReaderLeft),
        }
    }

    /// Hands over the next page of the journal, always up to the end of a decision.
    async fn advance(&mut self, head: Revision) -> Result<(), End> {
        let records = self.whole_decisions(head).await?;
        let last = records.last().ok_or(End::Gone)?;
        let mut page = Vec::new();
        let latest = self.service.authority.latest();
        let admitted = records.iter().filter(|record| self.filter.admits(record));
        let count =
            admitted.map(|record| self.format.write(&mut page, &StreamItem::Event(EventLine::of(&latest, record)))).count();
        if count > 0 {
            self.hand_over(page.into()).await?;
            self.service.metrics.stream_records.fetch_add(count as u64, Relaxed);
        }
        self.position.revision = last.revision;
        Ok(())
    }

    /// The records that come next: about a page of them, and no decision in part.
    async fn whole_decisions(&self, head: Revision) -> Result<Vec<Record>, End> {
        let bytes_max = self.service.config.stream_page_bytes;
        let mut records = Vec::new();
        let mut behind = self.position.revision;
        if behind == self.service.authority.floor() && planted(Mutant::StreamSkipsAtFloor) {
            behind = behind.next();
        }
        loop {
            let more = self.service.records(behind, head, bytes_max).await.map_err(End::Journal)?;
            match more.first() {
                Some(first) if first.revision == behind.next() => {}
                _ if behind < self.service.authority.floor() => return Err(End::Gone),
                _ => return Err(End::Journal(JournalError(format!("revision {} is missing", behind.next())))),
            }
            records.extend(more);
            let last: &Record = records.last().expect("records were added");
            behind = last.revision;
            let cut_off = last.decision;
            if behind == cut_off.last() {
                return Ok(records);
            }
            let whole = records.iter().take_while(|record| record.decision != cut_off).count();
            if whole > 0 {
                records.truncate(whole);
                return Ok(records);
            }
        }
    }

    /// Tells the reader where it is.
    async fn bookmark(&mut self) -> Result<(), End> {
        let bookmark = StreamItem::Bookmark(Bookmark { cursor: self.position.to_string() });
        self.hand_over(self.page_of(&bookmark)).await
    }

    fn page_of(&self, item: &StreamItem) -> Bytes {
        let mut page = Vec::new();
        self.format.write(&mut page, item);
        page.into()
    }

    async fn hand_over(&mut self, page: Bytes) -> Result<(), End> {
        let patience = self.service.config.stream_write_timeout;
        let sent = tokio::select! {
            sent = timeout(patience, self.pages.send(page)) => sent,
            () = self.service.shutdown.requested() => return Err(End::Shutdown),
        };
        self.next_bookmark = Instant::now() + self.service.config.bookmark_interval;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::ReaderLeft),
            Err(_) => Err(End::ReaderTooSlow),
        }
    }

    /// Says a last word, to whoever still listens.
    async fn say_last(&mut self, item: &StreamItem) {
        // A reader that does not take it has ended the stream itself.
        let _ = self.hand_over(self.page_of(item)).await;
    }
}
