//! A flipped bit in any file of a node is detected, or it is proven that nothing depends on it.
//!
//! Each test takes the directory of a stopped node, flips one bit in a copy of it, and asks the doctor and the program itself.
//! Whoever finds it must name the file or the store, and say what to do. Whoever does not must come to the very same data.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bursar_storage::REBUILD_FROM_QUORUM;
use bursar_wire::{
    events::{EventLine, StreamItem},
    query::EventsQuery,
};
use support::{
    Fleet, PATIENCE,
    disk::copy_folder,
    durable::{edit_at_once, write},
    ended::{Diagnosis, Run, doctor},
    errors_of,
    members::Home,
    random::Random,
    until,
    write_ahead::batches,
};

const NODE: u64 = 1;
const STORES: [&str; 2] = ["log", "ledger"];
/// After so many revisions a checkpoint is due.
const CHECKPOINT_EVERY: u64 = 1_024;
/// The doctor's findings on them.
const RAFT_LOG: &str = "log";
const LEDGER: &str = "history";

/// Who tells of a flipped bit in a file that a node does not live on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// The doctor, and the start, which fails.
    Start,
    /// The doctor, and the start in a warning: people need the file, or it is a hint; the node runs without it.
    Warning,
    /// Nobody: what counts is that the file is there.
    Nobody,
}

/// What lies in a data directory besides what every node knows of itself, and stays as it is until the first start.
const BEFORE_THE_FIRST_START: [(&str, Teller); 4] =
    [("founding", Teller::Start), ("setup-secret", Teller::Warning), ("license.key", Teller::Warning), ("lock", Teller::Nobody)];
/// And then until there is an administrator, or for good.
const BEFORE_THE_FIRST_ADMINISTRATOR: [(&str, Teller); 3] =
    [("setup-secret", Teller::Warning), ("license.key", Teller::Warning), ("lock", Teller::Nobody)];
/// What a machine has that joined and was not started yet.
const AFTER_A_JOIN: [(&str, Teller); 2] = [("members", Teller::Warning), ("lock", Teller::Nobody)];
/// What every node knows of itself.
const OF_EVERY_NODE: [&str; 6] = ["identity.toml", "node.crt", "node.key", "cluster.key", "ca.crt", "bursar.toml"];
/// How many bits of a file are flipped, one at a time.
const FLIPS: usize = 6;

/// A stopped node, and everything that it holds.
struct Specimen {
    fleet: Fleet,
    history: Vec<EventLine>,
    /// What the doctor finds in the stores.
    raft_log: String,
    ledger: String,
}

/// One flipped bit.
#[derive(Clone, Debug)]
struct Flip {
    /// Within the data directory.
    file: PathBuf,
    byte: usize,
    bit: u8,
}

/// What became of a flipped bit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Somebody complained.
    Detected(String),
    /// Nothing had changed.
    Harmless,
    /// The last record of a write-ahead log was cut off, as one that a power cut tore would have been.
    Cut,
}

impl Specimen {
    /// A small one: in each store some table files, and a write-ahead log.
    async fn small() -> Self {
        Self::with_revisions(0).await
    }

    /// One with a checkpoint, and a long journal in front of it.
    async fn with_checkpoint() -> Self {
        Self::with_revisions(CHECKPOINT_EVERY).await
    }

    async fn with_revisions(revisions: u64) -> Self {
        let mut fleet = Fleet::of_one().await;
        let client = fleet.client();
        if revisions > 0 {
            fleet.kill(NODE);
            fleet.write_checkpoints_every(CHECKPOINT_EVERY, CHECKPOINT_EVERY);
            fleet.restart(NODE);
            fleet.ready(NODE).await;
            edit_at_once(&client, revisions).await;
            fleet.shows(NODE, "/metrics", "bursar_raft_checkpoint_index ").await;
        }
        for round in 0..3 {
            for number in 0..10 {
                write(&client, format!("round {round} site {number}")).await;
            }
            fleet.kill(NODE);
            fleet.restart_anew(NODE, &[]);
            fleet.ready(NODE).await;
        }
        for number in 0..10 {
            write(&client, format!("last site {number}")).await;
        }
        let history = history(&fleet).await.expect("the history of a sound node");
        fleet.stop(NODE);
        let diagnosis = doctor_on_a_copy(&fleet, &fleet.node(NODE).dir);
        assert!(diagnosis.healthy, "{:?}", diagnosis.complaints());
        let finding = |what| diagnosis.of(what).detail.clone();
        let (raft_log, ledger) = (finding(RAFT_LOG), finding(LEDGER));
        println!("a sound node: {raft_log}; {ledger}");
        Self { fleet, history, raft_log, ledger }
    }

