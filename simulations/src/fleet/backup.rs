//! The backup of an authority node: what makes it who it is, but for its stores.
//!
//! Somebody who puts it back into a fresh directory has a node of the old number that has forgotten what it had promised.

use std::path::{Path, PathBuf};

use bursar::World;
use bursar::authority::{CA_FILE, Config, DataDirectory, DirectoryError, Identity, Members, NewNode, SEALED_CA_KEY};
use bursar_domain::{State, StoreId};
use bursar_net::{ClusterKey, NodeKey, read_kept};

use super::told;
use crate::secrets::Secrets;

const IDENTITY_FILE: &str = "identity.toml";
const CERTIFICATE_FILE: &str = "node.crt";
const KEY_FILE: &str = "node.key";
const CLUSTER_KEY_FILE: &str = "cluster.key";
/// What holds a node's key until it is a member.
const JOINING_FILE: &str = "joining";
const FILE_BYTES_MAX: usize = 1 << 16;

/// The backup of a node.
pub(super) struct Backup {
    identity: Identity,
    ca_certificate: String,
    certificate: String,
    key: String,
    cluster_key: ClusterKey,
}

impl Backup {
    /// Of the node of a directory.
    pub fn of(world: &World, root: &Path) -> Result<Self, String> {
        let bytes = |file: &str| world.files.read_private(&root.join(file), FILE_BYTES_MAX).map_err(told);
        let text = |file| bytes(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let identity: Result<_, DirectoryError> = read_kept(&*world.files, &root.join(IDENTITY_FILE), "there is no other");
        Ok(Self {
            identity: identity.map_err(told)?,
            ca_certificate: text(CA_FILE)?,
            certificate: text(CERTIFICATE_FILE)?,
            key: text(KEY_FILE)?,
            cluster_key: ClusterKey::from_bytes(&bytes(CLUSTER_KEY_FILE)?).map_err(told)?,
        })
    }

    /// Makes a fresh directory with it, on stores made anew, and tells it whom there is.
    pub fn restore(&self, world: &World, root: &Path, config: Config, members: &Members) -> Result<(), String> {
        let directory = DataDirectory::create(world, root).map_err(told)?;
        directory.write_members(members).map_err(told)?;
        let Self { identity, ca_certificate, certificate, key, cluster_key } = self;
        let identity = Identity::new(identity.cluster, StoreId(world.entropy.array()), identity.node);
        let key = &NodeKey::from_pem(key).map_err(told)?;
        directory.write(&NewNode { identity, config, ca_certificate, certificate, key, cluster_key }).map_err(told)
    }

    /// Whom an operator would name to this node, as of `state`.
    pub fn others_in(&self, state: &State) -> Members {
        Members::beside(self.identity.node, state)
    }

    /// Says which secrets the directory of a node keeps.
    pub fn confess(&self, secrets: &Secrets, process: &str, root: &Path) {
        let homes = |files: &[&str]| files.iter().map(|file| root.join(file)).collect::<Vec<PathBuf>>();
        secrets.private_key(format_args!("the key of {process}"), &self.key, &homes(&[KEY_FILE, JOINING_FILE]));
        secrets.bytes("the cluster key", self.cluster_key.as_bytes(), &homes(&[CLUSTER_KEY_FILE]));
    }

    /// The key of the cluster's certificate authority, which is kept sealed alone, in PEM; none before there is a cluster.
    pub fn authority_key(&self, state: &State) -> Option<String> {
        let opened = self.cluster_key.open(SEALED_CA_KEY, &state.cluster()?.sealed_ca_key);
        Some(String::from_utf8_lossy(&opened.expect("every node has the key of its cluster")).into_owned())
    }
}
