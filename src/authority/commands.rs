//! The commands that make authority nodes.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bursar_net::{Address, CheckedSettings, FileError, Files};
use bursar_wire::invitation::{Invitation, InvitationError};

use super::{
    CA_FILE,
    config::{Advertised, Checkpoints, Config, FleetTiming, Listen, RaftTiming, Unusable},
    found::{FoundError, Founding, found},
    join::{JoinError, Joining, join},
};
use crate::{
    World,
    arguments::{Addresses, Init, Join},
    license::{LicenseFileError, read_license_key},
};

/// The customary port for storage servers.
const CONTROL_PORT: u16 = 4288;
const SMALL_FILE_BYTES_MAX: usize = 16 * 1024;

/// Why a node could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A file that was named cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The master license key.
    #[error(transparent)]
    License(#[from] LicenseFileError),
    /// The join token.
    #[error("{}: {source}", file.display())]
    Invitation {
        /// Where it was read.
        file: PathBuf,
        /// What is wrong with it.
        source: InvitationError,
    },
    /// The addresses.
    #[error(transparent)]
    Addresses(#[from] Unusable),
    /// Founding.
    #[error(transparent)]
    Found(#[from] FoundError),
    /// Joining.
    #[error(transparent)]
    Join(#[from] JoinError),
}

impl CommandError {
    /// How the program ends, as all of its commands do: 2 where what was given is wrong, 3 where the token does not stand, 5
    /// where the machine does not fit what is, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::License(LicenseFileError::Key { .. }) | Self::Invitation { .. } | Self::Addresses(_) => 2,
            Self::Join(JoinError::Refused { code, .. }) if code.starts_with("join_token_") => 3,
            Self::Join(JoinError::Refused { .. }) => 5,
            Self::File(_) | Self::License(LicenseFileError::File(_)) | Self::Found(_) | Self::Join(_) => 1,
        }
    }
}

/// `bursar authority init`
pub fn init_command(world: &World, init: Init) -> Result<(), CommandError> {
    let config = config(&init.addresses)?;
    let license_key = init.license_key_file.map(|file| read_license_key(&*world.files, &file)).transpose()?;
    let founded = found(Founding { world, directory: &init.dir, config, license_key })?;
    println!("Cluster {} is made; its first node is in {}.", founded.cluster, init.dir.display());
    println!("  setup secret        {}", founded.setup_secret_file.display());
    if let Some(file) = founded.license_key_file {
        println!("  master license key  {}  (keep a copy in a safe place)", file.display());
    }
    println!("Next: start it, then make the first administrator with the setup secret:");
    println!("  bursar authority run --dir {}", init.dir.display());
    println!(
        "  bursar login --url https://{} --ca-file {} --setup-secret-file {}",
        init.addresses.api_address,
        init.dir.join(CA_FILE).display(),
        founded.setup_secret_file.display()
    );
    Ok(())
}

/// `bursar authority join`
pub async fn join_command(world: &World, arguments: Join) -> Result<(), CommandError> {
    let config = config(&arguments.addresses)?;
    let invitation = read_invitation(&*world.files, &arguments.token_file)?;
    let patience = Duration::from_secs(arguments.patience);
    let node = join(Joining { world, directory: &arguments.dir, config, invitation, patience }).await?;
    println!("This machine is {node} now.");
    println!("Next: start it; it votes as soon as it has what the others have:");
    println!("  bursar authority run --dir {}", arguments.dir.display());
    Ok(())
}

fn read_invitation(files: &dyn Files, file: &Path) -> Result<Invitation, CommandError> {
    let bytes = files.read_private(file, SMALL_FILE_BYTES_MAX)?;
    let invitation = String::from_utf8_lossy(&bytes).parse();
    invitation.map_err(|source| CommandError::Invitation { file: file.to_owned(), source })
}

fn config(addresses: &Addresses) -> Result<Config, Unusable> {
    let everywhere = |advertised: &Address| Address::new("0.0.0.0", advertised.port()).expect("an address of numbers");
    let Addresses { peer_address: peer, api_address: api, control_address: control, .. } = addresses.clone();
    let control = control.unwrap_or_else(|| Address::new(peer.host(), CONTROL_PORT).expect("the host of an address"));
    let config = Config {
        listen: Listen {
            peer: addresses.listen_peer.clone().unwrap_or_else(|| everywhere(&peer)),
            api: addresses.listen_api.clone().unwrap_or_else(|| everywhere(&api)),
            control: addresses.listen_control.clone().unwrap_or_else(|| everywhere(&control)),
        },
        advertised: Advertised { peer, api, control },
        plain_http_on_loopback: false,
        raft: RaftTiming::default(),
        checkpoints: Checkpoints::default(),
        fleet: FleetTiming::default(),
    };
    config.check().map(|()| config)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Authority, Command};

    const README: &str = include_str!("../../README.md");

    #[test]
    fn what_the_readme_leaves_out_is_the_customary_port_and_all_interfaces() {
        let line = README.lines().find(|line| line.starts_with("bursar authority init ")).unwrap();
        let Command::Authority(Authority::Init(init)) = Arguments::try_parse_from(line.split_whitespace()).unwrap().command
        else {
            panic!("{line} makes a node");
        };
        let Config { listen, advertised, .. } = config(&init.addresses).unwrap();
        let address = |text: &str| -> Address { text.parse().unwrap() };
        let [peer, api, control] = ["auth-1.example:4283", "auth-1.example:4285", "auth-1.example:4288"].map(address);
        assert_eq!(advertised, Advertised { peer, api, control });
        let [peer, api, control] = ["0.0.0.0:4283", "0.0.0.0:4285", "0.0.0.0:4288"].map(address);
        assert_eq!(listen, Listen { peer, api, control });
    }
}
