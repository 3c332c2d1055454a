//! The parts of Bursar that touch the world, each a trait with a real form.
//!
//! Everything above takes these parts as arguments, so that a simulator can run the same code with
//! parts of its own:
//!
//! | part | trait | real form |
//! |---|---|---|
//! | time of day | [`WallClock`] | [`SystemClock`] |
//! | randomness | [`Entropy`] | [`SystemEntropy`] |
//! | connections | [`Network`], [`Listener`] | [`TcpNetwork`] |
//! | how they are secured | [`Transport`] | [`TlsTransport`] |
//! | who calls | [`Acceptor`] | [`TlsAcceptor`] |
//! | who answers | [`Connector`], [`PinnedConnector`] | [`TlsConnector`], [`TlsPinnedConnector`] |
//! | blocking work | [`Blocking`], [`Worker`] | [`ThreadBlocking`], [`LooseThreads`] |
//! | small files | [`Files`] | [`DiskFiles`] |
//! | disks for archives | [`Volumes`], [`Folder`] | [`DiskVolumes`] |
//!
//! On them stands what nodes speak with each other. A connection is dialled ([`Dialer`]) and
//! accepted ([`serve_peers`]) over TLS, opens with a [`Hello`] that names both ends and the
//! [`Lane`] it is for, and then carries frames ([`FrameReader`], [`FrameWriter`]) or questions and
//! answers ([`Caller`], [`answer`]). [`serve`] is the accept loop of every port, HTTP included.
//!
//! What proves who a machine is, is here too: its key and what it signs ([`NodeKey`], [`PublicKey`]), and the proof that it
//! was made with the fleet's [`MasterLicenseKey`].
//!
//! Spans of time are measured with [`tokio::time::Instant`], which a simulation can pause, and tasks are started by [`tasks`] alone,
//! for a simulation ends those of a machine that loses its power. Where it matters most that a process may end at any moment, the code
//! has a name for the place ([`point!`]).

mod address;
mod blocking;
mod call;
mod clock;
mod connections;
#[cfg(test)]
mod corpus;
mod dial;
mod entropy;
mod files;
pub mod frame;
mod handshake;
mod identity;
mod license;
mod network;
#[cfg(feature = "simulation")]
pub mod overseer;
mod peer_server;
mod point;
mod server;
mod shutdown;
pub mod tasks;
pub mod tls;
mod volumes;

pub use address::{Address, AddressError};
pub use blocking::{Blocking, Job, JobLost, LooseThreads, ThreadBlocking, Worker, words_of};
pub use call::{AnswerError, CallError, Caller, answer};
pub use clock::{SystemClock, WallClock};
pub use connections::{ConnectionCounts, ConnectionLimits, ConnectionMeter};
pub use dial::{DialError, Dialer, JoinDialer, Link};
pub use entropy::{Entropy, SystemEntropy};
pub use files::{
    CheckedSettings, DiskFiles, FileError, FileLock, Files, FormatError, SETTINGS_FILE, SettingsError, kept_from_toml,
    kept_to_toml, read_kept, read_settings, settings_to_toml, write_settings,
};
pub use frame::{FRAME_BYTES_MAX, FrameError, FrameReader, FrameWriter};
pub use handshake::{
    Admission, HandshakeError, Hello, HelloReply, Lane, LocalNode, PROTOCOL, Refusal, RefusalCode, introduce, receive_hello,
};
pub use identity::{ClusterId, IdentityError, Member, PeerIdentity, Role, StoreId};
pub use license::{LicenseKeyError, LicenseProof, MasterLicenseKey};
pub use network::{BoxedStream, ByteStream, Listener, Network, TcpNetwork};
pub use peer_server::{LaneHandler, PeerPort, serve_peers};
pub use server::{Connection, ConnectionHandler, serve};
pub use shutdown::{Shutdown, ShutdownTrigger, shutdown_channel};
pub use tasks::TaskSet;
pub use tls::{
    Acceptor, Attested, CertificateAuthority, CertificateError, CertificateFacts, CertificateRequest, ClusterKey, Connector,
    Credentials, Fingerprint, IssuedCertificate, KeySignature, LeafProfile, NodeKey, PinnedConnector, PublicKey, SealError,
    Secured, SelfSignedCertificate, SubjectName, TlsAcceptor, TlsConnector, TlsPinnedConnector, TlsTransport, Transport, Trust,
    TrustError,
};
pub use volumes::{DiskVolumes, Folder, Space, Volumes};
