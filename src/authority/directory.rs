//! The data directory of an authority node.
//!
//! ```text
//! identity.toml   cluster, store, node: who this directory is, and whether its stores were made
//! bursar.toml     settings
//! ca.crt          the cluster's certificate authority
//! node.crt        this node's certificate
//! node.key        its private key
//! cluster.key     seals the certificate authority's key, which rests in the ledger
//! joining         while a node joins: its store id and key
//! founding        on the first node until its first start: the command that founds the cluster
//! setup-secret    on the first node until the first administrator is made with it
//! log/  ledger/   RocksDB
//! lock            held while the node runs
//! ```
//!
//! Everything secret is readable by its owner alone; a node refuses to start with looser files.

use std::path::{Path, PathBuf};

use bursar_domain::{AuthorityNodeId, ClusterId, Command, State, StoreId, Submission, cluster, encoding};
use bursar_net::{
    CertificateError, CertificateFacts, ClusterKey, Credentials, DiskFiles, Entropy, FileError, FileLock, Files, LocalNode,
    Member, NodeKey, SealError,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    SEALED_CA_KEY,
    config::{CONFIG_FILE, Config, ConfigError},
};

const IDENTITY_FILE: &str = "identity.toml";
/// The cluster's certificate authority within the data directory, PEM.
pub const CA_FILE: &str = "ca.crt";
const CERTIFICATE_FILE: &str = "node.crt";
const KEY_FILE: &str = "node.key";
const CLUSTER_KEY_FILE: &str = "cluster.key";
const JOINING_FILE: &str = "joining";
const FOUNDING_FILE: &str = "founding";
const SETUP_SECRET_FILE: &str = "setup-secret";
const LICENSE_FILE: &str = "license.key";
const LOCK_FILE: &str = "lock";
/// What an interrupted attempt to make a node leaves behind; and what a file system keeps at its root.
const LEFTOVERS: [&str; 11] = [
    CONFIG_FILE,
    CA_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    CLUSTER_KEY_FILE,
    JOINING_FILE,
    FOUNDING_FILE,
    SETUP_SECRET_FILE,
    LICENSE_FILE,
    LOCK_FILE,
    "lost+found",
];
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The layout of the directory that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// What to do about a file that a node keeps about itself and cannot use.
const RESTORE: &str = "restore it from a backup, or rebuild this node from the quorum under a new id";

/// Who a data directory is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The layout of the directory.
    pub format: u32,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The directory's own random identity.
    pub store: StoreId,
    /// The node that runs on it.
    pub node: AuthorityNodeId,
    /// Whether `log` and `ledger` were made. They are at the node's first start, and never again: a node that has lost them
    /// no longer knows what it has promised, and would break it under the same number.
    #[serde(default)]
    pub stores_made: bool,
}

impl Identity {
    /// For a new directory.
    pub fn new(cluster: ClusterId, store: StoreId, node: AuthorityNodeId) -> Self {
        Self { format: FORMAT, cluster, store, node, stores_made: false }
    }

    /// As the node says it in every handshake.
    pub fn local_node(&self) -> LocalNode {
        LocalNode {
            cluster: net_cluster(self.cluster),
            member: Member::authority(self.node.0),
            store: bursar_net::StoreId(self.store.0),
        }
    }
}

/// The cluster's id as it stands in certificates.
pub fn net_cluster(cluster: ClusterId) -> bursar_net::ClusterId {
    bursar_net::ClusterId::new(&cluster.to_string()).expect("32 hexadecimal digits are a DNS label")
}

