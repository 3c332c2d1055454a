//! The secrets of a world: what gives each away, and where it is kept.
//!
//! A text gives itself away by the longest part of it that is written alike wherever it stands; bytes by themselves, and as what
//! programs write of bytes ([`forms`]); a private key by the lines of its PEM and by its number, which is bytes. Whoever finds such a
//! sign anywhere but where the secret is kept has found a leak.

mod forms;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Fewer bytes may stand somewhere by chance.
const SIGN_BYTES_MIN: usize = 16;
/// What stands before the number in a private key (RFC 5915): version 1, and that 32 bytes follow.
const NUMBER_FOLLOWS: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
const NUMBER_BYTES: usize = 32;

/// All secrets of a world. Clones are of the same world.
#[derive(Clone, Default)]
pub struct Secrets {
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    secrets: Vec<Secret>,
    /// By the bytes that give each away, which secret that is.
    signs: BTreeMap<Vec<u8>, usize>,
    /// The first two bytes of each sign; empty before there is one.
    beginnings: Vec<bool>,
    /// Which secret a file was said to hold last.
    kept: BTreeMap<PathBuf, usize>,
    /// What was said of them where nobody should have.
    overheard: Vec<String>,
}

#[derive(Debug)]
struct Secret {
    /// What it is, in words that tell nothing of it.
    what: String,
    /// The files that are meant to hold it.
    homes: BTreeSet<PathBuf>,
}

/// A secret that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Where it is kept.
    AtHome,
    /// This one, where it is not.
    Leaked(String),
}

impl Secrets {
    /// There is a secret text, which `homes` hold.
    pub fn text(&self, what: impl fmt::Display, text: &str, homes: &[PathBuf]) {
        let parts = text.split(|character: char| !(character.is_ascii_alphanumeric() || "+/-_".contains(character)));
        let sign = parts.max_by_key(|part| part.len()).expect("a text has a part");
        self.known().add(&what, vec![sign.as_bytes().to_vec()], homes);
    }

    /// There are secret bytes.
    pub fn bytes(&self, what: impl fmt::Display, bytes: &[u8], homes: &[PathBuf]) {
        self.known().add(&what, forms::of(bytes), homes);
    }

    /// There is a private key, in PEM.
    pub fn private_key(&self, what: impl fmt::Display, pem: &str, homes: &[PathBuf]) {
        let lines: Vec<&str> = pem.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("-----")).collect();
        let der = STANDARD.decode(lines.concat()).expect("the inner lines of a PEM are base64");
        let before = der.windows(NUMBER_FOLLOWS.len()).position(|found| found == NUMBER_FOLLOWS);
        let number = &der[before.expect("a private key has its number") + NUMBER_FOLLOWS.len()..][..NUMBER_BYTES];
        let mut signs = forms::of(number);
        // The last is of the public half.
        signs.extend(lines[..lines.len() - 1].iter().map(|line| line.as_bytes().to_vec()));
        self.known().add(&what, signs, homes);
    }

    /// Which secret these bytes give away, said by nobody who may.
    pub fn leak_in(&self, bytes: &[u8]) -> Option<String> {
        let known = self.known();
        known.found_in(bytes).next().map(|secret| known.secrets[secret].what.clone())
    }

    /// What the contents of a file give away.
    pub fn found_at(&self, path: &Path, contents: &[u8]) -> Vec<Found> {
        let known = self.known();
        let found = |secret: usize| match &known.secrets[secret] {
            secret if secret.is_at_home(path) => Found::AtHome,
            secret => Found::Leaked(secret.what.clone()),
        };
        known.found_in(contents).map(found).collect()
    }

    /// Which secret the contents of a file should give away, and do not.
    pub fn missed_at(&self, path: &Path, contents: &[u8]) -> Option<String> {
        let known = self.known();
        let kept = *known.kept.get(path)?;
        let is_found = known.found_in(contents).any(|secret| secret == kept);
        (!is_found).then(|| known.secrets[kept].what.clone())
    }

    /// Somebody was answered this, as `what`, by who should keep all of them.
    pub fn overhear(&self, what: impl fmt::Display, answer: &[u8]) {
        if let Some(leak) = self.leak_in(answer) {
            self.known().overheard.push(format!("{what} shows {leak}"));
        }
    }

    /// The first that was overheard.
    pub fn overheard(&self) -> Option<String> {
        self.known().overheard.first().cloned()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics between two changes of it that belong together.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Adds a secret, or more homes of one whose first sign is known.
    fn add(&mut self, what: &impl fmt::Display, signs: Vec<Vec<u8>>, homes: &[PathBuf]) {
        let secret = match self.signs.get(&signs[0]) {
            Some(secret) => *secret,
            None => {
                self.secrets.push(Secret { what: what.to_string(), homes: BTreeSet::new() });
                self.secrets.len() - 1
            }
        };
        self.secrets[secret].homes.extend(homes.iter().cloned());
        self.kept.extend(homes.iter().map(|home| (home.clone(), secret)));
        self.beginnings.resize(1 << 16, false);
        for sign in signs {
            assert!(sign.len() >= SIGN_BYTES_MIN, "{what} is long enough to stand nowhere by chance");
            self.beginnings[beginning(&sign)] = true;
            self.signs.insert(sign, secret);
        }
    }

    /// Which secrets these bytes give away, as often as they do.
    fn found_in<'k>(&'k self, bytes: &'k [u8]) -> impl Iterator<Item = usize> {
        let begins = |pair: &[u8]| self.beginnings.get(beginning(pair)).is_some_and(|begins| *begins);
        let places = bytes.windows(2).enumerate().filter(move |(_, pair)| begins(pair));
        places.flat_map(move |(place, pair)| {
            let like = self.signs.range(pair.to_vec()..).take_while(move |(sign, _)| sign.starts_with(pair));
            like.filter(move |(sign, _)| bytes[place..].starts_with(sign)).map(|(_, secret)| *secret)
        })
    }
}

