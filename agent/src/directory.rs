//! The data directory of a storage server.
//!
//! ```text
//! identity.toml           guid, store, certificate, license: who this directory is; written last
//! bursar.toml             settings
//! node.key                the server's private key
//! node.crt                the certificate that it signed itself
//! connection-string.toml  which connection string stands: its secret's hash
//! server.crt              the certificate that the cluster gave it, once it is a member
//! ca.crt                  the certificate of the cluster's authority
//! membership.toml         what makes it a member; written last of the three
//! projection              what the server knows of the fleet, and up to where it has read
//! made.toml               the store points whose directories were made, each of them once
//! removed                 on a server that was told that the authority has removed it, or given its place to another machine
//! lock                    held while the server is made or runs
//! connection-string.lock  held while a connection string is issued, or the server becomes a member by one
//! ```
//!
//! The directory and everything secret in it are for their owner alone; a server refuses to use them where they are looser. Only
//! the settings may be: they hold nothing secret, and editors give the files that they write modes of their own.

mod error;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use bursar_domain::{Hash, StorePointId};
use bursar_net::{
    CertificateError, FileError, FileLock, Files, NodeKey, SETTINGS_FILE, SelfSignedCertificate, kept_to_toml, read_kept,
    read_settings, write_settings,
};
use bursar_wire::control;
use tokio::sync::watch;

use crate::{
    identity::Identity,
    member::Known,
    membership::{Membership, MembershipFault, MembershipFile},
    projection_file::ProjectionFile,
    settings::Settings,
    standing::{Standing, StringRefusal},
    store_points::{Made, MadeError, read_made},
};

use error::RESTORE;

pub use error::DirectoryError;