    fn dir(&self) -> &Path {
        &self.fleet.node(NODE).dir
    }

    /// The files of a store, or of the directory itself, whose name passes.
    fn files(&self, folder: &str, passes: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let names = fs::read_dir(self.dir().join(folder)).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).filter(|name| passes(name)).collect();
        names.sort();
        names.into_iter().map(|name| Path::new(folder).join(name)).collect()
    }

    fn flips(&self, file: &Path, count: usize) -> Vec<Flip> {
        flips(self.dir(), file, count)
    }

    /// The highest bit of the length of each of the first and the last records of a file.
    fn flips_of_lengths(&self, file: &Path) -> Vec<Flip> {
        let bytes = fs::read(self.dir().join(file)).expect("a file");
        let mut begins = vec![0];
        begins.extend(batches(&bytes).into_iter().map(|(_, end)| usize::try_from(end).expect("a file of ordinary size")));
        assert_eq!(begins.pop(), Some(bytes.len()), "the file ends with a record");
        let last = begins.len().saturating_sub(6);
        begins.drain(6.min(last)..last);
        begins.into_iter().map(|begin| Flip { file: file.to_owned(), byte: begin + 5, bit: 7 }).collect()
    }

    /// Flips the bit in two copies, and has one examined and the other run. The error is a promise that was broken.
    async fn judge(&self, flip: &Flip) -> Result<Verdict, String> {
        let damaged = |name: &str| flip.copy(self.dir(), &self.fleet.folder().join(name));
        let examined = self.judged_by_doctor(flip, &doctor(&damaged("examined")))?;
        let run = self.judged_by_running(flip, &damaged("run")).await?;
        println!("{flip}: examined: {examined}; run: {run}");
        match (examined, run) {
            (Verdict::Detected(complaint), _) => Ok(Verdict::Detected(complaint)),
            (verdict, Verdict::Harmless) => Ok(verdict),
            (verdict, run) => Err(format!("the doctor says {verdict}, the node {run}")),
        }
    }

    fn judged_by_doctor(&self, flip: &Flip, diagnosis: &Diagnosis) -> Result<Verdict, String> {
        if let Some(complaint) = diagnosis.complaints().first() {
            flip.check_complaint(&complaint.detail)?;
            return Ok(Verdict::Detected(complaint.detail.clone()));
        }
        if self.is_in_last_record(flip) {
            return Ok(Verdict::Cut);
        }
        for (what, sound) in [(RAFT_LOG, &self.raft_log), (LEDGER, &self.ledger)] {
            let found = &diagnosis.of(what).detail;
            if found != sound {
                return Err(format!("the doctor calls it healthy, with `{found}` where there was `{sound}`"));
            }
        }
        Ok(Verdict::Harmless)
    }

    /// A node that runs on the copy has all of the history, or says what it lacks and ends.
    async fn judged_by_running(&self, flip: &Flip, copy: &Path) -> Result<Verdict, String> {
        let mut run = Run::start(copy);
        let comes_up = until("the node runs or ends", async || run.comes_up()).await;
        if comes_up && flip.file.ends_with("bursar.toml") {
            // Settings are the operator's to change: nothing tells an edit from a flip that leaves them valid.
            return Ok(Verdict::Harmless);
        }
        if comes_up {
            match history(&self.fleet).await {
                Ok(history) if history.starts_with(&self.history) => return Ok(Verdict::Harmless),
                Ok(history) => return Err(format!("the node runs, with {} other events", history.len())),
                Err(cut_off) => println!("{flip}: {cut_off}"),
            }
        }
        let ended = tokio::time::timeout(PATIENCE / 2, until("the node ends", async || run.has_ended().then_some(()))).await;
        let said = run.said();
        if ended.is_err() || run.ended_well() {
            return Err(format!("the node did not end with an error: {said}"));
        }
        let error = said.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or("no error at all");
        flip.check_complaint(error)?;
        Ok(Verdict::Detected(error.to_owned()))
    }

    /// Whether it is in the last record of a write-ahead log: nothing behind it says that the record was ever whole.
    fn is_in_last_record(&self, flip: &Flip) -> bool {
        let file = self.dir().join(&flip.file);
        if flip.store().is_none() || file.extension().is_none_or(|extension| extension != "log") {
            return false;
        }
        let ends: Vec<u64> = batches(&fs::read(file).expect("the file")).into_iter().map(|(_, end)| end).collect();
        let begin = ends.iter().rev().nth(1).copied().unwrap_or(0);
        flip.byte as u64 >= begin
    }

    /// Judges bits that are spread over files.
    async fn judge_some(&self, kind: &str, files: &[PathBuf], flips_each: usize) -> BTreeMap<&'static str, usize> {
        assert!(!files.is_empty(), "{kind}: there is none");
        self.judge_all(kind, files.iter().flat_map(|file| self.flips(file, flips_each)).collect()).await
    }

    /// Judges flipped bits, and tells how they fared.
    async fn judge_all(&self, kind: &str, flips: Vec<Flip>) -> BTreeMap<&'static str, usize> {
        let (mut counts, mut broken) = (BTreeMap::new(), Vec::new());
        for flip in flips {
            match self.judge(&flip).await {
                Ok(verdict) => *counts.entry(verdict.name()).or_insert(0) += 1,
                Err(promise) => broken.push(format!("{flip}: {promise}")),
            }
        }
        println!("{kind}: {counts:?}");
        assert!(broken.is_empty(), "{kind}:\n{}", broken.join("\n"));
        counts
    }
}

