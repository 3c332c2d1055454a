#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bursar_domain::{
    AbsolutePath, Cursor, DestinationId, Epoch, Projection, Revision, StoreId,
    projection::Making,
    server::{self, Addresses, Ports},
    store_point::{CreationFailure, Flags, Intent, OfflineReason, Quota, Report},
    text::{Address, Name},
};
use bursar_net::{Blocking, DiskFiles, DiskVolumes, Entropy, Files, Job, SystemEntropy, Volumes, Worker};
use tempfile::TempDir;
use tokio::time::sleep;

use super::{
    check::{check, look},
    faults::{FaultyVolumes, Operation},
    identity::IDENTITY_FILE,
    made::{Made, MadeError},
    make::prepare,
    *,
};
use crate::faults::{FaultyFiles, Moment};

const ID: [u8; 16] = [9; 16];

/// A disk, and where a store point is to be on it.
fn disk() -> (TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), ServerId(7), 3);
    (folder, place)
}

fn place(path: &Path, server: ServerId, store_point: u64) -> Place {
    Place {
        owner: Owner { cluster: ClusterId([7; 16]), server },
        store_point: StorePointId(store_point),
        path: path.to_owned(),
        directory: "CrashPlanArchive_m7x3".into(),
    }
}

fn made() -> (TempDir, Place) {
    let (folder, place) = disk();
    make(&DiskVolumes, &place, ID).unwrap();
    (folder, place)
}

/// Makes it on a server that has made nothing before.
fn make(volumes: &dyn Volumes, place: &Place, id: [u8; 16]) -> Result<(), CreationFailure> {
    make_again(volumes, place, id, &memory().1)
}

/// Makes it on a server that knows what it has made.
fn make_again(volumes: &dyn Volumes, place: &Place, id: [u8; 16], made: &Made) -> Result<(), CreationFailure> {
    try_to_make(volumes, place, id, made).unwrap_or_else(|error| panic!("{error}"))
}

/// The steps in which a keeper makes it.
fn try_to_make(
    volumes: &dyn Volumes,
    place: &Place,
    id: [u8; 16],
    made: &Made,
) -> Result<Result<(), CreationFailure>, MadeError> {
    if made.holds(place.store_point)? {
        return Ok(Ok(()));
    }
    match prepare(volumes, place, id) {
        Ok(prepared) => made.note(place.store_point).map(|()| prepared.give_name(place)),
        Err(failure) => Ok(Err(failure)),
    }
}

/// The data directory of a server that has made nothing yet.
fn memory() -> (TempDir, Made) {
    let folder = tempfile::tempdir().unwrap();
    let made = memory_in(folder.path(), Arc::new(DiskFiles), StoreId([2; 16]));
    (folder, made)
}

