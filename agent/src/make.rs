//! Making a storage server: `bursar storage-server init`.

use std::{path::Path, sync::Arc, time::Duration};

use bursar_net::{
    CertificateError, CheckedSettings, Entropy, Files, MasterLicenseKey, NodeKey, SelfSignedCertificate, WallClock,
};
use bursar_wire::connection_string::license_subject;

use crate::{
    directory::{DataDirectory, DirectoryError, Server},
    identity::Identity,
    introduction::Issued,
    settings::{Settings, SettingsFault},
    standing::Standing,
};

/// How long the certificate is valid that a server signs itself. Who pins it looks at its fingerprint, and at the connection
/// string's own expiry.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What a new storage server is made from.
pub struct Making<'m> {
    /// Where it keeps its data.
    pub directory: &'m Path,
    /// Its settings.
    pub settings: Settings,
    /// The fleet's master license key. It is used here and kept nowhere.
    pub license_key: &'m MasterLicenseKey,
    /// Where files rest.
    pub files: Arc<dyn Files>,
    /// The time of day.
    pub clock: &'m dyn WallClock,
    /// Randomness.
    pub entropy: &'m dyn Entropy,
}

/// Why a storage server could not be made. Until its last file is written there is none, and making it can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsFault),
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Makes this machine a storage server, in a clean directory alone, and issues its first connection string.
pub fn make(making: Making<'_>) -> Result<Issued, MakeError> {
    let Making { directory, settings, license_key, files, clock, entropy } = making;
    settings.check()?;
    let (directory, _lock) = DataDirectory::create(files, directory)?;
    let (guid, store) = Identity::draw(entropy);
    let key = NodeKey::generate()?;
    let certificate =
        SelfSignedCertificate::create(&format!("storage server {guid}"), &key, CERTIFICATE_LIFETIME, clock, entropy)?;
    let license = license_key.prove(&license_subject(guid, &key.public_key()));
    let identity = Identity { guid, store, certificate: certificate.fingerprint(), license };
    let server = Server { identity, settings, key, certificate };
    let issued = Issued::by(&server, clock, entropy);
    directory.write(&server, &Standing::of(&issued.says))?;
    Ok(issued)
}