impl Flip {
    /// A copy of a data directory in which it is made.
    fn copy(&self, dir: &Path, copy: &Path) -> PathBuf {
        copy_anew(dir, copy);
        let file = copy.join(&self.file);
        let mut bytes = fs::read(&file).expect("the file");
        bytes[self.byte] ^= 1 << self.bit;
        fs::write(&file, bytes).expect("the file");
        copy.to_owned()
    }

    /// The store that the file belongs to, if it does.
    fn store(&self) -> Option<&str> {
        ["log", "ledger"].into_iter().find(|store| self.file.starts_with(store))
    }

    /// It must be named what is damaged, and said what to do.
    fn check_complaint(&self, complaint: &str) -> Result<(), String> {
        let file = self.file.file_name().expect("a name").to_string_lossy();
        let (names, remedies) = match self.store() {
            Some("log") => (vec!["/log", "Raft log"], vec![REBUILD_FROM_QUORUM]),
            Some(_) => (vec!["/ledger", "ledger", "journal", "checkpoint", "the state"], vec![REBUILD_FROM_QUORUM]),
            None => (vec![&*file], vec!["restore", "choose another"]),
        };
        let has_one_of = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
        if !has_one_of(&names) {
            return Err(format!("it is not said what is damaged: {complaint}"));
        }
        if has_one_of(&remedies) { Ok(()) } else { Err(format!("it is not said what to do: {complaint}")) }
    }
}

impl std::fmt::Display for Flip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, byte {}, bit {}", self.file.display(), self.byte, self.bit)
    }
}

impl Verdict {
    const fn name(&self) -> &'static str {
        match self {
            Self::Detected(_) => "detected",
            Self::Harmless => "harmless",
            Self::Cut => "cut as torn",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Detected(complaint) => write!(f, "detected: {complaint}"),
            Self::Harmless => f.write_str("harmless"),
            Self::Cut => f.write_str("cut as torn"),
        }
    }
}

/// Copies a folder to where another copy may be.
fn copy_anew(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("a former copy");
    }
    copy_folder(from, to);
}

