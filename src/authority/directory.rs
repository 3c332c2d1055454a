//! The data directory of an authority node.
//!
//! ```text
//! identity.toml   cluster, store, node: who this directory is; written last
//! bursar.toml     settings
//! ca.crt          the cluster's certificate authority
//! node.crt        this node's certificate
//! node.key        its private key
//! cluster.key     seals the certificate authority's key, which rests in the ledger
//! joining         while a node joins: its store id and key
//! members         on a node that joined until its ledger knows them: the members that it was told of
//! founding        on the first node until its first start: the command that founds the cluster
//! removed         on a node that was told that the cluster has removed it
//! setup-secret    on the first node until the first administrator is made with it
//! license.key     on the first node where the master license key was made there, until somebody takes it away
//! log/  ledger/   engines, made with the directory and bearing its store id
//! lock            held while the node runs
//! ```
//!
//! The directory and everything secret in it are for their owner alone; a node refuses to start where they are looser. Only
//! the settings may be: they hold nothing secret, editors give the files that they write modes of their own, and the
//! directory keeps others from them.

mod checked;
mod error;
mod founder;
mod joining;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bursar_domain::State;
use bursar_net::{
    CertificateError, CertificateFacts, ClusterKey, Credentials, FileError, FileLock, Files, NodeKey, SETTINGS_FILE, SealError,
    kept_to_toml, read_kept, read_settings, write_settings,
};
use bursar_storage::engine::Engines;

use super::{SEALED_CA_KEY, config::Config, identity::Identity, stores};
use crate::World;

use error::RESTORE;

pub use error::DirectoryError;

const IDENTITY_FILE: &str = "identity.toml";
/// The cluster's certificate authority within the data directory, PEM.
pub const CA_FILE: &str = "ca.crt";
const CERTIFICATE_FILE: &str = "node.crt";
const KEY_FILE: &str = "node.key";
const CLUSTER_KEY_FILE: &str = "cluster.key";
const JOINING_FILE: &str = "joining";
const MEMBERS_FILE: &str = "members";
const FOUNDING_FILE: &str = "founding";
const SETUP_SECRET_FILE: &str = "setup-secret";
const REMOVED_FILE: &str = "removed";
const LICENSE_FILE: &str = "license.key";
/// The lock within the data directory: it names the process that holds the node.
pub const LOCK_FILE: &str = "lock";
const STORES: [&str; 2] = ["log", "ledger"];
/// What an interrupted attempt to make a node leaves behind; and what a file system keeps at its root.
const LEFTOVERS: [&str; 12] = [
    SETTINGS_FILE,
    CA_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    CLUSTER_KEY_FILE,
    JOINING_FILE,
    MEMBERS_FILE,
    FOUNDING_FILE,
    SETUP_SECRET_FILE,
    LICENSE_FILE,
    LOCK_FILE,
    "lost+found",
];
const FILE_BYTES_MAX: usize = 64 * 1024;

/// A data directory that this process holds.
pub struct DataDirectory {
    root: PathBuf,
    files: Arc<dyn Files>,
    engines: Arc<dyn Engines>,
    _lock: FileLock,
}

/// The files that a new node gets.
pub struct NewNode<'n> {
    /// Who it is.
    pub identity: Identity,
    /// Its settings.
    pub config: Config,
    /// The cluster's certificate authority, PEM.
    pub ca_certificate: &'n str,
    /// The node's certificate, PEM.
    pub certificate: &'n str,
    /// The node's private key.
    pub key: &'n NodeKey,
    /// The cluster key.
    pub cluster_key: &'n ClusterKey,
}

impl DataDirectory {
    /// Takes hold of a directory for a new node, made where it is missing.
    pub fn create(world: &World, root: &Path) -> Result<Self, DirectoryError> {
        let World { files, engines, .. } = world;
        files.create_directory(root)?;
        // Once before anything is written, for what is there may be somebody's; and again under the lock, so that of two
        // attempts at once the later one sees what the earlier one made.
        Self::require_vacant(world, root)?;
        files.require_private(root)?;
        let lock = files.lock(&root.join(LOCK_FILE))?;
        Self::require_vacant(world, root)?;
        Ok(Self { root: root.to_owned(), files: Arc::clone(files), engines: Arc::clone(engines), _lock: lock })
    }

