//! Real processes, one of which is far away: the leader says that the way takes longer than its heartbeat allows, and all goes on.

mod support;

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bursar_wire::{
    client::Change,
    cluster::{Member, TransferLeadership},
    query::ListQuery,
};
use support::{Fleet, free_addresses, site, soon, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Who is far away.
const FAR: u64 = 3;
/// What the fleet is told to live by. Its signs of life may take three quarters of the first.
const TIMING: &str = "heartbeat_ms = 400\nelection_ms_min = 4000\nelection_ms_max = 8000";
/// How long the way to the far node takes, one way: there and back it is more than a sign of life may take, and less than the
/// second within which a leader wants to be told another node's time.
const WAY: Duration = Duration::from_millis(200);

/// A way to an address that is as long as the test likes.
struct Detour {
    address: String,
    way_ms: Arc<AtomicU64>,
}

impl Detour {
    async fn to(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let detour = Self { address: listener.local_addr().expect("its address").to_string(), way_ms: Arc::default() };
        let way_ms = Arc::clone(&detour.way_ms);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&address).await else { continue };
                let ((near_reader, near_writer), (far_reader, far_writer)) = (near.into_split(), far.into_split());
                tokio::spawn(delay(near_reader, far_writer, Arc::clone(&way_ms)));
                tokio::spawn(delay(far_reader, near_writer, Arc::clone(&way_ms)));
            }
        });
        detour
    }

    fn takes(&self, way: Duration) {
        self.way_ms.store(u64::try_from(way.as_millis()).expect("a short while"), Ordering::SeqCst);
    }
}

/// Passes on whatever comes, in order, each part so long after it came.
async fn delay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way_ms: Arc<AtomicU64>) -> io::Result<()> {
    let (parts, mut delayed) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let arrive = async move {
        while let Some((at, part)) = delayed.recv().await {
            sleep_until(at).await;
            to.write_all(&part).await?;
        }
        to.shutdown().await
    };
    let depart = async move {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from.read(&mut buffer).await?;
            let at = Instant::now() + Duration::from_millis(way_ms.load(Ordering::SeqCst));
            // An end passes on nothing more; and who takes nothing more has ended.
            if length == 0 || parts.send((at, buffer[..length].to_vec())).is_err() {
                return Ok(());
            }
        }
    };
    tokio::try_join!(depart, arrive).map(drop)
}

/// A fleet that has time, and whose far node is reached by a detour.
async fn with_a_detour() -> (Fleet, Detour) {
    let mut fleet = Fleet::start();
    fleet.kill_all();
    // Nobody knows where it listens now, so nobody finds a shorter way.
    let [hidden, ..] = free_addresses(fleet.folder());
    let own = fleet.node(FAR).peer.clone();
    let detour = Detour::to(hidden.clone()).await;
    for id in fleet.ids() {
        let file = fleet.node(id).dir.join("bursar.toml");
        let settings = fs::read_to_string(&file).expect("the settings");
        let (before, timing) = settings.split_once("[raft]\n").expect("the settings name all that can be set");
        let behind = timing.find("\n[").map_or("", |end| &timing[end..]);
        let mut settings = format!("{before}[raft]\n{TIMING}\n{behind}");
        if id == FAR {
            let (listens, advertises) = settings.split_once("[advertised]").expect("where others reach it");
            settings = format!("{}[advertised]{}", listens.replace(&own, &hidden), advertises.replace(&own, &detour.address));
        }
        fs::write(&file, settings).expect("the settings");
        fleet.restart(id);
    }
    let client = fleet.client();
    until("the others know the detour", async || {
        let members = client.page::<Member>("cluster/members", &ListQuery::default()).await.ok()?.items;
        members.iter().any(|member| member.id == FAR && member.peer_address == detour.address).then_some(())
    })
    .await;
    (fleet, detour)
}

/// How often the near nodes have said that the far one is too far away.
fn warnings(fleet: &Fleet) -> usize {
    let said = [format!("node={FAR}"), "longer than a sign of life may take".into(), "raise raft.heartbeat_ms".into()];
    let logs = fleet.others(FAR).into_iter().map(|id| fs::read_to_string(&fleet.node(id).log).expect("the log"));
    logs.map(|log| log.lines().filter(|line| said.iter().all(|said| line.contains(said))).count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_names_the_node_that_is_farther_away_than_its_heartbeat_allows_and_goes_on() {
    let (fleet, detour) = with_a_detour().await;
    if fleet.leader().await == FAR {
        let request = TransferLeadership { to: Some(fleet.others(FAR)[0]) };
        let client = fleet.client();
        let asked = client.post("cluster/transfer-leadership", &request, Change::default());
        soon("the leadership is handed over", asked).await.expect("it is handed over");
    }
    let before = warnings(&fleet);
    detour.takes(WAY);
    until("the leader says that one is far", async || (warnings(&fleet) > before).then_some(())).await;
    fleet.client().post("sites", &site("Bern"), Change::default()).await.expect("the others are near");
}
