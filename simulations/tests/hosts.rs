//! What befalls machines, and what their processes see of it.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar_net::{Address, Files, Network, tasks};
use bursar_simulations::draws::Draws;
use bursar_simulations::host::{Exit, Host, Parts, Program};
use bursar_simulations::network::{Distances, Internet};
use bursar_simulations::points::Crash;
use bursar_simulations::trace::Trace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

const PROCESS: &str = "process";

fn host() -> (Internet, Host) {
    let trace = Trace::begin(None);
    let draws = Draws::of_seed(7);
    let distances = Distances { latency_ms: vec![vec![1]], jitter_ms: 0, buffer_bytes: 65_536 };
    let internet = Internet::new(distances, draws, trace.clone());
    tokio::spawn(internet.carry());
    let host = Host::new("host", 0, 1 << 30, 1, &internet, draws, &trace);
    (internet, host)
}

fn program<F: Future<Output = Result<(), String>> + Send + 'static>(
    make: impl Fn(Parts) -> F + Send + Sync + 'static,
) -> Program {
    Arc::new(move |parts| Box::pin(make(parts)))
}

/// Counts the seconds that it lives, in a task of a task.
fn counting() -> (Program, Arc<AtomicU64>) {
    let seconds = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&seconds);
    let counting = program(move |_| {
        let counted = Arc::clone(&counted);
        async move {
            let inner = tasks::spawn(async move {
                loop {
                    sleep(Duration::from_secs(1)).await;
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            });
            inner.await.map_err(|error| error.to_string())
        }
    });
    (counting, seconds)
}

