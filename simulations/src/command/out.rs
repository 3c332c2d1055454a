//! What a command tells people and programs. Whoever reads it may have seen enough and gone, as `head` does: then a command that told
//! all it had to tell has done its work, and one that would go on ends. Neither has anything to complain about.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use super::CommandError;

/// Writes to the standard output.
///
/// # Errors
/// That nobody reads it any more, or that it could not be written.
pub(super) fn tell(told: fmt::Arguments<'_>) -> Result<(), CommandError> {
    write_to(&mut io::stdout().lock(), told)
}

/// Writes beside what was asked for, to the standard error. Where nobody reads that, nothing is lost but the words.
pub(super) fn warn(told: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(told);
}

/// What a command came to that had told all but its last words: that nobody heard those is no trouble.
pub(super) fn last_words(told: Result<(), CommandError>) -> Result<(), CommandError> {
    match told {
        Err(CommandError::NobodyReads) => Ok(()),
        told => told,
    }
}

fn write_to(out: &mut impl Write, told: fmt::Arguments<'_>) -> Result<(), CommandError> {
    out.write_fmt(told).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => CommandError::NobodyReads,
        _ => CommandError::Output(error),
    })
}

/// What an error of the operating system means, without its number where that says nothing more.
pub(super) fn words(error: &io::Error) -> String {
    let meant = match error.kind() {
        ErrorKind::NotFound => "there is no such file or directory",
        ErrorKind::IsADirectory => "it is a directory",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a file is where a directory should be",
        ErrorKind::PermissionDenied => "this user may not",
        ErrorKind::StorageFull => "no room is left",
        ErrorKind::ReadOnlyFilesystem => "nothing can be written there",
        ErrorKind::InvalidData => "it is no text",
        _ => return error.to_string(),
    };
    meant.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_trouble_and_a_full_disk_is() {
        let gone = write_to(&mut Fails(ErrorKind::BrokenPipe), format_args!("a line\n"));
        assert!(matches!(gone, Err(CommandError::NobodyReads)));
        assert!(last_words(gone).is_ok());
        let full = write_to(&mut Fails(ErrorKind::StorageFull), format_args!("a line\n"));
        assert!(matches!(last_words(full), Err(CommandError::Output(_))));
    }
}
