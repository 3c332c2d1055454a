//! What the corpus needs of the parts of the ledger that nobody else sees.

use std::ops::ControlFlow;

use bursar_domain::Revision;
use bytes::Bytes;

use super::chunk::{self, Chunk};
use super::layout::{self, Pointer};
use crate::engine::{Batch, Direction, Engine, MemoryEngine, Operation};

/// A record as it rests in the journal.
pub(crate) fn record(revision: Revision, bytes: &[u8]) -> Bytes {
    let mut batch = Batch::new();
    layout::put_record(&mut batch, revision, bytes);
    let [Operation::Put { value, .. }] = batch.operations() else { panic!("a record is one value") };
    value.clone()
}

/// The record of a frame, framed again.
pub(crate) fn record_again(frame: &Bytes) -> Bytes {
    let (engine, revision) = (MemoryEngine::new(), Revision(7));
    let mut batch = Batch::new();
    layout::put_record(&mut batch, revision, b"");
    let [Operation::Put { space, key, .. }] = batch.operations() else { panic!("a record is one value") };
    let mut read = Batch::new();
    read.put(*space, key.clone(), frame.clone());
    engine.write(&read).expect("memory takes it");
    let mut again = None;
    layout::scan_records(&engine, revision..=revision, Direction::Forward, |revision, bytes| {
        again = Some(record(revision, bytes));
        Ok(ControlFlow::Continue(()))
    })
    .expect("a record");
    again.expect("it is there")
}

/// A chunk that holds these items.
pub(crate) fn chunk(items: &[&[u8]]) -> Bytes {
    let mut frames = Vec::new();
    let cut = chunk::cut(items.iter().map(|item| item.to_vec()), |_, frame| {
        frames.push(frame);
        Ok(())
    });
    cut.expect("nothing fails here");
    frames.remove(0)
}

/// The items of a chunk, cut again.
pub(crate) fn chunk_again(frame: &Bytes) -> Bytes {
    let opened = Chunk::open(0, frame.clone()).expect("a chunk");
    chunk(&opened.items().collect::<Vec<_>>())
}

/// The pointer to a generation.
pub(crate) fn pointer(generation: u64) -> Bytes {
    Pointer { generation }.encode()
}

/// The pointer of a frame, framed again.
pub(crate) fn pointer_again(frame: &Bytes) -> Bytes {
    Pointer::decode(frame).expect("a pointer").encode()
}