/// A new random store id.
pub fn new_store(entropy: &dyn Entropy) -> StoreId {
    StoreId(entropy.array())
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is something in it already.
    #[error("{} holds a node already: start it with `bursar authority run`, or choose an empty directory", .0.display())]
    NotEmpty(PathBuf),
    /// There is something else in it.
    #[error("{} is not empty, it holds {name}: choose an empty directory", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// A file or directory in it.
        name: String,
    },
    /// There is nothing in it.
    #[error("{} holds no authority node: make one with `bursar authority init` or `bursar authority join`", .0.display())]
    Empty(PathBuf),
    /// `identity.toml` is not what it must be.
    #[error("{path} is damaged; {RESTORE}. {source}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// The directory was written by a newer program.
    #[error("{path} has format {found}, this program reads up to {FORMAT}: run the newer program")]
    Newer {
        /// The file.
        path: String,
        /// What was found.
        found: u32,
    },
    /// The directory claims a format that no program ever wrote.
    #[error("{0} is damaged: it has format 0, which never was; {RESTORE}")]
    NoFormat(String),
    /// A certificate or a key.
    #[error("{files} cannot be used: {source}; {RESTORE}")]
    Certificate {
        /// The file, or the files of which one is wrong.
        files: String,
        /// What is wrong.
        source: CertificateError,
    },
    /// The cluster key.
    #[error("{path} cannot be used: {source}; {RESTORE}")]
    ClusterKey {
        /// The file.
        path: String,
        /// What is wrong.
        source: SealError,
    },
    /// A file is another node's or another cluster's, or damaged in a way that still reads.
    #[error("{path} says {found}, and it must be {expected}; {RESTORE}")]
    Foreign {
        /// The file.
        path: String,
        /// Whose it is, as it reads.
        found: String,
        /// Whose it must be, as other files or the ledger say.
        expected: String,
    },
    /// A store that was made is not there any more.
    #[error(
        "{} is gone, and with it what {node} has promised to the others: it cannot go on under this number. Bring the \
         directory back as it was; else remove the node from the cluster, and let the machine join it with a new data directory", path.display()
    )]
    StoreGone {
        /// Where it was.
        path: PathBuf,
        /// Whose it was.
        node: AuthorityNodeId,
    },
    /// The command that founds another cluster than the directory's own.
    #[error(
        "{} founds cluster {found}, this directory belongs to cluster {expected}: an interrupted `bursar authority init` left \
         it behind; remove the file", .path.display()
    )]
    ForeignFounding {
        /// The file.
        path: PathBuf,
        /// What it would found.
        found: ClusterId,
        /// Whose the directory is.
        expected: ClusterId,
    },
    /// What an interrupted join left behind.
    #[error("{} is damaged: remove it, and join with a new token", .0.display())]
    Joining(PathBuf),
}

/// A data directory that this process holds.
pub struct DataDirectory {
    root: PathBuf,
    files: DiskFiles,
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
    pub fn create(root: &Path) -> Result<Self, DirectoryError> {
        let files = DiskFiles;
        files.create_directory(root)?;
        // The identity is written last: without it, what an interrupted attempt left behind is written over.
        if files.exists(&root.join(IDENTITY_FILE))? {
            return Err(DirectoryError::NotEmpty(root.to_owned()));
        }
        if let Some(name) = files.list(root)?.iter().map(|name| name.to_string_lossy()).find(|name| !is_leftover(name)) {
            return Err(DirectoryError::Occupied { path: root.to_owned(), name: name.into_owned() });
        }
        let lock = files.lock(&root.join(LOCK_FILE))?;
        Ok(Self { root: root.to_owned(), files, _lock: lock })
    }

    /// Whether a directory holds a node.
    pub fn exists(root: &Path) -> Result<bool, FileError> {
        DiskFiles.exists(&root.join(IDENTITY_FILE))
    }

    /// Takes hold of the directory of an existing node.
    pub fn open(root: &Path) -> Result<Self, DirectoryError> {
        let files = DiskFiles;
        if !Self::exists(root)? {
            return Err(DirectoryError::Empty(root.to_owned()));
        }
        let lock = files.lock(&root.join(LOCK_FILE))?;
        Ok(Self { root: root.to_owned(), files, _lock: lock })
    }

    /// Writes a new node's files; the identity last, so that an interrupted attempt leaves no node.
    pub fn write(&self, node: &NewNode<'_>) -> Result<(), DirectoryError> {
        node.config.write(&self.files, &self.root)?;
        self.put(CA_FILE, node.ca_certificate.as_bytes())?;
        self.put(CERTIFICATE_FILE, node.certificate.as_bytes())?;
        self.put(KEY_FILE, node.key.to_pem().as_bytes())?;
        self.put(CLUSTER_KEY_FILE, node.cluster_key.as_bytes())?;
        self.write_identity(&node.identity)
    }

    fn write_identity(&self, identity: &Identity) -> Result<(), DirectoryError> {
        let identity = toml::to_string(identity).expect("an identity can be written as TOML");
        self.put(IDENTITY_FILE, identity.as_bytes())
    }

