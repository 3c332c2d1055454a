//! Installing another node's snapshot: its state, and then only the records that this node lacks.
//!
//! Everything is written where nobody looks: chunks under a generation that the pointer does not name, records beyond the
//! head. One batch then moves the pointer and the applied position. Before it there is the old state, behind it the new one.
//! Commits go on meanwhile; what they added is compared, too.

use std::fmt;
use std::sync::{Arc, MutexGuard};

use bursar_domain::mutants::{Mutant, planted};
use bursar_domain::{Hash, Revision, Sealed, State};
use bytes::Bytes;
use thiserror::Error;

use super::applied::Applied;
use super::chunk::Chunk;
use super::floor::BelowFloor;
use super::generations::Pin;
use super::manifest::Manifest;
use super::{Shared, Writer, checkpoint, journal, layout};
use crate::engine::Batch;
use crate::log::LogPosition;
use crate::{REBUILD_FROM_QUORUM, StorageError};

/// Why a snapshot was not installed. What this node held before is untouched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InstallError {
    /// This node's own storage failed or is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// This node has applied as much by itself: there is nothing to install.
    #[error("the snapshot ends at log position {}, this node has applied {}", shown(*offered), shown(*own))]
    Outdated {
        /// What this node has applied.
        own: Option<LogPosition>,
        /// Where the snapshot ends.
        offered: Option<LogPosition>,
    },
    /// This node's journal goes beyond a snapshot that is newer by its log position.
    #[error("this node's journal reaches revision {own}, the newer snapshot only {offered}; {REBUILD_FROM_QUORUM}")]
    Ahead {
        /// The head of this node's journal.
        own: Revision,
        /// The head of the snapshot's.
        offered: Revision,
    },
    /// This node and the sender have different histories.
    #[error("at revision {revision} this node's journal has the hash {own}, the sender's {theirs}; {REBUILD_FROM_QUORUM}")]
    Diverged {
        /// Where they differ, at the latest.
        revision: Revision,
        /// The hash of this node's record.
        own: Hash,
        /// The hash of the sender's.
        theirs: Hash,
    },
    /// The sender no longer keeps what this node lacks: there would be a hole.
    #[error("the sender of the snapshot does not keep what this node lacks: {0}")]
    BelowFloor(#[from] BelowFloor),
    /// Another install has begun since.
    #[error("another install has begun since")]
    Superseded,
    /// What was received is not what the manifest or the protocol promises. It was not taken; another attempt may fare better.
    #[error("the snapshot's {what} was refused: {detail}")]
    Refused {
        /// Which part.
        what: String,
        /// Why.
        detail: String,
    },
}

impl InstallError {
    /// Whether this node's own store is what is wrong, so that it must stop; else the attempt is merely over.
    pub const fn stops_the_node(&self) -> bool {
        match self {
            Self::Storage(_) | Self::Ahead { .. } | Self::Diverged { .. } => true,
            Self::Outdated { .. } | Self::BelowFloor(_) | Self::Superseded | Self::Refused { .. } => false,
        }
    }

    fn refused(what: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::Refused { what: what.into(), detail: detail.to_string() }
    }
}

/// An install under way. Dropped before [`finish`](Self::finish), it leaves nothing but leftovers.
pub struct Installer {
    shared: Arc<Shared>,
    manifest: Manifest,
    pin: Pin,
    /// Which install it is; only the newest is valid.
    ticket: u64,
    /// The head of this node when the install began.
    began_at: Revision,
    next_chunk: u32,
    /// The last record that was received, or the head where the install began.
    reached: Revision,
    tip: Hash,
}

