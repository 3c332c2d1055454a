//! The only crate that knows openraft: types, log store, state machine, peer calls, node handle.
