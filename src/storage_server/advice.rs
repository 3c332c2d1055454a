//! What to do where a command of a storage server has failed.

use std::path::Path;

use bursar_agent::{DirectoryError, MakeError, MemberError, ProjectionFileError};

use super::{RunError, StorageServerError};
use crate::advice::{Advice, CLOCK};

const LICENSE: &str = "The key is in license.key, in the data directory of the authority node that founded the cluster: copy that file \
                       here, for its owner alone, and remove it when the server is made.";
const CERTIFICATE: &str = "Check that this machine's clock is right. If it is, restore the data directory from a backup, or make the \
                           server anew in an empty one.";
const PROJECTION: &str = "The fleet has outgrown what this version keeps: run the authority's version here, and report this if it is \
                          the same.";
const NEWER: &str = "Run the authority's version on this machine.";

impl StorageServerError {
    /// What to do next about the server of this data directory.
    pub fn advice(&self, directory: &Path) -> Advice {
        match self {
            Self::License(_) => Advice::next(INIT_HELP).with_hint(LICENSE),
            Self::Make(MakeError::Settings(_)) => Advice::next(INIT_HELP),
            Self::Make(MakeError::Certificate(_)) => Advice::next(INIT_HELP).with_hint(CLOCK),
            Self::Make(MakeError::Directory(error)) | Self::Directory(error) => about(error, directory),
        }
    }
}

impl RunError {
    /// What to do next about the server of this data directory.
    pub fn advice(&self, directory: &Path) -> Advice {
        let again = || Advice::next(format!("bursar storage-server run --dir {}", directory.display()));
        match self {
            Self::Directory(error) => about(error, directory),
            Self::Certificate(_) => Advice::examine(directory).with_hint(CERTIFICATE),
            Self::Listen { .. } => Advice::examine(directory),
            Self::Abandoned(_) | Self::Member(MemberError::Abandoned(_)) => again(),
            Self::Member(MemberError::Excluded) => Advice::next(INIT_HELP),
            Self::Member(MemberError::Newer(_)) => Advice::next("bursar --version").with_hint(NEWER),
            Self::Member(MemberError::Projection(ProjectionFileError::TooLarge { .. })) => {
                Advice::next("bursar --version").with_hint(PROJECTION)
            }
            Self::Member(MemberError::Projection(_)) => Advice::examine(directory),
        }
    }
}

const INIT_HELP: &str = "bursar storage-server init --help";

/// Each failure of a directory says itself what helps; the doctor shows what else is amiss where there is a server.
fn about(error: &DirectoryError, directory: &Path) -> Advice {
    match error {
        DirectoryError::Empty(_) | DirectoryError::Occupied { .. } => Advice::next(INIT_HELP),
        DirectoryError::StandingHeld(_) => {
            Advice::next(format!("bursar storage-server connection-string --dir {}", directory.display()))
        }
        DirectoryError::Member(_) => Advice::next(format!("bursar storage-server run --dir {}", directory.display())),
        DirectoryError::Settings(_)
        | DirectoryError::File(_)
        | DirectoryError::Format(_)
        | DirectoryError::NotEmpty { .. }
        | DirectoryError::Certificate { .. }
        | DirectoryError::Membership { .. }
        | DirectoryError::AtOdds { .. } => Advice::examine(directory),
    }
}

#[cfg(test)]
mod tests {
    use bursar_net::{CertificateError, FileError};

    use super::*;
    use crate::license::LicenseFileError;

    #[test]
    fn what_no_message_says_is_a_hint_and_each_failure_has_a_command_to_try_next() {
        let root = Path::new("/srv/server");
        let file = || FileError::NotFound { path: root.to_owned() };
        let told = |advice: Advice| advice.to_string();
        let license = StorageServerError::License(LicenseFileError::File(file()));
        assert_eq!(told(license.advice(root)), format!("hint: {LICENSE}\nnext: {INIT_HELP}"));
        let empty = DirectoryError::Empty(root.to_owned());
        assert_eq!(told(StorageServerError::Directory(empty).advice(root)), format!("next: {INIT_HELP}"));
        let member = DirectoryError::Member(root.to_owned());
        assert_eq!(told(StorageServerError::Directory(member).advice(root)), "next: bursar storage-server run --dir /srv/server");
        let lost = RunError::Directory(DirectoryError::File(file()));
        assert_eq!(told(lost.advice(root)), "next: bursar doctor --dir /srv/server");
        let certificate = RunError::Certificate(CertificateError::TimeRange);
        assert_eq!(told(certificate.advice(root)), format!("hint: {CERTIFICATE}\nnext: bursar doctor --dir /srv/server"));
        let large = RunError::Member(MemberError::Projection(ProjectionFileError::TooLarge { bytes: 1 }));
        assert_eq!(told(large.advice(root)), format!("hint: {PROJECTION}\nnext: bursar --version"));
        assert_eq!(told(RunError::Member(MemberError::Excluded).advice(root)), format!("next: {INIT_HELP}"));
    }
}