impl Installer {
    pub(super) fn begin(shared: &Arc<Shared>, manifest: Manifest) -> Result<Self, InstallError> {
        manifest.validate().map_err(|detail| InstallError::refused("manifest", detail))?;
        let mut writer = shared.writer();
        let own = shared.head().applied.clone();
        compare(shared, &own, &manifest.applied)?;
        BelowFloor::check(own.revision, manifest.floor)?;
        writer.install += 1;
        Ok(Self {
            shared: Arc::clone(shared),
            pin: shared.generations.begin(),
            ticket: writer.install,
            began_at: own.revision,
            next_chunk: 0,
            reached: own.revision,
            tip: own.head,
            manifest,
        })
    }

    /// The records to ask for: those behind the first revision, up to the second.
    pub const fn missing_records(&self) -> (Revision, Revision) {
        (self.began_at, self.manifest.applied.revision)
    }

    /// Takes the next chunk, as the sender's checkpoint gave it.
    ///
    /// # Errors
    /// A chunk that is damaged or not the next one; this node's storage; an install that is void.
    pub fn put_chunk(&mut self, number: u32, frame: Bytes) -> Result<(), InstallError> {
        let what = || format!("chunk {number}");
        if number != self.next_chunk || number >= self.manifest.chunks {
            let detail = format!("chunk {} of {} is next", self.next_chunk, self.manifest.chunks);
            return Err(InstallError::refused(what(), detail));
        }
        let chunk = Chunk::open(number, frame).map_err(|error| InstallError::refused(what(), error))?;
        let mut batch = Batch::new();
        layout::put_chunk(&mut batch, self.pin.generation(), number, chunk.into_frame());
        let writer = self.writer()?;
        self.shared.engine.write(&batch)?;
        drop(writer);
        bursar_net::point!("install.chunk");
        self.next_chunk += 1;
        Ok(())
    }

    /// Takes the next records, as the sender's journal holds them.
    ///
    /// # Errors
    /// A record that is damaged or does not follow; a sender with another history; this node's storage; an install that is void.
    pub fn put_records(&mut self, records: &[Bytes]) -> Result<(), InstallError> {
        let writer = self.writer()?;
        let head = self.shared.head().applied.revision;
        let mut batch = Batch::new();
        let (mut reached, mut tip) = (self.reached, self.tip);
        for bytes in records {
            let sealed = self.open_next(bytes, reached, tip)?;
            (reached, tip) = (sealed.record.revision, sealed.hash);
            if reached <= head {
                expect_same(&self.shared, reached, tip)?;
            } else if !(planted(Mutant::SnapshotWithHole) && reached == self.began_at.plus(2)) {
                layout::put_record(&mut batch, reached, bytes);
            }
        }
        if !batch.is_empty() {
            self.shared.engine.write(&batch)?;
        }
        drop(writer);
        bursar_net::point!("install.records");
        (self.reached, self.tip) = (reached, tip);
        Ok(())
    }

    /// Checks that everything came and fits, makes it durable, and moves to the new state in one batch.
    ///
    /// # Errors
    /// Parts that are missing or do not fit; a node that meanwhile applied as much; this node's storage; an install that is void.
    pub fn finish(self) -> Result<(State, Applied), InstallError> {
        self.expect_complete()?;
        let engine = &*self.shared.engine;
        let (generation, manifest) = (self.pin.generation(), Arc::new(self.manifest.clone()));
        let chunks = checkpoint::read_chunks(engine, generation, &manifest)?;
        let state = checkpoint::assemble(&chunks, &manifest).map_err(|error| InstallError::refused("state", error))?;
        drop(chunks);

        let mut batch = Batch::new();
        layout::put_manifest(&mut batch, generation, &manifest);
        engine.write(&batch)?;
        engine.sync()?;
        bursar_net::point!("install.complete");
        {
            let _writer = self.writer()?;
            self.expect_chained()?;
            let mut batch = Batch::new();
            layout::put_pointer(&mut batch, generation);
            layout::put_applied(&mut batch, &manifest.applied);
            engine.write(&batch)?;
            bursar_net::point!("install.pointed");
            engine.sync()?;
            bursar_net::point!("install.durable");
            let mut head = self.shared.head_mut();
            head.applied = manifest.applied.clone();
            head.tail.clear();
            self.shared.generations.supersede(&self.pin, Arc::clone(&manifest));
        }
        self.shared.sweep()?;
        Ok((state, self.manifest.applied))
    }

