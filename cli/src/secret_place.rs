//! Where a secret goes that is shown once: a file of its own, a program that reads it, or a person's screen.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use bursar_wire::Secret;
use serde::Serialize;

use crate::{
    console::Reader,
    failure::Failure,
    options::{Format, SecretOptions},
    output,
    session::Session,
};

/// A place that was taken before the secret is made: where there is none, no secret is lost.
pub(crate) struct SecretPlace {
    file: Option<NewFile>,
}

struct NewFile {
    path: PathBuf,
    file: File,
    /// Whether it holds the secret; one that does not is removed.
    is_full: bool,
}

impl SecretPlace {
    /// Takes the file that was named, which must not exist.
    pub fn take(options: SecretOptions) -> Result<Self, Failure> {
        let file = match options.out {
            None => None,
            Some(path) => match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => Some(NewFile { path, file, is_full: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let message = format!("{} exists already, and may hold another secret.", path.display());
                    return Err(Failure::usage(message, format!("ls -l {}", path.display())).with_hint("Name a new file."));
                }
                Err(error) => return Err(Failure::file("make", &path, &error)),
            },
        };
        Ok(Self { file })
    }

    /// Puts the secret there. `field` is its name in the document, `details` is the rest as people read it. What is no terminal
    /// gets the secret alone, so that a file that the output went to can be used as it is.
    pub fn hand_over(
        self,
        session: &mut Session<'_>,
        document: &impl Serialize,
        field: &str,
        secret: &Secret,
        details: Vec<(&'static str, String)>,
    ) -> Result<(), Failure> {
        if let Some(mut file) = self.file {
            file.fill(secret)?;
            session.console.tell(&format!("kept in {}, which its owner alone may read", file.path.display()))?;
            let mut shown = serde_json::to_value(document).expect("answers have text keys and finite numbers");
            if let Some(fields) = shown.as_object_mut() {
                fields.remove(field);
            }
            return session.show(&shown, || output::details(details));
        }
        match (session.format, &session.console.reader) {
            (Format::Json, _) => session.console.secret(&output::json(document)),
            (Format::Table, Reader::Person) => {
                session.console.tell("it is shown this once; keep it in a file that only its owner may read")?;
                let name = field.replace('_', " ");
                let shown = details.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
                session.console.line(&output::details(shown.chain([(name, secret.expose().to_owned())])))
            }
            (Format::Table, Reader::File(_) | Reader::Program) => {
                session.console.tell(&output::details(details))?;
                session.console.secret(secret.expose())
            }
        }
    }
}

impl NewFile {
    fn fill(&mut self, secret: &Secret) -> Result<(), Failure> {
        let written = writeln!(self.file, "{}", secret.expose()).and_then(|()| self.file.sync_all());
        written.map_err(|error| Failure::file("write", &self.path, &error))?;
        self.is_full = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_full {
            // It is empty, or holds what nobody was told of; that it cannot be removed changes nothing of why.
            let _ = fs::remove_file(&self.path);
        }
    }
}
