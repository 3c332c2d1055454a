//! The whole fleet in one seed.
pub mod blocking;
pub mod clock;
pub mod disk;
pub mod draws;
pub mod entropy;
pub mod fleet;
pub mod host;
pub mod network;
pub mod runtime;
pub mod shim;
pub mod trace;