    /// Decodes a received record that must follow `reached`.
    fn open_next(&self, bytes: &Bytes, reached: Revision, tip: Hash) -> Result<Sealed, InstallError> {
        let expected = reached.next();
        let what = || format!("record {expected}");
        if expected > self.manifest.applied.revision {
            return Err(InstallError::refused(what(), "the snapshot ends before it"));
        }
        let sealed = Sealed::open(bytes.to_vec()).map_err(|error| InstallError::refused(what(), error))?;
        let record = &sealed.record;
        if record.revision != expected {
            return Err(InstallError::refused(what(), format!("revision {} came instead", record.revision)));
        }
        if record.previous == tip {
            return Ok(sealed);
        }
        // The first one follows what this node has; the others follow what was sent.
        Err(if reached == self.began_at {
            InstallError::Diverged { revision: reached, own: tip, theirs: record.previous }
        } else {
            InstallError::refused(what(), format!("it follows the hash {}, not {tip}", record.previous))
        })
    }

    fn expect_complete(&self) -> Result<(), InstallError> {
        let Applied { revision, head, .. } = self.manifest.applied;
        if self.next_chunk != self.manifest.chunks {
            let detail = format!("chunk {} of {} has not come", self.next_chunk, self.manifest.chunks);
            return Err(InstallError::refused("state", detail));
        }
        if self.reached != revision {
            return Err(InstallError::refused("journal", format!("record {} has not come", self.reached.next())));
        }
        if self.tip != head {
            return Err(InstallError::refused("journal", format!("it ends with the hash {}, not {head}", self.tip)));
        }
        Ok(())
    }

    /// Checks that the received records follow what this node has now, which may be more than when the install began.
    fn expect_chained(&self) -> Result<(), InstallError> {
        let own = self.shared.head().applied.clone();
        compare(&self.shared, &own, &self.manifest.applied)?;
        if own.revision == self.manifest.applied.revision {
            return Ok(());
        }
        let next = journal::read(&*self.shared.engine, own.revision, own.revision.next(), 0)?;
        let next = journal::open(next.first().ok_or_else(|| journal::missing(own.revision.next()))?)?;
        if next.record.previous != own.head {
            return Err(InstallError::Diverged { revision: own.revision, own: own.head, theirs: next.record.previous });
        }
        Ok(())
    }

    /// The right to write, while this install is the newest.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, InstallError> {
        let writer = self.shared.writer();
        if writer.install == self.ticket { Ok(writer) } else { Err(InstallError::Superseded) }
    }
}

impl fmt::Debug for Installer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installer")
            .field("manifest", &self.manifest)
            .field("next_chunk", &self.next_chunk)
            .field("reached", &self.reached)
            .finish_non_exhaustive()
    }
}

/// Whether this node, as it stands, has a use for a snapshot.
fn compare(shared: &Shared, own: &Applied, offered: &Applied) -> Result<(), InstallError> {
    if own.revision >= offered.revision {
        expect_same(shared, offered.revision, offered.head)?;
    }
    if own.position >= offered.position {
        return Err(InstallError::Outdated { own: own.position, offered: offered.position });
    }
    if own.revision > offered.revision {
        return Err(InstallError::Ahead { own: own.revision, offered: offered.revision });
    }
    Ok(())
}

/// Checks that this node's record of a revision, which it has, is the sender's.
fn expect_same(shared: &Shared, revision: Revision, theirs: Hash) -> Result<(), InstallError> {
    match shared.hash_at(revision)? {
        Some(own) if own != theirs => Err(InstallError::Diverged { revision, own, theirs }),
        _ => Ok(()),
    }
}

fn shown(position: Option<LogPosition>) -> String {
    position.map_or_else(|| "none".into(), |position| position.to_string())
}
