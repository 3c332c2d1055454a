//! No secret is in clear where it is not kept: not in what processes say, not in what rests on any disk (journals, logs of the
//! consensus, checkpoints, projections), not in an answer of the API that does not issue it.

use std::path::Path;

use super::{Broken, broken};
use crate::disk::Disks;
use crate::secrets::{Found, Secrets};

const NAME: &str = "no-secret-in-clear";

/// Looks at what the API has answered so far.
pub(super) fn look(secrets: &Secrets) -> Result<(), Broken> {
    secrets.overheard().map_or(Ok(()), |leak| Err(broken(NAME, leak)))
}

/// Looks at all that was said, and at all that rests.
pub(super) fn look_at_the_end<'d>(
    secrets: &Secrets,
    said: &[String],
    machines: impl Iterator<Item = (&'d str, &'d Disks)>,
) -> Result<(), Broken> {
    for line in said {
        if let Some(leak) = secrets.leak_in(line.as_bytes()) {
            return Err(broken(NAME, format!("somebody said {leak}: {line}")));
        }
    }
    let (mut at_home, mut leaked, mut missed) = (0, Vec::new(), Vec::new());
    for (machine, disks) in machines {
        disks.visit(&mut |path: &Path, contents: &[u8]| {
            for found in secrets.found_at(path, contents) {
                match found {
                    Found::AtHome => at_home += 1,
                    Found::Leaked(secret) => leaked.push(format!("{machine} keeps {secret} in {}", path.display())),
                }
            }
            if let Some(secret) = secrets.missed_at(path, contents) {
                missed.push(format!(
                    "{machine} was not found to keep {secret} in {}, where it is kept: nothing can be said",
                    path.display()
                ));
            }
        });
    }
    // Whoever does not find a secret where it is kept would not find it elsewhere.
    match leaked.first().or(missed.first()) {
        Some(leak) => Err(broken(NAME, leak)),
        None if at_home == 0 => Err(broken(NAME, "no secret was found, not even where it is kept: nothing can be said")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bursar_net::Files;
    use bursar_storage::engine::{Batch, Engines, Profile, Space};

    use super::*;
    use crate::draws::Draws;
    use crate::trace::Trace;

    const TOKEN: &str = "bursar_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4";

    /// The disks of a machine that keeps the token.
    fn disks() -> Disks {
        let disks = Disks::new("a1", 1 << 20, Draws::of_seed(7).stream("disk"), Trace::begin(None), || {});
        disks.files(1).create_directory(Path::new("/var")).unwrap();
        disks.files(1).write_atomic(Path::new("/var/token"), TOKEN.as_bytes()).unwrap();
        disks
    }

    fn secrets() -> Secrets {
        let secrets = Secrets::default();
        secrets.text("the token", TOKEN, &["/var/token".into()]);
        secrets
    }

    fn detail(secrets: &Secrets, said: &[String], disks: &Disks) -> Option<String> {
        look_at_the_end(secrets, said, [("a1", disks)].into_iter()).err().map(|broken| broken.detail)
    }

    #[test]
    fn a_secret_is_found_in_what_is_said_and_in_what_rests_and_not_where_it_is_kept() {
        let (secrets, disks) = (secrets(), disks());
        assert_eq!(detail(&secrets, &["log a1 all is well".into()], &disks), None);

        let line = format!("log a1 the token is {TOKEN}");
        let told = detail(&secrets, &[line], &disks).unwrap();
        assert!(told.starts_with("somebody said the token: log a1"), "{told}");

        disks.files(1).write_atomic(Path::new("/var/copy"), format!("token = {TOKEN:?}").as_bytes()).unwrap();
        assert_eq!(detail(&secrets, &[], &disks).as_deref(), Some("a1 keeps the token in /var/copy"));
    }

    #[test]
    fn a_secret_is_found_in_a_store_and_on_a_mounted_disk() {
        let (secrets, disks) = (secrets(), disks());
        let engine = disks.engines().create(Path::new("/ledger"), Profile::Ledger).unwrap();
        let mut batch = Batch::default();
        batch.put(Space::Journal, vec![1], TOKEN.as_bytes());
        engine.write(&batch).unwrap();
        assert_eq!(detail(&secrets, &[], &disks).as_deref(), Some("a1 keeps the token in /ledger/journal"));
        disks.erase_stores(Path::new("/ledger"));
        assert_eq!(detail(&secrets, &[], &disks), None);

        disks.mount(Path::new("/srv/disk"), 1 << 20);
        disks.files(1).write_atomic(Path::new("/srv/disk/archive"), TOKEN.as_bytes()).unwrap();
        assert_eq!(detail(&secrets, &[], &disks).as_deref(), Some("a1 keeps the token in /srv/disk/archive"));
    }

    #[test]
    fn who_finds_nothing_where_something_is_kept_has_not_looked() {
        let (secrets, disks) = (secrets(), disks());
        disks.files(1).remove(Path::new("/var/token")).unwrap();
        let told = detail(&secrets, &[], &disks).unwrap();
        assert!(told.starts_with("no secret was found"), "{told}");

        disks.files(1).write_atomic(Path::new("/var/token"), b"another one").unwrap();
        let told = detail(&secrets, &[], &disks).unwrap();
        assert!(told.starts_with("a1 was not found to keep the token in /var/token"), "{told}");
    }

    #[test]
    fn a_secret_is_found_in_the_key_of_a_store() {
        let (secrets, disks) = (secrets(), disks());
        let engine = disks.engines().create(Path::new("/ledger"), Profile::Ledger).unwrap();
        let mut batch = Batch::default();
        batch.put(Space::Journal, TOKEN.as_bytes().to_vec(), "value");
        engine.write(&batch).unwrap();
        assert_eq!(detail(&secrets, &[], &disks).as_deref(), Some("a1 keeps the token in /ledger/journal"));
    }

    #[test]
    fn an_answer_that_was_overheard_fails_the_run() {
        let secrets = secrets();
        assert_eq!(look(&secrets), Ok(()));
        secrets.overhear("a list", TOKEN.as_bytes());
        assert_eq!(look(&secrets).unwrap_err().detail, "a list shows the token");
    }
}