fn memory_in(folder: &Path, files: Arc<dyn Files>, store: StoreId) -> Made {
    Made::new(files, folder.join("made.toml"), store, watch::Sender::default().subscribe())
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn report(volumes: &dyn Volumes, place: &Place) -> Report {
    check(volumes, place).report
}

#[test]
fn a_directory_that_was_made_bears_its_identity_and_is_online() {
    let (folder, place) = made();
    assert_eq!(names(folder.path()), [place.directory.as_str()]);
    let identity = fs::read(folder.path().join(&place.directory).join(IDENTITY_FILE)).unwrap();
    let identity: DirectoryIdentity = bursar_net::kept_from_toml(Path::new(IDENTITY_FILE), &identity, "").unwrap();
    assert_eq!(identity, DirectoryIdentity::of(&place, ID));
    let checked = check(&DiskVolumes, &place);
    assert_eq!(checked.report, Report::Online);
    assert!(checked.space.is_some_and(|space| space.total > 0));
    assert_eq!(names(&folder.path().join(&place.directory)), [IDENTITY_FILE], "a check leaves nothing behind");
}

#[test]
fn an_interrupted_making_leaves_nothing_of_that_name_or_a_whole_directory_and_is_repeated() {
    for moment in Moment::ALL {
        let mut whole = 0;
        for at in 0.. {
            let ((folder, place), (_memory, made)) = (disk(), memory());
            let volumes = FaultyVolumes::ending_at(at, moment);
            let attempt = make_again(&volumes, &place, ID, &made);
            if !volumes.have_ended() {
                assert!(attempt.is_ok() && at == 6, "a making changes the disk {at} times");
                break;
            }
            assert!(attempt.is_err(), "{moment:?} at {at}");
            let is_there = folder.path().join(&place.directory).exists();
            whole += usize::from(is_there);
            assert!(
                made.holds(place.store_point).unwrap() || !is_there,
                "{moment:?} at {at}: it is noted before it has its name"
            );
            make_again(&DiskVolumes, &place, [10; 16], &made).unwrap();
            assert_eq!(report(&DiskVolumes, &place), Report::Online, "{moment:?} at {at}");
            assert_eq!(names(folder.path()), [place.directory.as_str()], "{moment:?} at {at}");
        }
        assert_eq!(whole, if matches!(moment, Moment::After) { 2 } else { 1 }, "{moment:?}");
    }
}

#[test]
fn what_vanished_whenever_the_making_was_interrupted_is_not_made_again() {
    let mut vanished = 0;
    for at in 0..6 {
        let ((folder, place), (_memory, made)) = (disk(), memory());
        make_again(&FaultyVolumes::ending_at(at, Moment::After), &place, ID, &made).unwrap_err();
        if !made.holds(place.store_point).unwrap() {
            continue;
        }
        vanished += 1;
        for name in names(folder.path()) {
            fs::remove_dir_all(folder.path().join(name)).unwrap();
        }
        make_again(&DiskVolumes, &place, [10; 16], &made).unwrap();
        assert_eq!(report(&DiskVolumes, &place), Report::Offline(OfflineReason::Missing), "at {at}");
        assert_eq!(names(folder.path()), [""; 0], "at {at}: the disk that is there may be another one");
    }
    assert_eq!(vanished, 2, "it is noted before its name is given and before that is durable");
}

#[test]
fn a_making_that_cannot_be_noted_gives_no_name_and_is_repeated() {
    for moment in [Moment::Before, Moment::Amid] {
        let ((folder, place), (memory, _)) = (disk(), memory());
        let broken = memory_in(memory.path(), Arc::new(FaultyFiles::ending_at(0, moment)), StoreId([2; 16]));
        try_to_make(&DiskVolumes, &place, ID, &broken).unwrap_err();
        assert!(!folder.path().join(&place.directory).exists());
        let sound = memory_in(memory.path(), Arc::new(DiskFiles), StoreId([2; 16]));
        make_again(&DiskVolumes, &place, ID, &sound).unwrap();
        assert_eq!(report(&DiskVolumes, &place), Report::Online);
    }
}

#[test]
fn what_was_made_by_another_server_is_not_believed() {
    let ((folder, place), (memory, made)) = (disk(), memory());
    make_again(&DiskVolumes, &place, ID, &made).unwrap();
    fs::remove_dir_all(folder.path().join(&place.directory)).unwrap();
    let other = memory_in(memory.path(), Arc::new(DiskFiles), StoreId([3; 16]));
    let unmade = try_to_make(&DiskVolumes, &place, ID, &other).unwrap_err();
    assert!(unmade.to_string().contains("belongs to the data directory"), "{unmade}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_is_there_already_is_taken_only_where_it_is_its_own() {
    let (_folder, place) = made();
    make(&DiskVolumes, &place, [10; 16]).unwrap();
    for others in [
        Place { store_point: StorePointId(4), ..place.clone() },
        Place { owner: Owner { server: ServerId(8), ..place.owner }, ..place.clone() },
        Place { owner: Owner { cluster: ClusterId([8; 16]), ..place.owner }, ..place.clone() },
    ] {
        assert_eq!(make(&DiskVolumes, &others, ID), Err(CreationFailure::DirectoryExists));
        assert_eq!(report(&DiskVolumes, &others), Report::Offline(OfflineReason::ForeignIdentity));
    }

    let occupations: [fn(&Path) -> io::Result<()>; 3] =
        [|path| fs::create_dir(path), |path| fs::write(path, "mine"), |path| symlink("/tmp", path)];
    for occupy in occupations {
        let (folder, place) = disk();
        occupy(&folder.path().join(&place.directory)).unwrap();
        assert_eq!(make(&DiskVolumes, &place, ID), Err(CreationFailure::DirectoryExists));
        assert_eq!(names(folder.path()), [place.directory.as_str()]);
    }
}

#[test]
fn a_failure_to_make_it_says_what_is_wrong() {
    let (folder, place) = disk();
    let gone = Place { path: folder.path().join("gone"), ..place.clone() };
    assert_eq!(make(&DiskVolumes, &gone, ID), Err(CreationFailure::PathMissing));
    symlink(folder.path(), folder.path().join("link")).unwrap();
    let link = Place { path: folder.path().join("link"), ..place.clone() };
    assert_eq!(make(&DiskVolumes, &link, ID), Err(CreationFailure::PathMissing));
    for (kind, failure) in [
        (ErrorKind::PermissionDenied, CreationFailure::NotWritable),
        (ErrorKind::ReadOnlyFilesystem, CreationFailure::NotWritable),
        (ErrorKind::StorageFull, CreationFailure::NotWritable),
        (ErrorKind::Other, CreationFailure::IoFailing),
    ] {
        for at in [Operation::Name, Operation::Write, Operation::Sync] {
            let (_folder, place) = disk();
            let volumes = FaultyVolumes::failing(move |operation, _| (operation == at).then_some(kind));
            assert_eq!(make(&volumes, &place, ID), Err(failure), "{kind:?} at {at:?}");
        }
    }
}

#[test]
fn a_check_tells_a_disk_that_is_gone_from_one_that_fails() {
    let (folder, place) = made();
    let with = |at: Operation, kind: ErrorKind| {
        report(&FaultyVolumes::failing(move |operation, name| (operation == at && name != IDENTITY_FILE).then_some(kind)), &place)
    };
    let offline = Report::Offline;
    assert_eq!(with(Operation::Write, ErrorKind::ReadOnlyFilesystem), offline(OfflineReason::ReadOnly));
    assert_eq!(with(Operation::Write, ErrorKind::PermissionDenied), offline(OfflineReason::ReadOnly));
    assert_eq!(with(Operation::Remove, ErrorKind::ReadOnlyFilesystem), offline(OfflineReason::ReadOnly));
    assert_eq!(with(Operation::Write, ErrorKind::Other), offline(OfflineReason::IoFailing));
    assert_eq!(with(Operation::Open, ErrorKind::Other), offline(OfflineReason::IoFailing));
    assert_eq!(with(Operation::Room, ErrorKind::Other), offline(OfflineReason::IoFailing));
    assert_eq!(with(Operation::Write, ErrorKind::StorageFull), Report::Online, "restores go on from a full disk");
    let unreadable = FaultyVolumes::failing(|operation, _| (operation == Operation::Read).then_some(ErrorKind::Other));
    assert_eq!(report(&unreadable, &place), offline(OfflineReason::IoFailing));

    let directory = folder.path().join(&place.directory);
    let sound = fs::read_to_string(directory.join(IDENTITY_FILE)).unwrap();
    for damaged in [sound.replace("server = 7", "server = 8"), sound.replace("format", "fromat"), String::new()] {
        fs::write(directory.join(IDENTITY_FILE), damaged).unwrap();
        assert_eq!(report(&DiskVolumes, &place), offline(OfflineReason::ForeignIdentity));
        assert_eq!(names(&directory), [IDENTITY_FILE], "nothing is written to what is not proven");
    }
    fs::remove_file(directory.join(IDENTITY_FILE)).unwrap();
    assert_eq!(report(&DiskVolumes, &place), offline(OfflineReason::ForeignIdentity));
    fs::remove_dir(&directory).unwrap();
    assert_eq!(report(&DiskVolumes, &place), offline(OfflineReason::Missing));
    fs::remove_dir(folder.path()).unwrap();
    assert_eq!(report(&DiskVolumes, &place), offline(OfflineReason::Missing));
}

#[test]
fn a_look_finds_what_a_check_finds_and_changes_nothing() {
    let (folder, place) = made();
    let only_looks = |of: &Place| {
        let changes = [Operation::Write, Operation::Remove, Operation::Name, Operation::Sync];
        let volumes = FaultyVolumes::failing(move |operation, _| {
            assert!(!changes.contains(&operation), "{operation:?}");
            None
        });
        look(&volumes, of)
    };
    assert_eq!(only_looks(&place), Ok(()));
    let directory = folder.path().join(&place.directory);
    let aside = folder.path().join(format!(".{}.{}.making", place.directory, place.owner.cluster));
    fs::rename(&directory, &aside).unwrap();
    assert_eq!(only_looks(&place), Ok(()), "the next check of the server gives it its name");
    assert!(aside.is_dir() && !directory.exists());
    fs::create_dir(&directory).unwrap();
    assert_eq!(only_looks(&place), Err(OfflineReason::ForeignIdentity), "an empty directory in place of the right one");
    fs::remove_dir(&directory).unwrap();
    fs::remove_dir_all(&aside).unwrap();
    assert_eq!(only_looks(&place), Err(OfflineReason::Missing));
}

#[test]
fn what_a_check_left_behind_is_cleared_by_the_next() {
    let (folder, place) = made();
    for moment in Moment::ALL {
        for at in 0..3 {
            let volumes = FaultyVolumes::ending_at(at, moment);
            check(&volumes, &place);
            assert!(volumes.have_ended());
            assert_eq!(report(&DiskVolumes, &place), Report::Online, "{moment:?} at {at}");
            assert_eq!(names(&folder.path().join(&place.directory)), [IDENTITY_FILE], "{moment:?} at {at}");
        }
    }
}

fn wanted(place: &Place, making: Making) -> projection::StorePoint {
    projection::StorePoint {
        name: Name::parse("name", "disk").unwrap(),
        path: AbsolutePath::parse("path", "/disk").unwrap(),
        directory: place.directory.clone(),
        flags: Flags::default(),
        quota: Quota::Unlimited,
        intent: Intent::Active,
        making,
    }
}

/// A server that knows of these store points.
fn knowing(store_points: &[u64]) -> Known {
    let (_folder, place) = disk();
    let projection = Projection {
        server: place.owner.server,
        name: Name::parse("name", "store-7").unwrap(),
        addresses: Addresses {
            primary: Address::parse("address", "store-7.example:4288").unwrap(),
            secondary: None,
            ports: Ports { peer: 4283, transfer: 4286 },
        },
        destination: DestinationId(1),
        intent: server::Intent::Active,
        authority: BTreeMap::new(),
        peers: BTreeMap::new(),
        store_points: store_points.iter().map(|id| (StorePointId(*id), wanted(&place, Making::Done))).collect(),
    };
    Known { projection: Some((Arc::new(projection), Cursor { epoch: Epoch(1), revision: Revision(9) })) }
}

#[test]
fn what_was_made_is_kept_in_mind_for_as_long_as_it_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let known = watch::Sender::new(Known::default());
    let made = Made::new(Arc::new(DiskFiles), folder.path().join("made.toml"), StoreId([2; 16]), known.subscribe());
    let held = || [3, 4, 5].map(|id| made.holds(StorePointId(id)).unwrap());
    for id in [3, 4] {
        made.note(StorePointId(id)).unwrap();
    }
    assert_eq!(held(), [true, true, false], "nothing is known yet, and nothing is left out");
    known.send_replace(knowing(&[4, 5]));
    assert_eq!(held(), [true, true, false]);
    made.note(StorePointId(5)).unwrap();
    assert_eq!(held(), [false, true, true]);
}

/// Runs each job where it stands, unless a disk hangs.
#[derive(Default)]
struct Threads {
    hanging: Mutex<Option<Vec<Job>>>,
    /// The job with this number, from 0, hangs, and whatever comes behind it.
    hangs_at: Option<usize>,
    jobs: AtomicUsize,
}

impl Threads {
    fn hanging_at(job: usize) -> Self {
        Self { hangs_at: Some(job), ..Self::default() }
    }

    fn hang(&self) {
        *self.hanging.lock().unwrap() = Some(Vec::new());
    }

    /// The disk comes back; says how many jobs it has held up.
    fn come_back(&self) -> usize {
        let held = self.hanging.lock().unwrap().take().unwrap();
        let count = held.len();
        held.into_iter().for_each(|job| job());
        count
    }
}

impl Blocking for Threads {
    fn spawn(&self, job: Job) {
        if self.hangs_at == Some(self.jobs.fetch_add(1, Ordering::SeqCst)) {
            self.hang();
        }
        match &mut *self.hanging.lock().unwrap() {
            Some(held) => held.push(job),
            None => job(),
        }
    }

    fn worker(&self, _name: &str) -> Arc<dyn Worker> {
        unreachable!("a keeper needs no worker")
    }
}

/// A keeper of one store point, with a disk and a clock of the test.
struct Kept {
    _folder: TempDir,
    _memory: TempDir,
    place: Place,
    threads: Arc<Threads>,
    outbox: Arc<Outbox>,
    wanted: watch::Sender<projection::StorePoint>,
    keeper: tokio::task::JoinHandle<Infallible>,
}

impl Kept {
    fn begin(making: Making, threads: Threads) -> Self {
        Self::begin_on(DiskVolumes, making, threads)
    }

    fn begin_on(volumes: impl Volumes, making: Making, threads: Threads) -> Self {
        let (folder, place) = if making == Making::Wanted { disk() } else { made() };
        let (memory, made) = memory();
        let threads = Arc::new(threads);
        let outbox = Arc::new(Outbox::new(Arc::new(SystemEntropy::new())));
        let wanted = watch::Sender::new(wanted(&place, making));
        let parts: (Arc<dyn Volumes>, Arc<dyn Blocking>, Arc<dyn Entropy>) =
            (Arc::new(volumes), threads.clone(), Arc::new(SystemEntropy::new()));
        let keeper =
            Keeper::new(Arc::new(place.clone()), wanted.subscribe(), parts, Arc::new(made), outbox.clone(), Arc::default());
        Self { _folder: folder, _memory: memory, place, threads, outbox, wanted, keeper: tokio::spawn(keeper.keep()) }
    }

    /// Lets time pass.
    async fn behind(&self, seconds: u64) -> Option<Report> {
        sleep(Duration::from_secs(seconds)).await;
        self.outbox.says_of(self.place.store_point)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_fails_after_ten_seconds_and_holds_up_one_thread() {
    let kept = Kept::begin(Making::Done, Threads::default());
    assert_eq!(kept.behind(1).await, Some(Report::Online));
    kept.threads.hang();
    assert_eq!(kept.behind(10).await, Some(Report::Online), "it may still come back");
    assert_eq!(kept.behind(5).await, Some(Report::Offline(OfflineReason::IoFailing)));
    assert_eq!(kept.behind(3_000).await, Some(Report::Offline(OfflineReason::IoFailing)));
    assert!(kept.threads.come_back() <= 2, "one check, and one measuring");
    assert_eq!(kept.behind(1).await, Some(Report::Online));
}

#[tokio::test(start_paused = true)]
async fn a_directory_whose_making_hangs_has_failed_whatever_comes_of_it() {
    let kept = Kept::begin(Making::Wanted, Threads::hanging_at(1));
    let failed = Some(Report::Failed(CreationFailure::IoFailing));
    assert_eq!(kept.behind(11).await, failed);
    kept.threads.come_back();
    kept.wanted.send_modify(|wanted| wanted.making = Making::Failed);
    assert_eq!(kept.behind(100).await, failed);
}

/// Which disk a job is on shows when it runs at last. The server's own is looked at and written to, the store point's is used
/// around that.
#[tokio::test(start_paused = true)]
async fn only_its_own_disk_fails_a_making_however_slow_the_servers_is() {
    let mut own_disk_is_slow = Vec::new();
    for job in 0..4 {
        let uses = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&uses);
        let volumes = FaultyVolumes::failing(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            None
        });
        let kept = Kept::begin_on(volumes, Making::Wanted, Threads::hanging_at(job));
        let report = kept.behind(3_600).await;
        let uses_before = uses.load(Ordering::SeqCst);
        kept.threads.come_back();
        let is_own = uses.load(Ordering::SeqCst) == uses_before;
        own_disk_is_slow.push(is_own);
        if is_own {
            assert_eq!(report, None, "job {job}: nothing is known of the store point's disk");
            assert_eq!(kept.behind(1).await, Some(Report::Online), "job {job}");
        } else {
            assert_eq!(report, Some(Report::Failed(CreationFailure::IoFailing)), "job {job}");
            assert_eq!(kept.behind(100).await, report, "job {job}: whatever comes of it");
        }
    }
    assert_eq!(own_disk_is_slow, [true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_store_point_that_could_not_be_made_is_not_looked_at() {
    let kept = Kept::begin(Making::Failed, Threads::default());
    assert_eq!(kept.behind(100).await, None);
    assert_eq!(kept.threads.jobs.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn each_event_about_it_has_it_looked_at_at_once() {
    let kept = Kept::begin(Making::Done, Threads::default());
    assert_eq!(kept.behind(1).await, Some(Report::Online));
    fs::remove_dir_all(kept.place.path.join(&kept.place.directory)).unwrap();
    kept.wanted.send_modify(|wanted| wanted.quota = Quota::Bytes(1));
    assert_eq!(kept.behind(1).await, Some(Report::Offline(OfflineReason::Missing)));
}
