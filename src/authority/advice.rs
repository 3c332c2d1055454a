//! What to do where a command of an authority node has failed.

use std::path::Path;

use bursar_raft::StopReason;

use super::{CommandError, DirectoryError, FoundError, JoinError, RunError};
use crate::advice::{Advice, CLOCK};

const INIT_HELP: &str = "bursar authority init --help";
const JOIN_HELP: &str = "bursar authority join --help";
const TOKEN: &str = "The file has to hold the whole line that `bursar cluster invite` printed, and nothing else.";
const CERTIFICATE: &str = "Check that this machine's clock is right. If it is, the doctor shows which file is amiss.";

impl CommandError {
    /// What to do next about the node that was to be made there, by the command with this help.
    pub fn advice(&self, directory: &Path, help: &str) -> Advice {
        match self {
            Self::Invitation { .. } => Advice::next(help).with_hint(TOKEN),
            Self::Found(FoundError::Directory(error)) | Self::Join(JoinError::Directory(error)) => about(error, directory, help),
            Self::Found(FoundError::Certificate(_)) | Self::Join(JoinError::Certificate(_) | JoinError::Seal(_)) => {
                Advice::next(help).with_hint(CLOCK)
            }
            Self::Join(JoinError::Refused { code, .. }) if code.starts_with("join_token_") => {
                Advice::next("bursar cluster invite --out FILE")
            }
            Self::Join(JoinError::Refused { .. }) => Advice::next("bursar cluster members"),
            Self::Join(JoinError::Unreachable { .. }) => Advice::next("bursar status"),
            Self::File(_) | Self::License(_) | Self::Addresses(_) => Advice::next(help),
        }
    }
}

impl RunError {
    /// What to do next about the node of this data directory.
    pub fn advice(&self, directory: &Path) -> Advice {
        let again = || Advice::next(run(directory));
        match self {
            Self::Directory(error) => about(error, directory, INIT_HELP),
            Self::Certificate(_) => Advice::examine(directory).with_hint(CERTIFICATE),
            Self::Listen { .. } | Self::PortAbandoned { .. } => again(),
            Self::Stopped(StopReason::Removed) => Advice::next(JOIN_HELP),
            Self::Stopped(StopReason::Outdated { .. } | StopReason::UnreadableProposal { .. }) => {
                Advice::next("bursar --version")
            }
            Self::Stopped(StopReason::TaskPanicked { .. } | StopReason::CoreDied { .. } | StopReason::Shutdown) => again(),
            Self::Store(_)
            | Self::Start(_)
            | Self::Founding(_)
            | Self::Stopped(
                StopReason::Storage(_) | StopReason::Install(_) | StopReason::BrokenState { .. } | StopReason::Refused(_),
            ) => Advice::examine(directory),
        }
    }
}

fn run(directory: &Path) -> String {
    format!("bursar authority run --dir {}", directory.display())
}

/// Each failure of a directory says itself what helps; the doctor shows what else is amiss where there is a node. `help` tells how
/// one is made.
fn about(error: &DirectoryError, directory: &Path, help: &str) -> Advice {
    match error {
        DirectoryError::Empty(_) | DirectoryError::Occupied { .. } | DirectoryError::Founding(_) => Advice::next(help),
        DirectoryError::NotEmpty(_) => Advice::next(run(directory)),
        DirectoryError::File(_)
        | DirectoryError::Config(_)
        | DirectoryError::Format(_)
        | DirectoryError::Certificate { .. }
        | DirectoryError::ClusterKey { .. }
        | DirectoryError::Foreign { .. }
        | DirectoryError::Store(_)
        | DirectoryError::ForeignFounding { .. }
        | DirectoryError::SetupSecret(_)
        | DirectoryError::LicenseKey(_)
        | DirectoryError::Joining(_)
        | DirectoryError::Members(_) => Advice::examine(directory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_a_command_to_try_next() {
        let root = Path::new("/srv/node");
        let told = |advice: Advice| advice.to_string();
        let empty = || DirectoryError::Empty(root.to_owned());
        assert_eq!(told(RunError::Directory(empty()).advice(root)), format!("next: {INIT_HELP}"));
        let made = FoundError::Directory(DirectoryError::NotEmpty(root.to_owned()));
        assert_eq!(told(CommandError::Found(made).advice(root, INIT_HELP)), "next: bursar authority run --dir /srv/node");
        let joined = JoinError::Directory(empty());
        assert_eq!(told(CommandError::Join(joined).advice(root, JOIN_HELP)), format!("next: {JOIN_HELP}"));
        let used = JoinError::Refused { code: "join_token_used".into(), reason: "it was used".into(), remedy: "Invite.".into() };
        assert_eq!(told(CommandError::Join(used).advice(root, JOIN_HELP)), "next: bursar cluster invite --out FILE");
        let damaged = DirectoryError::SetupSecret(root.join("setup-secret"));
        assert_eq!(told(RunError::Directory(damaged).advice(root)), "next: bursar doctor --dir /srv/node");
        assert_eq!(told(RunError::Stopped(StopReason::Removed).advice(root)), format!("next: {JOIN_HELP}"));
    }
}