    /// Refuses where a store that was made is gone; `is_there` knows how to tell.
    pub fn check_stores(&self, is_there: impl Fn(&Path) -> bool) -> Result<(), DirectoryError> {
        let identity = self.identity()?;
        match [self.log(), self.ledger()].into_iter().find(|store| identity.stores_made && !is_there(store)) {
            Some(path) => Err(DirectoryError::StoreGone { path, node: identity.node }),
            None => Ok(()),
        }
    }

    /// Remembers that the stores were made. To be said before the node promises anything.
    pub fn note_stores_made(&self) -> Result<(), DirectoryError> {
        let identity = self.identity()?;
        if identity.stores_made { Ok(()) } else { self.write_identity(&Identity { stores_made: true, ..identity }) }
    }

    /// Who the directory is.
    pub fn identity(&self) -> Result<Identity, DirectoryError> {
        let path = self.path(IDENTITY_FILE);
        let bytes = self.files.read_private(&self.root.join(IDENTITY_FILE), FILE_BYTES_MAX)?;
        let text = String::from_utf8_lossy(&bytes);
        let malformed = |source| DirectoryError::Malformed { path: path.clone(), source: Box::new(source) };
        // The format alone first: a newer layout may have fields that this program does not know.
        let format = toml::from_str::<FormatOnly>(&text).map_err(malformed)?.format;
        match format {
            FORMAT => {}
            0 => return Err(DirectoryError::NoFormat(path)),
            newer => return Err(DirectoryError::Newer { path, found: newer }),
        }
        toml::from_str(&text).map_err(malformed)
    }

