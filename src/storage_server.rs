//! Making a storage server, introducing it to the authority, and running it.

mod advice;
mod run;

use std::{path::Path, sync::Arc};

use bursar_agent::{Advertised, DataDirectory, DirectoryError, Issued, Listen, MakeError, Making, Settings};
use bursar_net::{Address, MasterLicenseKey, SettingsError};
use serde_json::json;

use crate::{
    World,
    arguments::{ConnectionString, Format, InitStorageServer, Listening},
    license::{LicenseFileError, read_license_key},
};

pub use run::{RunError, run, run_command};

/// The customary ports of a storage server beside that of its advertised addresses.
const PEER_PORT: u16 = 4283;
const TRANSFER_PORT: u16 = 4286;

/// Why a storage server could not be made or introduced.
#[derive(Debug, thiserror::Error)]
pub enum StorageServerError {
    /// The master license key.
    #[error(transparent)]
    License(#[from] LicenseFileError),
    /// Making it.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// Its data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl StorageServerError {
    /// How the program ends, as all of its commands do: 2 where what was given is wrong, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::License(LicenseFileError::Key { .. })
            | Self::Make(MakeError::Settings(_))
            | Self::Directory(DirectoryError::Settings(SettingsError::Unusable { .. })) => 2,
            Self::License(LicenseFileError::File(_)) | Self::Make(_) | Self::Directory(_) => 1,
        }
    }
}

/// Makes a storage server in a clean directory, and issues its first connection string.
pub fn make(
    world: &World,
    directory: &Path,
    settings: Settings,
    license_key: &MasterLicenseKey,
) -> Result<Issued, StorageServerError> {
    let files = Arc::clone(&world.files);
    let making = Making { directory, settings, license_key, files, clock: &*world.clock, entropy: &*world.entropy };
    Ok(bursar_agent::make(making)?)
}

/// Issues another connection string; every former one is void.
pub fn issue(world: &World, directory: &Path) -> Result<Issued, StorageServerError> {
    let directory = DataDirectory::open(Arc::clone(&world.files), directory)?;
    Ok(bursar_agent::issue(&directory, &*world.clock, &*world.entropy)?)
}

/// `bursar storage-server init`
pub fn init_command(world: &World, arguments: &InitStorageServer) -> Result<(), StorageServerError> {
    let license_key = read_license_key(&*world.files, &arguments.license_key_file)?;
    let issued = make(world, &arguments.dir, settings(arguments), &license_key)?;
    eprintln!("Storage server {} is made in {}.", issued.says.name, arguments.dir.display());
    show(&issued, &arguments.dir, arguments.output);
    Ok(())
}

/// `bursar storage-server connection-string`
pub fn connection_string_command(world: &World, arguments: &ConnectionString) -> Result<(), StorageServerError> {
    let issued = issue(world, &arguments.dir)?;
    eprintln!("Every former connection string of {} is void.", issued.says.name);
    show(&issued, &arguments.dir, arguments.output);
    Ok(())
}

/// The line alone goes to standard output, so that it can be sent on as it is.
fn show(issued: &Issued, directory: &Path, format: Format) {
    let Issued { line, says } = issued;
    eprintln!("This is its connection string, good once and until {}; whoever has it can let the server join:", says.expires_at);
    match format {
        Format::Table => println!("{}", line.expose()),
        Format::Json => {
            let document = json!({
                "connection_string": line.expose(),
                "guid": says.guid,
                "name": says.name,
                "issued_at": says.issued_at.to_string(),
                "expires_at": says.expires_at.to_string(),
                "directory": directory,
            });
            println!("{document:#}");
        }
    }
}

fn settings(arguments: &InitStorageServer) -> Settings {
    let InitStorageServer { name, primary_address, secondary_address, listening, .. } = arguments;
    let Listening { listen_peer, listen_transfer, listen_control } = listening;
    let or_everywhere = |chosen: &Option<Address>, port| {
        chosen.clone().unwrap_or_else(|| Address::new("0.0.0.0", port).expect("an address of numbers"))
    };
    Settings {
        name: name.clone(),
        listen: Listen {
            peer: or_everywhere(listen_peer, PEER_PORT),
            transfer: or_everywhere(listen_transfer, TRANSFER_PORT),
            control: or_everywhere(listen_control, primary_address.port()),
        },
        advertised: Advertised { primary: primary_address.clone(), secondary: secondary_address.clone() },
    }
}