    /// Refuses a directory that holds anything but what an interrupted attempt to make a node left behind.
    fn require_vacant(World { files, engines, .. }: &World, root: &Path) -> Result<(), DirectoryError> {
        // The identity is written last: without it, what an interrupted attempt left behind is written over.
        if files.exists(&root.join(IDENTITY_FILE))? {
            return Err(DirectoryError::NotEmpty(root.to_owned()));
        }
        let mut names: Vec<_> = files.list(root)?.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        // Not all engines rest in files.
        names.extend(STORES.iter().filter(|name| engines.exists(&root.join(name))).map(|name| name.to_string()));
        // Stores without a sign of such an attempt are somebody's: of a node that has lost its identity.
        let interrupted = names.iter().any(|name| [JOINING_FILE, FOUNDING_FILE].contains(&name.as_str()));
        let is_ours = |name: &str| is_leftover(name) || interrupted && STORES.contains(&name);
        if let Some(name) = names.into_iter().find(|name| !is_ours(name)) {
            return Err(DirectoryError::Occupied { path: root.to_owned(), name });
        }
        Ok(())
    }

    /// Whether a directory holds a node.
    pub fn exists(world: &World, root: &Path) -> Result<bool, FileError> {
        world.files.exists(&root.join(IDENTITY_FILE))
    }

    /// Whether a node was made there, or has left something.
    pub fn is_at(world: &World, root: &Path) -> bool {
        // A directory that cannot be looked at is for whoever opens it to report.
        world.files.exists(&root.join(IDENTITY_FILE)).unwrap_or(true) || Self::is_certainly_at(world, root)
    }

    /// Whether there is something that a node has, and nobody else.
    pub fn is_certainly_at(World { files, engines, .. }: &World, root: &Path) -> bool {
        files.exists(&root.join(CLUSTER_KEY_FILE)).unwrap_or(false)
            || STORES.iter().any(|store| engines.exists(&root.join(store)))
    }

    /// What a node has in its directory.
    pub const SIGNS: [&str; 4] = [IDENTITY_FILE, CLUSTER_KEY_FILE, STORES[0], STORES[1]];

    /// Takes hold of the directory of an existing node.
    pub fn open(world: &World, root: &Path) -> Result<Self, DirectoryError> {
        let World { files, engines, .. } = world;
        if !Self::exists(world, root)? {
            return Err(DirectoryError::Empty(root.to_owned()));
        }
        files.require_private(root)?;
        let lock = files.lock(&root.join(LOCK_FILE))?;
        Ok(Self { root: root.to_owned(), files: Arc::clone(files), engines: Arc::clone(engines), _lock: lock })
    }

    /// Writes a new node's files and makes its stores; the identity last, so that an interrupted attempt leaves no node.
    pub fn write(&self, node: &NewNode<'_>) -> Result<(), DirectoryError> {
        write_settings(&*self.files, &self.root, &node.config)?;
        self.put(CA_FILE, node.ca_certificate.as_bytes())?;
        self.put(CERTIFICATE_FILE, node.certificate.as_bytes())?;
        self.put(KEY_FILE, node.key.to_pem().as_bytes())?;
        self.put(CLUSTER_KEY_FILE, node.cluster_key.as_bytes())?;
        stores::make_anew(self, node.identity.store)?;
        self.put(IDENTITY_FILE, kept_to_toml(&node.identity).as_bytes())
    }

    /// Who the directory is.
    pub fn identity(&self) -> Result<Identity, DirectoryError> {
        read_kept(&*self.files, &self.identity_path(), RESTORE)
    }

    /// The settings.
    pub fn config(&self) -> Result<Config, DirectoryError> {
        Ok(read_settings(&*self.files, &self.root)?)
    }

    /// The node's certificate and key, checked against each other, against the authority's certificate and the identity.
    pub fn credentials(&self) -> Result<Credentials, DirectoryError> {
        let in_files = |files: &[&str]| {
            let files: Vec<_> = files.iter().map(|file| self.path(file)).collect();
            move |source| DirectoryError::Certificate { files: files.join(" or "), source }
        };
        let key = NodeKey::from_pem(&self.private_text(KEY_FILE)?).map_err(in_files(&[KEY_FILE]))?;
        let certificate = self.private_text(CERTIFICATE_FILE)?;
        let found = CertificateFacts::from_pem(&certificate).map_err(in_files(&[CERTIFICATE_FILE]))?.identity;
        let me = self.identity()?.local_node();
        let expected = bursar_net::PeerIdentity { member: me.member, cluster: me.cluster };
        if found != expected {
            return Err(self.foreign(CERTIFICATE_FILE, found, format!("{expected}, which {} says", self.path(IDENTITY_FILE))));
        }
        let authority = self.private_text(CA_FILE)?;
        let credentials = Credentials::new(&certificate, &authority, &key);
        credentials.and_then(|credentials| credentials.verify().map(|()| credentials)).map_err(|error| match error {
            CertificateError::ForeignKey => in_files(&[CERTIFICATE_FILE, KEY_FILE])(error),
            CertificateError::ForeignAuthority { .. } => in_files(&[CERTIFICATE_FILE, CA_FILE])(error),
            error => in_files(&[CA_FILE])(error),
        })
    }