    /// The settings.
    pub fn config(&self) -> Result<Config, DirectoryError> {
        Ok(Config::read(&self.files, &self.root)?)
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

    /// Compares the files with what the ledger has recorded of this node and its cluster, as far as it has. A file in which a
    /// bit has flipped may well read as another store, another authority or another key.
    pub fn check_against(&self, state: &State) -> Result<(), DirectoryError> {
        let (identity, credentials, cluster_key) = (self.identity()?, self.credentials()?, self.cluster_key()?);
        if let Some(recorded) = state.authority_nodes().get(identity.node)
            && recorded.store != identity.store
        {
            let (found, expected) = (identity.store, recorded.store);
            return Err(self.foreign(IDENTITY_FILE, format!("store {found}"), format!("store {expected}")));
        }
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

    /// The store id and the key of a node that joins: made at the first attempt, the same at every further one, so that the
    /// authority recognises the machine when its answer was lost.
    pub fn prepare_joining(&self, entropy: &dyn Entropy) -> Result<(StoreId, NodeKey), DirectoryError> {
        let path = self.root.join(JOINING_FILE);
        if self.files.exists(&path)? {
            let text = self.private_text(JOINING_FILE)?;
            let damaged = || DirectoryError::Joining(path.clone());
            let (store, key) = text.split_once('\n').ok_or_else(damaged)?;
            return Ok((store.parse().map_err(|_| damaged())?, NodeKey::from_pem(key).map_err(|_| damaged())?));
        }
        let made = NodeKey::generate().map_err(|source| DirectoryError::Certificate { files: self.path(JOINING_FILE), source });
        let (store, key) = (new_store(entropy), made?);
        self.put(JOINING_FILE, Zeroizing::new(format!("{store}\n{}", *key.to_pem())).as_bytes())?;
        Ok((store, key))
    }

    /// Forgets how the node joined: it is a member.
    pub fn forget_joining(&self) -> Result<(), DirectoryError> {
        Ok(self.files.remove(&self.root.join(JOINING_FILE))?)
    }

    /// Keeps the command that founds the cluster until it is committed.
    pub fn write_founding(&self, submission: &[u8]) -> Result<(), DirectoryError> {
        self.put(FOUNDING_FILE, submission)
    }

    /// The command that founds the cluster, where it is not known to be committed. One that founds another cluster is refused.
    pub fn founding(&self) -> Result<Option<Vec<u8>>, DirectoryError> {
        let path = self.root.join(FOUNDING_FILE);
        if !self.files.exists(&path)? {
            return Ok(None);
        }
        let submission = self.files.read_private(&path, FILE_BYTES_MAX)?;
        let expected = self.identity()?.cluster;
        match encoding::decode::<Submission>(&submission).map(|submission| submission.command) {
            Ok(Command::Cluster(cluster::Command::Found { cluster: found, .. })) if found != expected => {
                Err(DirectoryError::ForeignFounding { path, found, expected })
            }
            // Bytes that do not read are for whoever decodes them to report.
            _ => Ok(Some(submission)),
        }
    }

    /// Removes what an interrupted founding left behind: a node that joins founds nothing.
    pub fn abandon_founding(&self) -> Result<(), DirectoryError> {
        for path in [FOUNDING_FILE, SETUP_SECRET_FILE].map(|file| self.root.join(file)) {
            if self.files.exists(&path)? {
                self.files.remove(&path)?;
            }
        }
        Ok(())
    }

    /// Forgets the command that founds the cluster: it is committed.
    pub fn forget_founding(&self) -> Result<(), DirectoryError> {
        Ok(self.files.remove(&self.root.join(FOUNDING_FILE))?)
    }

    /// Writes down the secret that makes the first administrator; returns where.
    pub fn write_setup_secret(&self, secret: &str) -> Result<PathBuf, DirectoryError> {
        self.put(SETUP_SECRET_FILE, secret.as_bytes())?;
        Ok(self.root.join(SETUP_SECRET_FILE))
    }

    /// Removes the secret that makes the first administrator: it was used. Returns whether it was here.
    pub fn forget_setup_secret(&self) -> Result<bool, DirectoryError> {
        let path = self.root.join(SETUP_SECRET_FILE);
        let is_here = self.files.exists(&path)?;
        if is_here {
            self.files.remove(&path)?;
        }
        Ok(is_here)
    }

    /// Writes down a master license key that was made here; returns where.
    pub fn write_license_key(&self, key: &str) -> Result<PathBuf, DirectoryError> {
        self.put(LICENSE_FILE, key.as_bytes())?;
        Ok(self.root.join(LICENSE_FILE))
    }

    /// The directory of the Raft log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The directory of journal, checkpoints and applied position.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// Where the settings are, for messages.
    pub fn config_path(&self) -> PathBuf {
        self.root.join(CONFIG_FILE)
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

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use bursar_domain::{Actor, Hash, Level, RequestId, authority_node::Facts};

    use super::*;

    fn founding(cluster: ClusterId) -> Vec<u8> {
        let node = Facts {
            store: StoreId([1; 16]),
            peer_address: "n1.example:4283".into(),
            api_address: "n1.example:4285".into(),
            version: "0.1.0".into(),
            supported: Level::SUPPORTED,
        };
        let found = cluster::Command::Found {
            cluster,
            license_key: Vec::new(),
            ca_certificate: String::new(),
            sealed_ca_key: Vec::new(),
            setup_secret: Hash::ZERO,
            node,
        };
        encoding::encode(&Submission {
            actor: Actor::Founder,
            request: RequestId::parse("found").unwrap(),
            fingerprint: Hash::ZERO,
            expected: None,
            planned_on: None,
            command: Command::Cluster(found),
        })
    }

    #[test]
    fn only_the_directorys_own_cluster_is_founded() {
        let (own, other) = (ClusterId([1; 16]), ClusterId([2; 16]));
        let root = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(root.path()).unwrap();
        directory.write_identity(&Identity::new(own, StoreId([1; 16]), AuthorityNodeId(2))).unwrap();
        directory.write_founding(&founding(own)).unwrap();
        assert_eq!(directory.founding().unwrap(), Some(founding(own)));
        directory.write_founding(&founding(other)).unwrap();
        let refused = directory.founding().unwrap_err();
        assert!(matches!(refused, DirectoryError::ForeignFounding { found, .. } if found == other), "{refused}");
    }

    #[test]
    fn abandoning_a_founding_leaves_nothing_of_it_and_may_be_repeated() {
        let root = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(root.path()).unwrap();
        directory.write_founding(&founding(ClusterId([1; 16]))).unwrap();
        let secret = directory.write_setup_secret("secret").unwrap();
        directory.abandon_founding().unwrap();
        assert!(!secret.exists() && directory.founding().unwrap().is_none());
        directory.abandon_founding().unwrap();
    }
}