/// Bits of a file of a data directory, spread over it, and the same in every run.
fn flips(dir: &Path, file: &Path, count: usize) -> Vec<Flip> {
    let bytes = fs::metadata(dir.join(file)).expect("a file").len();
    let bytes = usize::try_from(bytes).expect("a file of ordinary size");
    // The names of RocksDB's files count up; the kind of file is what stays.
    let kind = file.extension().or(file.file_name()).expect("a name");
    let mut random = Random::of(&kind.to_string_lossy());
    let count = count.min(bytes);
    let stratum = |number: usize| bytes * number / count..bytes * (number + 1) / count;
    let flip = |number| Flip { file: file.to_owned(), byte: random.within(stratum(number)), bit: random.within(0..8) as u8 };
    (0..count).map(flip).collect()
}

/// The doctor changes what it opens, so it gets a copy.
fn doctor_on_a_copy(fleet: &Fleet, dir: &Path) -> Diagnosis {
    let copy = fleet.folder().join("sound");
    copy_anew(dir, &copy);
    doctor(&copy)
}

/// All events from the beginning to the head, or how far they went.
async fn history(fleet: &Fleet) -> Result<Vec<EventLine>, String> {
    fleet.ready(NODE).await;
    let query = EventsQuery { since: Some("1-0".into()), follow: Some(false), ..EventsQuery::default() };
    let mut reader = fleet.client().events(query);
    let (mut events, mut complete) = (Vec::new(), false);
    loop {
        match reader.next().await {
            Ok(Some(StreamItem::Event(event))) => events.push(event),
            Ok(Some(StreamItem::Bookmark(_))) => complete = true,
            Ok(None) if complete => return Ok(events),
            other => return Err(format!("the stream ended behind {} events: {other:?}", events.len())),
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_what_a_node_knows_of_itself_is_detected() {
    let specimen = Specimen::small().await;
    for name in OF_EVERY_NODE {
        let counts = specimen.judge_some(name, &[name.into()], 16).await;
        assert!(counts.contains_key("detected"), "{name}: nothing was detected");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_write_ahead_log_is_detected() {
    let specimen = Specimen::small().await;
    for store in STORES {
        let files = specimen.files(store, |name| name.ends_with(".log"));
        let counts = specimen.judge_some(&format!("{store}/*.log"), &files, 16).await;
        assert!(counts.contains_key("detected"), "{store}: nothing was detected");
        assert_eq!(counts.get("harmless"), None, "{store}: every byte of a log counts");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_what_rocksdb_keeps_about_itself_is_detected() {
    let specimen = Specimen::small().await;
    for store in STORES {
        let current = fs::read_to_string(specimen.dir().join(store).join("CURRENT")).expect("the pointer to the manifest");
        let manifests = [Path::new(store).join(current.trim_end())];
        let mut flips: Vec<Flip> = manifests.iter().flat_map(|file| specimen.flips(file, 20)).collect();
        // A length that points beyond the end is what RocksDB itself takes for a torn end.
        flips.extend(manifests.iter().flat_map(|file| specimen.flips_of_lengths(file)));
        let counts = specimen.judge_all(&format!("{store}/MANIFEST-*"), flips).await;
        assert_eq!(counts.keys().collect::<Vec<_>>(), [&"detected"], "{store}: every byte of the manifest counts");
        specimen.judge_some(&format!("{store}/CURRENT"), &[Path::new(store).join("CURRENT")], 16).await;
        let notes = specimen.files(store, |name| ["OPTIONS", "LOG", "IDENTITY"].iter().any(|kind| name.starts_with(kind)));
        specimen.judge_some(&format!("{store}/OPTIONS-*, LOG, IDENTITY"), &notes, 2).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_table_of_the_log_is_detected() {
    let specimen = Specimen::small().await;
    let files = specimen.files("log", |name| name.ends_with(".sst"));
    let counts = specimen.judge_some("log/*.sst", &files, 12).await;
    assert!(counts.contains_key("detected"), "nothing was detected");
}

#[tokio::test]
async fn a_flipped_bit_in_a_table_of_the_ledger_is_detected() {
    let specimen = Specimen::with_checkpoint().await;
    let files = specimen.files("ledger", |name| name.ends_with(".sst"));
    let counts = specimen.judge_some("ledger/*.sst", &files, 8).await;
    assert!(counts.contains_key("detected"), "nothing was detected");
}

#[tokio::test]
async fn a_flipped_bit_in_what_founding_a_cluster_leaves_is_told_at_the_next_start() {
    let mut fleet = Fleet::of_one_never_started();
    let dir = fleet.node(NODE).dir.clone();
    assert_told(&fleet, &dir, &BEFORE_THE_FIRST_START).await;
    fleet.restart(NODE);
    let founded = async || fs::read_to_string(&fleet.node(NODE).log).ok()?.contains("the cluster is founded").then_some(());
    until("the cluster is founded", founded).await;
    fleet.stop(NODE);
    assert_told(&fleet, &dir, &BEFORE_THE_FIRST_ADMINISTRATOR).await;
}

#[tokio::test]
async fn a_flipped_bit_in_what_a_machine_was_told_when_it_joined_is_told_at_its_first_start() {
    let mut fleet = Fleet::of_one().await;
    let joined = fleet.join("joined", &fleet.invite(3_600)).expect("the machine joins");
    // Each copy that runs would be taken for the machine itself.
    fleet.kill(NODE);
    assert_told(&fleet, &joined.dir, &AFTER_A_JOIN).await;
}

/// A flipped bit in any of these files of a data directory is told by whom the table says. There are no others but those of
/// every node.
async fn assert_told(fleet: &Fleet, dir: &Path, files: &[(&str, Teller)]) {
    let mut expected: Vec<_> = files.iter().map(|(file, _)| *file).chain(OF_EVERY_NODE).chain(STORES).collect();
    expected.sort_unstable();
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, expected, "each kind of file has its row");
    let sound = doctor_on_a_copy(fleet, dir);
    assert!(sound.healthy, "{:?}", sound.complaints());
    for (file, teller) in files {
        for flip in flips(dir, Path::new(file), FLIPS) {
            let diagnosis = doctor(&flip.copy(dir, &fleet.folder().join("examined")));
            if *teller == Teller::Nobody {
                assert!(diagnosis.healthy, "{flip}: {:?}", diagnosis.complaints());
                continue;
            }
            let complaints = diagnosis.complaints();
            let told = format!("/{file} is damaged");
            assert!(complaints.first().is_some_and(|first| first.detail.contains(&told)), "{flip}: {complaints:?}");
            let mut run = Run::start(&flip.copy(dir, &fleet.folder().join("run")));
            let comes_up = until("the node runs or ends", async || run.comes_up()).await;
            assert_eq!(comes_up, *teller == Teller::Warning, "{flip}: {}", run.said());
            assert!(run.said().contains(&told), "{flip}: {}", run.said());
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_what_a_join_leaves_is_told_at_the_next_attempt() {
    let mut fleet = Fleet::of_one().await;
    let token = fleet.invite(3_600);
    fleet.kill(NODE);
    // Nobody lets it in, so that it leaves what the next attempt goes on from.
    let (home, name) = (Home::free(fleet.folder()), "joins");
    let broken = fleet.try_to_join_for(1, &home, name, &token, &[]);
    assert!(errors_of(&broken).contains("no authority node let this machine in"), "{}", errors_of(&broken));
    let dir = fleet.folder().join(name);
    for flip in flips(&dir, Path::new("joining"), FLIPS) {
        let copy = flip.copy(&dir, &fleet.folder().join("damaged"));
        let refused = errors_of(&fleet.try_to_join_for(1, &home, "damaged", &token, &[]));
        assert!(refused.contains(&format!("{}/joining is damaged", copy.display())), "{flip}: {refused}");
        assert!(refused.contains("join with a new token"), "{flip}: {refused}");
    }
}

/// That the cluster has removed a node is told by a file that is there, whatever it says.
#[tokio::test]
async fn a_flipped_bit_does_not_take_a_node_back_that_was_removed() {
    let mut fleet = Fleet::of_one().await;
    fleet.stop(NODE);
    let dir = fleet.node(NODE).dir.clone();
    fs::write(dir.join("removed"), "The cluster has removed this node.\n").expect("a file");
    fs::set_permissions(dir.join("removed"), fs::Permissions::from_mode(0o600)).expect("a file");
    for flip in flips(&dir, Path::new("removed"), 3) {
        let diagnosis = doctor(&flip.copy(&dir, &fleet.folder().join("examined")));
        assert!(diagnosis.of("membership").detail.contains("was removed from the cluster"), "{flip}: {diagnosis:?}");
    }
}
