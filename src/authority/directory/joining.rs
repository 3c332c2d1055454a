//! What a machine that joins has: its store id and key, until it is a member; and the members that it was told of, until its
//! ledger knows them.

use bursar_domain::State;
use bursar_net::{Entropy, NodeKey, kept_from_toml, kept_to_toml};
use tracing::warn;
use zeroize::Zeroizing;

use super::{
    DataDirectory, DirectoryError, FILE_BYTES_MAX, JOINING_FILE, MEMBERS_FILE,
    checked::{checked, with_hash},
};
use crate::authority::{
    identity::new_store,
    joiner::{DamagedJoiner, Joiner},
    members::Members,
};

/// What to do about members that cannot be read, though no bit has flipped.
const REMOVE: &str = "remove it, the node runs without it";

impl DataDirectory {
    /// The store id and the key of a node that joins: made at the first attempt, the same at every further one, so that the
    /// authority recognises the machine when its answer was lost.
    pub(in crate::authority) fn prepare_joining(&self, entropy: &dyn Entropy) -> Result<Joiner, DirectoryError> {
        let path = self.root.join(JOINING_FILE);
        if self.files.exists(&path)? {
            let bytes = Zeroizing::new(self.files.read_private(&path, FILE_BYTES_MAX)?);
            let joiner = checked(&bytes).ok_or(DamagedJoiner).and_then(|text| Joiner::from_text(&String::from_utf8_lossy(text)));
            return joiner.map_err(|DamagedJoiner| DirectoryError::Joining(path));
        }
        let made = NodeKey::generate().map_err(|source| DirectoryError::Certificate { files: self.path(JOINING_FILE), source });
        let joiner = Joiner { store: new_store(entropy), key: made? };
        self.put(JOINING_FILE, &with_hash(joiner.to_text().as_bytes()))?;
        Ok(joiner)
    }

    /// Forgets how the node joined, where it still knows: it is a member.
    pub fn forget_joining(&self) -> Result<(), DirectoryError> {
        self.remove_if_there(JOINING_FILE)
    }

    /// Removes what an interrupted join left behind: a node that founds a cluster is no other cluster's member.
    pub fn abandon_joining(&self) -> Result<(), DirectoryError> {
        self.remove_if_there(MEMBERS_FILE)?;
        self.forget_joining()
    }

    /// Keeps the members that a node was told of when it joined.
    pub fn write_members(&self, members: &Members) -> Result<(), DirectoryError> {
        self.put(MEMBERS_FILE, &with_hash(kept_to_toml(members).as_bytes()))
    }

    /// The members that the node was told of when it joined: of use until its ledger knows them, and then forgotten. Where they
    /// cannot be read, that is logged, and the node knows nobody: it waits to be called.
    pub(in crate::authority) fn members(&self, ledger: &State) -> Result<Members, DirectoryError> {
        if !ledger.authority_nodes().is_empty() {
            self.remove_if_there(MEMBERS_FILE)?;
        }
        let kept = self.kept_members().unwrap_or_else(|error| {
            warn!(%error, "the node runs without it");
            None
        });
        Ok(kept.unwrap_or_default())
    }

    /// Whether the node keeps the members that it was told of when it joined.
    ///
    /// # Errors
    /// It does, and they cannot be read. The node itself runs without them.
    pub fn keeps_members(&self) -> Result<bool, DirectoryError> {
        Ok(self.kept_members()?.is_some())
    }

    fn kept_members(&self) -> Result<Option<Members>, DirectoryError> {
        let path = self.root.join(MEMBERS_FILE);
        if !self.files.exists(&path)? {
            return Ok(None);
        }
        let bytes = self.files.read_private(&path, FILE_BYTES_MAX)?;
        match checked(&bytes) {
            Some(text) => Ok(Some(kept_from_toml(&path, text, REMOVE)?)),
            None => Err(DirectoryError::Members(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use std::sync::Arc;

    use bursar_domain::{AuthorityNodeId, StoreId};
    use bursar_storage::engine::MemoryEngines;

    use super::*;
    use crate::{World, authority::members::KnownMember};

    fn world() -> World {
        World::with_engines(Arc::new(MemoryEngines::new()))
    }

    #[test]
    fn members_that_cannot_be_read_are_done_without() {
        let root = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(&world(), &root.path().join("node")).unwrap();
        let members = || directory.members(&State::default()).unwrap();
        assert_eq!((members(), directory.keeps_members().unwrap()), (Members::default(), false));
        let first = KnownMember {
            node: AuthorityNodeId(1),
            store: StoreId([6; 16]),
            peer_address: "node-1:4283".into(),
            api_address: "node-1:4285".into(),
        };
        let told = Members { members: vec![first] };
        directory.write_members(&told).unwrap();
        assert_eq!((members(), directory.keeps_members().unwrap()), (told, true));

        directory.put(MEMBERS_FILE, b"damaged").unwrap();
        assert_eq!(members(), Members::default());
        assert!(matches!(directory.keeps_members(), Err(DirectoryError::Members(_))));
        directory.put(MEMBERS_FILE, &with_hash(b"format = 2\n")).unwrap();
        assert_eq!(members(), Members::default());
        assert!(matches!(directory.keeps_members(), Err(DirectoryError::Format(_))));
    }
}
