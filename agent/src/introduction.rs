//! How a storage server introduces itself: it issues connection strings, of which one stands at a time.

use bursar_domain::{Timestamp, hash::hex, server::ProgramFacts};
use bursar_net::{Entropy, WallClock};
use bursar_wire::{ConnectionString, Secret, connection_string::LIFETIME_MS};

use crate::{
    directory::{DataDirectory, DirectoryError, Server},
    program,
    standing::Standing,
};

/// A connection string that was issued.
#[derive(Debug)]
pub struct Issued {
    /// The line that people copy.
    pub line: Secret,
    /// What it says.
    pub says: ConnectionString,
}

/// Issues a connection string; from then on it stands, and every former one is void.
///
/// # Errors
/// A directory that cannot be used, or whose server belongs to a cluster already: then the former string stands on.
pub fn issue(directory: &DataDirectory, clock: &dyn WallClock, entropy: &dyn Entropy) -> Result<Issued, DirectoryError> {
    let _lock = directory.lock_standing()?;
    let server = directory.server()?;
    directory.require_newcomer()?;
    let issued = Issued::by(&server, clock, entropy);
    directory.write_standing(&Standing::of(&issued.says))?;
    Ok(issued)
}

impl Issued {
    /// A new string of `server`, with a secret of its own.
    pub(crate) fn by(server: &Server, clock: &dyn WallClock, entropy: &dyn Entropy) -> Self {
        let Server { identity, settings, key, certificate } = server;
        let issued_at = Timestamp(clock.now_unix_ms());
        let ProgramFacts { version, platform, .. } = program::facts();
        let says = ConnectionString {
            guid: identity.guid,
            name: settings.name.clone(),
            primary_address: settings.advertised.primary.clone(),
            secondary_address: settings.advertised.secondary.clone(),
            peer_port: settings.listen.peer.port(),
            transfer_port: settings.listen.transfer.port(),
            platform,
            version,
            public_key: key.public_key(),
            certificate: certificate.fingerprint(),
            secret: Secret::new(hex::encode(&entropy.array::<32>())),
            issued_at,
            expires_at: issued_at.plus_ms(LIFETIME_MS),
            license: identity.license.clone(),
        };
        Self { line: says.encode(key), says }
    }
}