/// Why a server does not become the member that it is told to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptionError {
    /// It does not fit.
    #[error(transparent)]
    Fault(#[from] MembershipFault),
    /// It cannot be kept.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The connection string by which it was to happen is void.
    #[error(transparent)]
    Refused(#[from] StringRefusal),
}

const IDENTITY_FILE: &str = "identity.toml";
const KEY_FILE: &str = "node.key";
const CERTIFICATE_FILE: &str = "node.crt";
const STANDING_FILE: &str = "connection-string.toml";
const CLUSTERS_CERTIFICATE_FILE: &str = "server.crt";
const AUTHORITY_FILE: &str = "ca.crt";
const MEMBERSHIP_FILE: &str = "membership.toml";
const PROJECTION_FILE: &str = "projection";
const MADE_FILE: &str = "made.toml";
const EXCLUDED_FILE: &str = "removed";
/// The lock within the data directory: it names the process that makes the server, or runs it.
pub const LOCK_FILE: &str = "lock";
const STANDING_LOCK_FILE: &str = "connection-string.lock";
/// What an interrupted attempt to make a server leaves behind; and what a file system keeps at its root.
const LEFTOVERS: [&str; 6] = [SETTINGS_FILE, KEY_FILE, CERTIFICATE_FILE, STANDING_FILE, LOCK_FILE, "lost+found"];
const FILE_BYTES_MAX: usize = 64 * 1024;

/// A storage server's data directory. Several may have it open; who runs the server holds its [`lock`](Self::lock).
pub struct DataDirectory {
    root: PathBuf,
    files: Arc<dyn Files>,
}

/// Who a storage server is and how it is set up, each part checked against the others.
pub struct Server {
    /// Who it is.
    pub identity: Identity,
    /// Its settings.
    pub settings: Settings,
    /// Its private key.
    pub key: NodeKey,
    /// The certificate that it signed itself.
    pub certificate: SelfSignedCertificate,
}

impl DataDirectory {
    /// Takes a directory for a new server, made where it is missing. Only a clean one is taken, or what an interrupted attempt
    /// left behind.
    pub(crate) fn create(files: Arc<dyn Files>, root: &Path) -> Result<(Self, FileLock), DirectoryError> {
        files.create_directory(root)?;
        let directory = Self { root: root.to_owned(), files };
        // Once before anything is written, for what is there may be somebody's; and again under the lock, so that of two
        // attempts at once the later one sees what the earlier one made.
        directory.require_vacant()?;
        directory.files.require_private(root)?;
        let lock = directory.lock()?;
        directory.require_vacant()?;
        Ok((directory, lock))
    }

    /// Refuses a directory that holds anything but what an interrupted attempt to make a server left behind.
    fn require_vacant(&self) -> Result<(), DirectoryError> {
        // The identity is written last: without it, what an interrupted attempt left behind is written over.
        if self.files.exists(&self.root.join(IDENTITY_FILE))? {
            return Err(DirectoryError::NotEmpty { path: self.root.clone() });
        }
        let names = self.files.list(&self.root)?;
        let mut names = names.iter().map(|name| name.to_string_lossy());
        match names.find(|name| !is_leftover(name)) {
            Some(name) => Err(DirectoryError::Occupied { path: self.root.clone(), name: name.into_owned() }),
            None => Ok(()),
        }
    }

    /// The directory of a server that was made.
    pub fn open(files: Arc<dyn Files>, root: &Path) -> Result<Self, DirectoryError> {
        if !files.exists(&root.join(IDENTITY_FILE))? {
            return Err(DirectoryError::Empty(root.to_owned()));
        }
        files.require_private(root)?;
        Ok(Self { root: root.to_owned(), files })
    }

    /// Whether a storage server was made there, was begun to be, or has left something.
    pub fn is_at(files: &dyn Files, root: &Path) -> bool {
        // A directory that cannot be looked at is for whoever opens it to report.
        Self::SIGNS.iter().any(|file| files.exists(&root.join(file)).unwrap_or(false))
    }

    /// The files that a storage server has, and nobody else.
    pub const SIGNS: [&str; 4] = [STANDING_FILE, MEMBERSHIP_FILE, PROJECTION_FILE, MADE_FILE];

    /// Takes hold of the directory, for who makes or runs the server.
    pub fn lock(&self) -> Result<FileLock, DirectoryError> {
        Ok(self.files.lock(&self.root.join(LOCK_FILE))?)
    }

    /// Takes hold of the connection string that stands, for who replaces it, and for who makes the server a member by it. A
    /// server that merely runs does not stand in the way.
    pub fn lock_standing(&self) -> Result<FileLock, DirectoryError> {
        self.files.lock(&self.root.join(STANDING_LOCK_FILE)).map_err(|error| match error {
            FileError::Locked { .. } => DirectoryError::StandingHeld(self.root.clone()),
            error => error.into(),
        })
    }

    /// Writes a new server's files; the identity last, so that an interrupted attempt leaves no server.
    pub(crate) fn write(&self, server: &Server, standing: &Standing) -> Result<(), DirectoryError> {
        write_settings(&*self.files, &self.root, &server.settings)?;
        self.put(KEY_FILE, &server.key.to_pem())?;
        self.put(CERTIFICATE_FILE, server.certificate.pem())?;
        self.write_standing(standing)?;
        self.put(IDENTITY_FILE, &kept_to_toml(&server.identity))
    }

    /// Reads who the server is, and checks it: a bit that has flipped in a file may well read as another key or guid.
    pub fn server(&self) -> Result<Server, DirectoryError> {
        let identity: Identity = self.kept(IDENTITY_FILE)?;
        let settings = self.settings()?;
        let key = NodeKey::from_pem(&self.private_text(KEY_FILE)?).map_err(self.in_files(&[KEY_FILE]))?;
        let certificate = SelfSignedCertificate::from_pem(&self.private_text(CERTIFICATE_FILE)?, &key).map_err(|error| {
            let foreign = matches!(error, CertificateError::ForeignKey);
            self.in_files(if foreign { &[CERTIFICATE_FILE, KEY_FILE] } else { &[CERTIFICATE_FILE] })(error)
        })?;
        if certificate.fingerprint() != identity.certificate {
            return Err(self.at_odds(&[CERTIFICATE_FILE, IDENTITY_FILE]));
        }
        if !identity.is_attested_for(&key.public_key()) {
            return Err(self.at_odds(&[IDENTITY_FILE, KEY_FILE]));
        }
        Ok(Server { identity, settings, key, certificate })
    }

    /// The settings.
    pub fn settings(&self) -> Result<Settings, DirectoryError> {
        Ok(read_settings(&*self.files, &self.root)?)
    }

    /// The connection string that stands, where there is one.
    pub fn standing(&self) -> Result<Option<Standing>, DirectoryError> {
        let is_there = self.files.exists(&self.root.join(STANDING_FILE))?;
        is_there.then(|| self.kept(STANDING_FILE)).transpose()
    }

    /// Replaces the connection string that stands; whoever does so holds its [lock](Self::lock_standing).
    pub(crate) fn write_standing(&self, standing: &Standing) -> Result<(), DirectoryError> {
        self.put(STANDING_FILE, &kept_to_toml(standing))
    }

    /// What makes the server a member of a cluster, checked; nothing where it is a newcomer.
    pub fn membership(&self, server: &Server) -> Result<Option<Membership>, DirectoryError> {
        if !self.is_members()? {
            return Ok(None);
        }
        let file: MembershipFile = self.kept(MEMBERSHIP_FILE)?;
        let certificate = self.private_text(CLUSTERS_CERTIFICATE_FILE)?;
        let ca_certificate = self.private_text(AUTHORITY_FILE)?;
        let checked = file.check(server, &certificate, &ca_certificate);
        checked.map(Some).map_err(|source| DirectoryError::Membership {
            files: self.named(&[MEMBERSHIP_FILE, CLUSTERS_CERTIFICATE_FILE, AUTHORITY_FILE], " or "),
            source,
        })
    }

    /// Makes the server the member that it is told to be, by the connection string with this secret; on return that is durable.
    /// What does not fit the server is refused, and so is a string that was voided: then nothing is written.
    pub(crate) fn adopt(&self, server: &Server, secret: Hash, told: &control::Membership) -> Result<(), AdoptionError> {
        let file = MembershipFile::of(server, told)?;
        // Who issues another string either did so before, and is found here, or finds a member afterwards.
        let _lock = self.lock_standing()?;
        if self.standing()?.is_none_or(|standing| standing.secret != secret) {
            return Err(StringRefusal::Voided.into());
        }
        let written = self
            .put(CLUSTERS_CERTIFICATE_FILE, &told.certificate)
            .and_then(|()| self.put(AUTHORITY_FILE, &told.ca_certificate))
            .and_then(|()| self.put(MEMBERSHIP_FILE, &kept_to_toml(&file)));
        Ok(written?)
    }

    /// Refuses a directory whose server is a member already.
    pub(crate) fn require_newcomer(&self) -> Result<(), DirectoryError> {
        if self.is_members()? { Err(DirectoryError::Member(self.root.clone())) } else { Ok(()) }
    }

    /// Whether it is a member's; or will be with the next start, where a membership could not be kept for certain.
    pub(crate) fn is_members(&self) -> Result<bool, DirectoryError> {
        Ok(self.files.exists(&self.root.join(MEMBERSHIP_FILE))?)
    }

    /// Where the server keeps what it knows of the fleet.
    pub fn projection_file(&self, server: &Server) -> ProjectionFile {
        ProjectionFile::new(Arc::clone(&self.files), self.root.join(PROJECTION_FILE), server.identity.store)
    }

    /// Where the server keeps which store points' directories were made, of those that it knows.
    pub(crate) fn made(&self, server: &Server, known: watch::Receiver<Known>) -> Made {
        Made::new(Arc::clone(&self.files), self.root.join(MADE_FILE), server.identity.store, known)
    }

    /// Of which store points the server has made the directories, as far as it still knows them.
    pub fn store_points_made(&self, server: &Server) -> Result<BTreeSet<StorePointId>, MadeError> {
        read_made(&*self.files, &self.root.join(MADE_FILE), server.identity.store)
    }

    /// Writes down that the server was told that it is none of the fleet's any more.
    pub fn note_excluded(&self) -> Result<(), DirectoryError> {
        self.put(EXCLUDED_FILE, "The authority has removed this server, or given its place to another machine.\n")
    }

    /// Whether the server was told that it is none of the fleet's any more.
    pub fn was_excluded(&self) -> Result<bool, DirectoryError> {
        Ok(self.files.exists(&self.root.join(EXCLUDED_FILE))?)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn kept<T: serde::de::DeserializeOwned>(&self, file: &str) -> Result<T, DirectoryError> {
        read_kept(&*self.files, &self.root.join(file), RESTORE)
    }

    fn private_text(&self, file: &str) -> Result<String, DirectoryError> {
        let bytes = self.files.read_private(&self.root.join(file), FILE_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn put(&self, file: &str, contents: &str) -> Result<(), DirectoryError> {
        Ok(self.files.write_atomic(&self.root.join(file), contents.as_bytes())?)
    }

    fn in_files(&self, files: &[&str]) -> impl FnOnce(CertificateError) -> DirectoryError {
        let files = self.named(files, " or ");
        move |source| DirectoryError::Certificate { files, source }
    }

    fn at_odds(&self, files: &[&str]) -> DirectoryError {
        DirectoryError::AtOdds { files: self.named(files, " and ") }
    }

    fn named(&self, files: &[&str], between: &str) -> String {
        let files: Vec<_> = files.iter().map(|file| self.root.join(file).display().to_string()).collect();
        files.join(between)
    }
}

fn is_leftover(name: &str) -> bool {
    let aside = || name.strip_prefix('.').and_then(|name| name.strip_suffix(".aside"));
    LEFTOVERS.contains(&name) || aside().is_some_and(|of| of == IDENTITY_FILE || LEFTOVERS.contains(&of))
}

#[cfg(test)]
mod tests;
