//! Founding a cluster: `bursar authority init`.

use std::path::{Path, PathBuf};

use bursar_domain::{
    Actor, AuthorityNodeId, ClusterId, Command, Hash, Level, RequestId, StoreId, Submission, authority_node, cluster,
};
use bursar_net::{
    CertificateAuthority, CertificateError, ClusterKey, LeafProfile, MasterLicenseKey, Member, NodeKey, PeerIdentity, SubjectName,
};

use super::{
    AUTHORITY_LIFETIME, NODE_LIFETIME, SEALED_CA_KEY,
    config::Config,
    directory::{DataDirectory, DirectoryError, NewNode},
    identity::{Identity, net_cluster, new_store},
};
use crate::World;

/// What a new cluster is made from.
pub struct Founding<'f> {
    /// The world.
    pub world: &'f World,
    /// Where its first node keeps its data.
    pub directory: &'f Path,
    /// The first node's settings.
    pub config: Config,
    /// The master license key; one is made where there is none.
    pub license_key: Option<MasterLicenseKey>,
}

/// What was made.
#[derive(Debug)]
pub struct Founded {
    /// The cluster.
    pub cluster: ClusterId,
    /// The file with the secret that makes the first administrator.
    pub setup_secret_file: PathBuf,
    /// The file with the master license key, where it was made here.
    pub license_key_file: Option<PathBuf>,
}

/// Why a cluster could not be founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Makes the first node of a new cluster. The ledger itself begins at the node's first start, with the command that is kept
/// in its directory until then: whatever interrupts either, the cluster is founded once.
pub fn found(founding: Founding<'_>) -> Result<Founded, FoundError> {
    let Founding { world, directory, config, license_key } = founding;
    let (clock, entropy) = (&*world.clock, &*world.entropy);
    let directory = DataDirectory::create(world, directory)?;
    let made_here = license_key.is_none();
    let license_key = license_key.unwrap_or_else(|| MasterLicenseKey::generate(entropy));
    let cluster = ClusterId(entropy.array());
    let identity = Identity::new(cluster, new_store(entropy), AuthorityNodeId(1));

    let authority = CertificateAuthority::create(&net_cluster(cluster), AUTHORITY_LIFETIME, clock, entropy)?;
    let cluster_key = ClusterKey::generate(entropy);
    let key = NodeKey::generate()?;
    let certificate = authority.issue(&key.request()?, &leaf_profile(&identity, &config), clock, entropy)?;

    let setup_secret = format!("bursar-setup-{}", base64_url(&entropy.array::<32>()));
    let command = cluster::Command::Found {
        cluster,
        license_key: license_key.public_key(),
        ca_certificate: authority.certificate_pem().to_owned(),
        sealed_ca_key: cluster_key.seal(SEALED_CA_KEY, authority.key_pem().as_bytes(), entropy),
        setup_secret: Hash::of(setup_secret.as_bytes()),
        node: facts(identity.store, &config),
    };
    let submission = Submission {
        actor: Actor::Founder,
        request: RequestId::minted(&format!("found-{cluster}")).expect("an id of visible characters"),
        fingerprint: Hash::of(&cluster.0),
        expected: None,
        planned_on: None,
        command: Command::Cluster(command),
    };

    directory.write_founding(&submission)?;
    directory.abandon_joining()?;
    let setup_secret_file = directory.write_setup_secret(&setup_secret)?;
    let license_key_file = if made_here {
        Some(directory.write_license_key(license_key.as_str())?)
    } else {
        directory.forget_license_key()?;
        None
    };
    directory.write(&NewNode {
        identity,
        config,
        ca_certificate: authority.certificate_pem(),
        certificate: &certificate.pem,
        key: &key,
        cluster_key: &cluster_key,
    })?;
    Ok(Founded { cluster, setup_secret_file, license_key_file })
}

/// What the node says of itself.
pub(super) fn facts(store: StoreId, config: &Config) -> authority_node::Facts {
    authority_node::Facts {
        store,
        peer_address: config.advertised.peer.to_string(),
        api_address: config.advertised.api.to_string(),
        control_address: config.advertised.control.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        supported: Level::SUPPORTED,
    }
}

fn leaf_profile(identity: &Identity, config: &Config) -> LeafProfile {
    profile(identity.cluster, identity.node, config.advertised.api.host())
}

/// The certificate of an authority node: its identity, and the names under which people reach it.
pub(super) fn profile(cluster: ClusterId, node: AuthorityNodeId, api_host: &str) -> LeafProfile {
    LeafProfile {
        identity: PeerIdentity { member: Member::authority(node.0), cluster: net_cluster(cluster) },
        further_names: vec![SubjectName::from_host(api_host), SubjectName::Dns("localhost".into())],
        lifetime: NODE_LIFETIME,
    }
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
