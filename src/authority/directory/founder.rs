//! What the first node of a cluster has and no other: the command that founds the cluster, until it is committed; and for
//! people, the setup secret and the master license key.

use std::path::PathBuf;

use bursar_domain::{Command, Hash, State, Submission, cluster, encoding};
use bursar_net::MasterLicenseKey;

use super::{
    DataDirectory, DirectoryError, FILE_BYTES_MAX, FOUNDING_FILE, LICENSE_FILE, SETUP_SECRET_FILE,
    checked::{checked, with_hash},
};

impl DataDirectory {
    /// Keeps the command that founds the cluster until it is committed.
    pub fn write_founding(&self, submission: &Submission) -> Result<(), DirectoryError> {
        self.put(FOUNDING_FILE, &with_hash(&encoding::encode(submission)))
    }

    /// The command that founds the cluster, where it is not known to be committed. One that founds another cluster is refused.
    pub fn founding(&self) -> Result<Option<Submission>, DirectoryError> {
        let path = self.root.join(FOUNDING_FILE);
        if !self.files.exists(&path)? {
            return Ok(None);
        }
        let bytes = self.files.read_private(&path, FILE_BYTES_MAX)?;
        let submission = checked(&bytes).and_then(|contents| encoding::decode::<Submission>(contents).ok());
        let Some(submission) = submission else { return Err(DirectoryError::Founding(path)) };
        let expected = self.identity()?.cluster;
        match &submission.command {
            Command::Cluster(cluster::Command::Found { cluster: found, .. }) if *found != expected => {
                Err(DirectoryError::ForeignFounding { path, found: *found, expected })
            }
            _ => Ok(Some(submission)),
        }
    }

    /// Removes what an interrupted founding left behind: a node that joins founds nothing.
    pub fn abandon_founding(&self) -> Result<(), DirectoryError> {
        self.remove_if_there(FOUNDING_FILE)?;
        self.remove_if_there(SETUP_SECRET_FILE)?;
        self.forget_license_key()
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

    /// Removes a master license key that an interrupted founding made: its cluster never was.
    pub fn forget_license_key(&self) -> Result<(), DirectoryError> {
        self.remove_if_there(LICENSE_FILE)
    }

    /// Compares what is kept here for people, as far as it is, with what the ledger has recorded, or else with what founds the
    /// cluster. The node itself runs without it.
    ///
    /// # Errors
    /// A setup secret or a master license key that is not the cluster's.
    pub fn check_kept_for_people(&self, state: &State, founding: Option<&Submission>) -> Result<(), DirectoryError> {
        let (setup_secret, license_key) = match (state.cluster(), founding.map(|submission| &submission.command)) {
            (Some(cluster), _) => (cluster.setup_secret, &cluster.license_key),
            (None, Some(Command::Cluster(cluster::Command::Found { setup_secret, license_key, .. }))) => {
                (Some(*setup_secret), license_key)
            }
            (None, _) => return Ok(()),
        };
        // Once it was used, its file is on its way out.
        if let Some(expected) = setup_secret
            && let Some(found) = self.text_if_there(SETUP_SECRET_FILE)?
            && Hash::of(found.trim().as_bytes()) != expected
        {
            return Err(DirectoryError::SetupSecret(self.root.join(SETUP_SECRET_FILE)));
        }
        if let Some(found) = self.text_if_there(LICENSE_FILE)?
            && MasterLicenseKey::parse(&found).map(|key| key.public_key()).ok().as_ref() != Some(license_key)
        {
            return Err(DirectoryError::LicenseKey(self.root.join(LICENSE_FILE)));
        }
        Ok(())
    }

    fn text_if_there(&self, file: &str) -> Result<Option<String>, DirectoryError> {
        if self.files.exists(&self.root.join(file))? { self.private_text(file).map(Some) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use std::sync::Arc;

    use bursar_domain::{Actor, AuthorityNodeId, ClusterId, Level, RequestId, StoreId, authority_node::Facts};
    use bursar_net::kept_to_toml;
    use bursar_storage::engine::MemoryEngines;

    use super::{super::IDENTITY_FILE, *};
    use crate::{World, authority::identity::Identity};

    fn world() -> World {
        World::with_engines(Arc::new(MemoryEngines::new()))
    }

    fn founding(cluster: ClusterId) -> Submission {
        let node = Facts {
            store: StoreId([1; 16]),
            peer_address: "n1.example:4283".into(),
            api_address: "n1.example:4285".into(),
            control_address: "n1.example:4288".into(),
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
        Submission {
            actor: Actor::Founder,
            request: RequestId::parse("found").unwrap(),
            fingerprint: Hash::ZERO,
            expected: None,
            planned_on: None,
            command: Command::Cluster(found),
        }
    }

    #[test]
    fn only_the_directorys_own_cluster_is_founded() {
        let (own, other) = (ClusterId([1; 16]), ClusterId([2; 16]));
        let root = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(&world(), &root.path().join("node")).unwrap();
        let identity = Identity::new(own, StoreId([1; 16]), AuthorityNodeId(2));
        directory.put(IDENTITY_FILE, kept_to_toml(&identity).as_bytes()).unwrap();
        directory.write_founding(&founding(own)).unwrap();
        assert_eq!(directory.founding().unwrap(), Some(founding(own)));
        directory.write_founding(&founding(other)).unwrap();
        let refused = directory.founding().unwrap_err();
        assert!(matches!(refused, DirectoryError::ForeignFounding { found, .. } if found == other), "{refused}");
    }

    #[test]
    fn abandoning_a_founding_leaves_nothing_of_it_and_may_be_repeated() {
        let root = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(&world(), &root.path().join("node")).unwrap();
        directory.write_founding(&founding(ClusterId([1; 16]))).unwrap();
        let secret = directory.write_setup_secret("secret").unwrap();
        let license = directory.write_license_key("BURSAR-00000-00000-00000").unwrap();
        directory.abandon_founding().unwrap();
        assert!(!secret.exists() && !license.exists() && directory.founding().unwrap().is_none());
        directory.abandon_founding().unwrap();
    }
}
