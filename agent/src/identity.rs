//! Who a data directory is: `identity.toml`.

use bursar_domain::{ServerGuid, StoreId, hash::hex};
use bursar_net::{Entropy, Fingerprint, LicenseProof, PublicKey};
use bursar_wire::connection_string::license_subject;
use serde::{Deserialize, Serialize};

/// Who a storage server is. Written once, when everything else in the directory is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The server's random identity, which the authority knows it by. A server that is moved to another disk keeps it.
    pub guid: ServerGuid,
    /// The directory's own random identity, which what is kept in it bears too.
    pub store: StoreId,
    /// The SHA-256 of the certificate that the server signed itself.
    pub certificate: Fingerprint,
    /// That the server was made with the fleet's master license key.
    #[serde(with = "proof")]
    pub license: LicenseProof,
}

impl Identity {
    /// Random ids for a new server.
    pub(crate) fn draw(entropy: &dyn Entropy) -> (ServerGuid, StoreId) {
        (ServerGuid(entropy.array()), StoreId(entropy.array()))
    }

    /// Whether the proof of the master license key is of this guid and of `key`. A flipped bit in any of them shows here.
    pub(crate) fn is_attested_for(&self, key: &PublicKey) -> bool {
        self.license.attests(&license_subject(self.guid, key))
    }
}

/// The proof as people may read it.
mod proof {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, LicenseProof, Serialize, hex};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Readable {
        #[serde(with = "hex")]
        public_key: [u8; 32],
        #[serde(with = "hex")]
        signature: [u8; 64],
    }

    pub(super) fn serialize<S: Serializer>(proof: &LicenseProof, serializer: S) -> Result<S::Ok, S::Error> {
        Readable { public_key: proof.public_key, signature: proof.signature }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LicenseProof, D::Error> {
        let Readable { public_key, signature } = Readable::deserialize(deserializer)?;
        Ok(LicenseProof { public_key, signature })
    }
}
