//! Engines, the Raft log writer, the journal, checkpoints and snapshots.