impl Secret {
    /// Whether a file is meant to hold it, or is what is written aside before it takes such a file's place.
    fn is_at_home(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let written = name.strip_prefix('.').and_then(|name| name.strip_suffix(".aside"));
        self.homes.contains(path) || written.is_some_and(|name| self.homes.contains(&path.with_file_name(name)))
    }
}

fn beginning(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

#[cfg(test)]
mod tests {
    use bursar_net::NodeKey;

    use super::*;

    const TOKEN: &str = "bursar_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4";

    #[test]
    fn a_secret_is_found_wherever_it_stands_and_nothing_else_is() {
        let secrets = Secrets::default();
        assert_eq!(secrets.leak_in(TOKEN.as_bytes()), None);
        secrets.text("a token", TOKEN, &[]);
        secrets.bytes("a key", &[7; 32], &[]);
        let around = [b"\x00bu".as_slice(), TOKEN.as_bytes(), b"rest"].concat();
        assert_eq!(secrets.leak_in(&around).as_deref(), Some("a token"));
        assert_eq!(secrets.leak_in(&[7; 33]).as_deref(), Some("a key"));
        assert_eq!(secrets.leak_in(&[7; 31]), None);
        assert_eq!(secrets.leak_in(&TOKEN.as_bytes()[..TOKEN.len() - 1]), None);
        assert_eq!(secrets.leak_in(b""), None);
    }

    #[test]
    fn a_text_of_parts_is_known_by_the_longest() {
        let secrets = Secrets::default();
        secrets.text("an invitation", "bursar-join1.eyJzZWNyZXQiOiJ2ZXJ5In0.0a1b2c3d", &[]);
        assert_eq!(secrets.leak_in(b"{\"eyJzZWNyZXQiOiJ2ZXJ5In0\"}").as_deref(), Some("an invitation"));
        assert_eq!(secrets.leak_in(b"bursar-join1.0a1b2c3d"), None);
    }

    #[test]
    fn a_private_key_is_found_as_text_and_as_a_number_and_its_certificate_request_is_none() {
        let (secrets, key) = (Secrets::default(), NodeKey::generate().unwrap());
        let pem = key.to_pem();
        secrets.private_key("a key", &pem, &[]);
        let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
        let written = format!("{der:?}");
        for leak in [pem.as_bytes(), &der, pem.lines().nth(2).unwrap().as_bytes(), written.as_bytes()] {
            assert_eq!(secrets.leak_in(leak).as_deref(), Some("a key"));
        }
        assert_eq!(secrets.leak_in(key.request().unwrap().as_der()), None);
        assert_eq!(secrets.leak_in(key.public_key().as_der()), None);
    }

    #[test]
    fn a_secret_is_at_home_in_its_files_and_in_what_is_written_aside_for_them() {
        let secrets = Secrets::default();
        secrets.text("a token", TOKEN, &["/var/lib/a/token".into()]);
        let found_at = |path: &str| secrets.found_at(Path::new(path), TOKEN.as_bytes());
        assert_eq!(found_at("/var/lib/a/token"), [Found::AtHome]);
        assert_eq!(found_at("/var/lib/a/.token.aside"), [Found::AtHome]);
        assert_eq!(found_at("/var/lib/b/token"), [Found::Leaked("a token".into())]);
        assert_eq!(found_at("/var/lib/a/.other.aside"), [Found::Leaked("a token".into())]);
    }

    #[test]
    fn a_file_that_does_not_hold_what_it_was_said_to_hold_last_is_told() {
        let (secrets, path) = (Secrets::default(), Path::new("/var/lib/a/key"));
        secrets.bytes("an old key", &[7; 32], &[path.into()]);
        assert_eq!(secrets.missed_at(path, &[7; 32]), None);
        secrets.bytes("a new key", &[8; 32], &[path.into()]);
        assert_eq!(secrets.missed_at(path, &[7; 32]).as_deref(), Some("a new key"));
        assert_eq!(secrets.missed_at(path, &[8; 32]), None);
        assert_eq!(secrets.found_at(path, &[7; 32]), [Found::AtHome], "it was there before");
        assert_eq!(secrets.missed_at(Path::new("/var/lib/a/other"), b""), None);
    }

    #[test]
    fn what_is_overheard_is_told_once_somebody_asks() {
        let secrets = Secrets::default();
        secrets.text("a token", TOKEN, &[]);
        secrets.overhear("the list of sites", b"[]");
        assert_eq!(secrets.overheard(), None);
        secrets.overhear("the list of tokens", TOKEN.as_bytes());
        assert_eq!(secrets.overheard().as_deref(), Some("the list of tokens shows a token"));
    }
}