#[tokio::test(start_paused = true)]
async fn a_process_lives_until_it_is_killed_and_stands_still_while_it_is_paused() {
    let (_internet, host) = host();
    let (program, seconds) = counting();
    host.install(PROCESS, None, program);
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(seconds.load(Ordering::SeqCst), 0, "it was not started");
    host.start(PROCESS);
    host.start(PROCESS);
    sleep(Duration::from_millis(2_500)).await;
    let (first, second) = (host.pause(PROCESS).unwrap(), host.pause(PROCESS).unwrap());
    sleep(Duration::from_secs(30)).await;
    host.resume(PROCESS, second);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(seconds.load(Ordering::SeqCst), 2);
    host.resume(PROCESS, first);
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(seconds.load(Ordering::SeqCst), 4);
    host.kill(PROCESS);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(seconds.load(Ordering::SeqCst), 4);
    assert!(!host.is_running(PROCESS) && host.exits(PROCESS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_by_itself_is_started_again_where_that_is_wanted() {
    let (_internet, host) = host();
    let starts = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&starts);
    let ending = program(move |_| {
        let start = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(Duration::from_secs(1)).await;
            match start {
                0 => Ok(()),
                1 => Err("the disk is full".to_owned()),
                2 => panic!("planted"),
                _ => std::future::pending().await,
            }
        }
    });
    host.install(PROCESS, Some(Duration::from_secs(5)), ending);
    host.start(PROCESS);
    sleep(Duration::from_secs(60)).await;
    let exits = [Exit::Done, Exit::Failed("the disk is full".to_owned()), Exit::Panicked("planted".to_owned())];
    assert_eq!(host.exits(PROCESS), exits);
    assert_eq!(starts.load(Ordering::SeqCst), 4);
    assert!(host.is_running(PROCESS));
}

#[tokio::test(start_paused = true)]
async fn each_outage_and_each_kill_ends_for_itself() {
    let (_internet, host) = host();
    let (program, _) = counting();
    host.install(PROCESS, None, program);
    host.start(PROCESS);
    host.power_off();
    host.power_off();
    host.power_on();
    assert!(!host.has_power() && !host.is_running(PROCESS));
    host.kill(PROCESS);
    host.power_on();
    assert!(host.has_power() && !host.is_running(PROCESS), "it is held down");
    host.kill(PROCESS);
    host.revive(PROCESS);
    assert!(!host.is_running(PROCESS));
    host.revive(PROCESS);
    assert!(host.is_running(PROCESS));
    let of_the_first = host.pause(PROCESS).unwrap();
    host.kill(PROCESS);
    host.revive(PROCESS);
    let _of_the_second = host.pause(PROCESS);
    host.resume(PROCESS, of_the_first);
    host.power_off();
    host.kill(PROCESS);
    host.heal();
    assert!(host.has_power() && host.is_running(PROCESS));
}

#[tokio::test(start_paused = true)]
async fn a_process_ends_at_a_point_before_it_does_what_lies_behind() {
    for crash in [Crash::Exit, Crash::PowerLoss] {
        let (_internet, host) = host();
        let writing = program(|parts| async move {
            for contents in ["one", "two", "three"] {
                let files = Arc::clone(&parts.files);
                let written = parts.blocking.run(move || {
                    bursar_net::point!("log.synced", contents.len() as u64);
                    files.write_atomic(Path::new("/file"), contents.as_bytes())
                });
                written.await.unwrap().unwrap();
            }
            std::future::pending().await
        });
        host.install(PROCESS, Some(Duration::from_secs(5)), writing);
        let struck = host.crash_at("log.synced", 3, crash);
        host.start(PROCESS);
        assert_eq!(struck.await.unwrap(), PROCESS);
        sleep(Duration::from_secs(60)).await;
        assert!(!host.is_running(PROCESS) && host.exits(PROCESS).is_empty(), "it did not end by itself");
        let told = [3, 3, 5].map(|length| ("log.synced", vec![length]));
        assert_eq!((host.take_told(PROCESS), host.take_told(PROCESS)), (told.to_vec(), Vec::new()));
        assert_eq!(host.has_power(), crash == Crash::Exit);
        match crash {
            Crash::Exit => host.revive(PROCESS),
            Crash::PowerLoss => host.power_on(),
        }
        let read = || Files::read(&host.disks().files(1), Path::new("/file"), 100).unwrap();
        assert_eq!(read(), b"two");
        sleep(Duration::from_secs(60)).await;
        assert!(host.is_running(PROCESS));
        assert_eq!(read(), b"three");
    }
}

/// What the peer of a process on `host` reads, once `befall` has come over it: nothing, or how it was told.
async fn what_a_peer_reads_after(befall: impl Fn(&Host)) -> (Result<usize, std::io::ErrorKind>, Duration) {
    let (internet, host) = host();
    let listening = program(|parts| async move {
        let listener = parts.network.bind(&"0.0.0.0:4000".parse().unwrap()).await.map_err(|error| error.to_string())?;
        let (mut stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        stream.write_all(b"!").await.map_err(|error| error.to_string())?;
        std::future::pending().await
    });
    host.install(PROCESS, None, listening);
    host.start(PROCESS);
    sleep(Duration::from_secs(1)).await;
    let peer = internet.attach("peer", 0);
    let mut stream = internet.of(peer).connect(&Address::new("host", 4_000).unwrap()).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'!');
    befall(&host);
    let begun = Instant::now();
    let read = stream.read(&mut [0; 8]).await.map_err(|error| error.kind());
    (read, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_kernel_closes_what_a_killed_process_held_and_nobody_does_without_power() {
    let (read, after) = what_a_peer_reads_after(|host| host.kill(PROCESS)).await;
    assert_eq!((read, after), (Ok(0), Duration::from_millis(1)));
    let (read, after) = what_a_peer_reads_after(Host::power_off).await;
    assert_eq!(read, Err(std::io::ErrorKind::TimedOut));
    assert!(after > Duration::from_secs(25), "{after:?}");
    let strike = |host: &Host| {
        host.disks().power_off_at_sync(1);
        let files = host.disks().files(1);
        Files::write_atomic(&files, Path::new("/file"), b"contents").unwrap_err();
    };
    let (read, after) = what_a_peer_reads_after(strike).await;
    assert_eq!(read, Err(std::io::ErrorKind::TimedOut));
    assert!(after > Duration::from_secs(25), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_finds_after_a_power_cut_what_it_had_made_durable() {
    let (_internet, host) = host();
    let found = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&found);
    let path = PathBuf::from("/starts");
    let writing = program(move |parts| {
        let (noted, path) = (Arc::clone(&noted), path.clone());
        async move {
            let _lock = parts.files.lock(Path::new("/lock")).map_err(|error| error.to_string())?;
            let before = parts.files.read(&path, 100).unwrap_or_default();
            noted.lock().unwrap().push((before.len(), parts.entropy.array::<8>()));
            let (files, more) = (Arc::clone(&parts.files), [before, vec![b'x']].concat());
            parts.blocking.run(move || files.write_atomic(&path, &more)).await.unwrap().unwrap();
            std::future::pending().await
        }
    });
    host.install(PROCESS, None, writing);
    host.start(PROCESS);
    for _ in 0..3 {
        sleep(Duration::from_secs(1)).await;
        host.power_off();
        assert!(!host.has_power() && !host.is_running(PROCESS));
        sleep(Duration::from_secs(1)).await;
        host.power_on();
    }
    sleep(Duration::from_secs(1)).await;
    let found = found.lock().unwrap().clone();
    assert_eq!(found.iter().map(|(length, _)| *length).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(found.windows(2).all(|pair| pair[0].1 != pair[1].1), "each start draws anew");
}

#[tokio::test(start_paused = true)]
async fn what_loses_its_power_amid_its_last_words_has_not_ended_by_itself() {
    let (_internet, host) = host();
    let struck = host.clone();
    let program = program(move |_| {
        let struck = struck.clone();
        async move {
            // As a sync does that the power goes with.
            struck.power_off();
            Err("an input or output failed".to_owned())
        }
    });
    host.install(PROCESS, None, program);
    host.start(PROCESS);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(host.exits(PROCESS), Vec::<Exit>::new());
}
