//! The context file: which clusters are known here, and as whom to talk to them.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bursar_wire::{Credentials, Secret};
use serde::{Deserialize, Serialize};

use crate::{
    failure::{Exit, Failure},
    options::Format,
};

/// The context file, TOML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// The context that is used where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// How to show answers where nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Format>,
    /// The clusters by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// A cluster, and as whom to talk to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The URLs of its nodes.
    pub urls: Vec<String>,
    /// The file with its certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

impl ConfigFile {
    /// Reads the file; one that is not there is empty.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let text = match read_private(path) {
            Ok(text) => text,
            Err(Unread::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(unread) => return Err(unread.at(path)),
        };
        toml::from_str(&text).map_err(|error| {
            let message = format!("{} is no context file: {}.", path.display(), error.message());
            Failure::new(Exit::Failed, message, format!("cat {}", path.display()))
        })
    }

    /// Writes the file, for its owner alone: aside first, so that it is never half.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).expect("contexts have text keys");
        let write = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let aside = path.with_extension("new");
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            // One that was left behind keeps the mode that it had.
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, path)
        };
        write().map_err(|error| Failure::file("write", path, &error))
    }
}

/// A token from its file: the text without the blanks around it.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, Failure> {
    let text = read_private(path).map_err(|unread| unread.at(path))?;
    let secret = text.trim();
    if serde_json::from_str::<Credentials>(secret).is_ok() {
        let message = format!("{} holds more than a secret: the URLs of a cluster, and a token.", path.display());
        return Err(Failure::usage(message, format!("bursar login --credentials-file {}", path.display())));
    }
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(
            format!("{} holds no secret: one line of visible ASCII.", path.display()),
            format!("cat {}", path.display()),
        ));
    }
    Ok(Secret::new(secret))
}

/// The credentials of a file, as `bursar demo` writes it.
pub(crate) fn read_credentials(path: &Path) -> Result<Credentials, Failure> {
    let text = read_private(path).map_err(|unread| unread.at(path))?;
    // What is wrong with it is not told: it may be a secret.
    serde_json::from_str(&text).map_err(|_| {
        let message = format!("{} holds no credentials as `bursar demo` writes them.", path.display());
        Failure::usage(message, "bursar login --help").with_hint("A file with nothing but a token is for --token-file.")
    })
}

enum Unread {
    Io(io::Error),
    /// Others may read it.
    Open(u32),
}

fn read_private(path: &Path) -> Result<String, Unread> {
    let mut file = fs::File::open(path).map_err(Unread::Io)?;
    let mode = file.metadata().map_err(Unread::Io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Unread::Open(mode));
    }
    io::read_to_string(&mut file).map_err(Unread::Io)
}

impl Unread {
    fn at(self, path: &Path) -> Failure {
        match self {
            Self::Io(error) => Failure::file("read", path, &error),
            Self::Open(mode) => {
                let message = format!("{} holds secrets, and others may read it: its mode is {mode:04o}.", path.display());
                Failure::new(Exit::Failed, message, format!("chmod 600 {}", path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> ConfigFile {
        let context = Context {
            urls: vec!["https://a:4285".into()],
            ca_file: Some("/etc/bursar/ca.crt".into()),
            token: Some(Secret::new("bearer")),
        };
        ConfigFile { current: Some("demo".into()), output: None, contexts: [("demo".into(), context)].into() }
    }

    #[test]
    fn what_is_written_is_read_again_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("config.toml");
        some().save(&path).unwrap();
        assert_eq!(ConfigFile::load(&path).unwrap(), some());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        some().save(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let failure = ConfigFile::load(&path).unwrap_err();
        assert!(failure.message.ends_with("others may read it: its mode is 0640."), "{}", failure.message);
        assert_eq!(failure.next, format!("chmod 600 {}", path.display()).into());
        assert!(read_secret(&path).is_err());
    }

    #[test]
    fn a_file_that_is_not_there_is_empty_and_one_with_unknown_words_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(ConfigFile::load(&path).unwrap(), ConfigFile::default());
        let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path).unwrap();
        file.write_all(b"colour = 'red'").unwrap();
        assert!(ConfigFile::load(&path).unwrap_err().message.contains("unknown field"));
    }
}