    /// The cluster key.
    pub fn cluster_key(&self) -> Result<ClusterKey, DirectoryError> {
        let bytes = self.files.read_private(&self.root.join(CLUSTER_KEY_FILE), FILE_BYTES_MAX)?;
        ClusterKey::from_bytes(&bytes).map_err(|source| self.unusable_cluster_key(source))
    }

    /// Compares the files with what the ledger has recorded of this node's cluster, as far as it has. A file in which a bit has
    /// flipped may well read as another authority or another key.
    pub fn check_against(&self, state: &State) -> Result<(), DirectoryError> {
        let (identity, credentials, cluster_key) = (self.identity()?, self.credentials()?, self.cluster_key()?);
        if let Some(cluster) = state.cluster() {
            if cluster.id != identity.cluster {
                let expected = format!("cluster {}", cluster.id);
                return Err(self.foreign(IDENTITY_FILE, format!("cluster {}", identity.cluster), expected));
            }
            let recorded = |source| DirectoryError::Certificate { files: "the authority in the ledger".to_owned(), source };
            if !credentials.trusts(&cluster.ca_certificate).map_err(recorded)? {
                let found = format!("authority {}", credentials.authority_fingerprint());
                return Err(self.foreign(CA_FILE, found, "the authority in the ledger"));
            }
            cluster_key.open(SEALED_CA_KEY, &cluster.sealed_ca_key).map_err(|source| self.unusable_cluster_key(source))?;
        }
        Ok(())
    }

    /// Writes down that the node was told that the cluster has removed it.
    pub fn note_removed(&self) -> Result<(), DirectoryError> {
        self.put(REMOVED_FILE, b"The cluster has removed this node.\n")
    }

    /// Whether the node was told that the cluster has removed it.
    pub fn was_removed(&self) -> Result<bool, DirectoryError> {
        Ok(self.files.exists(&self.root.join(REMOVED_FILE))?)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What its stores are made of.
    pub(super) fn engines(&self) -> &dyn Engines {
        &*self.engines
    }

    /// The directory of the Raft log.
    pub fn log(&self) -> PathBuf {
        self.root.join(STORES[0])
    }

    /// The directory of journal, checkpoints and applied position.
    pub fn ledger(&self) -> PathBuf {
        self.root.join(STORES[1])
    }

    /// Where the identity is, for messages.
    pub fn identity_path(&self) -> PathBuf {
        self.root.join(IDENTITY_FILE)
    }

    /// Where the settings are, for messages.
    pub fn config_path(&self) -> PathBuf {
        self.root.join(SETTINGS_FILE)
    }

    fn path(&self, file: &str) -> String {
        self.root.join(file).display().to_string()
    }

    fn foreign(&self, file: &str, found: impl ToString, expected: impl ToString) -> DirectoryError {
        DirectoryError::Foreign { path: self.path(file), found: found.to_string(), expected: expected.to_string() }
    }

    fn unusable_cluster_key(&self, source: SealError) -> DirectoryError {
        DirectoryError::ClusterKey { path: self.path(CLUSTER_KEY_FILE), source }
    }

    fn remove_if_there(&self, file: &str) -> Result<(), DirectoryError> {
        let path = self.root.join(file);
        if self.files.exists(&path)? { Ok(self.files.remove(&path)?) } else { Ok(()) }
    }

    fn put(&self, file: &str, contents: &[u8]) -> Result<(), DirectoryError> {
        Ok(self.files.write_atomic(&self.root.join(file), contents)?)
    }

    fn private_text(&self, file: &str) -> Result<String, DirectoryError> {
        let bytes = self.files.read_private(&self.root.join(file), FILE_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn is_leftover(name: &str) -> bool {
    let aside = || name.strip_prefix('.').and_then(|name| name.strip_suffix(".aside"));
    LEFTOVERS.contains(&name) || aside().is_some_and(|of| of == IDENTITY_FILE || LEFTOVERS.contains(&of))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use bursar_storage::engine::{MemoryEngines, Profile};

    use super::*;

    #[test]
    fn a_store_without_a_sign_of_an_interrupted_attempt_is_somebodys_wherever_it_rests() {
        let (folder, world) = (tempfile::tempdir().unwrap(), World::with_engines(Arc::new(MemoryEngines::new())));
        let root = folder.path().join("node");
        drop(DataDirectory::create(&world, &root).unwrap());
        world.engines.create(&root.join("ledger"), Profile::Ledger).unwrap();
        let refused = DataDirectory::create(&world, &root).err().unwrap();
        assert!(matches!(&refused, DirectoryError::Occupied { name, .. } if name == "ledger"), "{refused}");
        world.files.write_atomic(&root.join(FOUNDING_FILE), b"").unwrap();
        DataDirectory::create(&world, &root).unwrap();
    }
}
