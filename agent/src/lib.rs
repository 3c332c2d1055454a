//! The storage server: who it is, how it introduces itself, and what it keeps.
//!
//! A machine becomes a storage server by [`make`]: in a clean [`DataDirectory`] it gets an identity, a key, a certificate that
//! it signs itself, and the proof that somebody made it who knows the fleet's master license key. What comes out is a connection
//! string, the one line that a person carries to the authority. [`issue`] makes another and voids the former.
//!
//! A server that runs is a [`Newcomer`] until the authority adopts it: it answers whoever knows its connection string. What makes
//! it a member rests in its directory then ([`Membership`]), and it is a [`Member`] from there on: it follows the authority's
//! events, makes the directories of its store points and looks after them, and says how they are.
//!
//! What it learns from the events it keeps in a [`ProjectionFile`], together with the position up to which it has
//! read them: both or neither are replaced, whenever the power is cut.

#[cfg(test)]
mod corpus;
mod directory;
#[cfg(test)]
mod faults;
mod identity;
mod introduction;
mod make;
mod member;
mod membership;
mod newcomer;
mod own_disk;
mod program;
mod projection_file;
mod reach;
mod settings;
mod standing;
mod store_points;
mod world;

pub use directory::{DataDirectory, DirectoryError, LOCK_FILE, Server};
pub use identity::Identity;
pub use introduction::{Issued, issue};
pub use make::{MakeError, Making, make};
pub use member::{Member, MemberError};
pub use membership::{Membership, MembershipFault};
pub use newcomer::Newcomer;
pub use projection_file::{PROJECTION_BYTES_MAX, ProjectionFile, ProjectionFileError, Saved};
pub use settings::{Advertised, Listen, Settings, SettingsFault};
pub use standing::{Standing, StringRefusal};
pub use store_points::{MadeError, Place};
pub use world::{Abandoned, ListenError, Ports, World};
