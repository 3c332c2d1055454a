//! The Bursar program: where the parts are put together.
//!
//! Everything that does work lives in the crates below; here stand the composition roots (an authority node, a storage server, the demo), the
//! files that a node keeps about itself, the commands of storage servers, and the offline doctor.

pub mod advice;
pub mod arguments;
pub mod authority;
// It starts this very program, which there is on RocksDB alone.
#[cfg(feature = "rocksdb")]
pub mod demo;
pub mod doctor;
pub mod license;
pub mod logging;
pub mod signals;
pub mod storage_server;
pub mod whose;
mod world;

pub use world::World;
