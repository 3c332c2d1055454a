//! The demo as scripts and people use it.

mod support;

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use bursar_wire::{
    client::{Change, Client, ClientConfig, ClientParts},
    cluster::MemberIntent,
    destinations::Destination,
    page::Page,
    query::{ListQuery, ReadQuery},
    servers::{Server, ServerCondition},
    sites::Site,
    status::{Counts, Status},
    store_points::{StorePoint, StorePointCondition},
};
use rustix::process::{Pid, Signal, getsid, kill_process};
use serde::de::DeserializeOwned;
use support::{BURSAR, Fleet, Ready, errors_of, is_alive, run_demo, run_demo_with, shell::Shell, until};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// `bursar demo` with these words, for the demo of a folder.
fn demo(words: &[&str], folder: &Path) -> Output {
    let command = &mut Command::new(BURSAR);
    command.arg("demo").args(words).arg("--dir").arg(folder).stdin(Stdio::null()).output().expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn demo_folder(fleet: &Fleet) -> PathBuf {
    fleet.folder().join("demo")
}

#[tokio::test]
async fn a_second_demo_in_the_same_folder_is_refused_and_a_later_one_continues() {
    let mut fleet = Fleet::start();
    let page: Page<Destination> = fleet.client().page("destinations", &ListQuery::default()).await.expect("a list");
    assert_eq!(page.items.iter().map(|destination| destination.name.as_str()).collect::<Vec<_>>(), ["Main"]);

    let second = demo(&["--json"], &demo_folder(&fleet));
    let message = errors_of(&second);
    assert_eq!(second.status.code(), Some(1), "{message}");
    let pids = fleet.ids().into_iter().map(|id| fleet.node(id).pid().to_string()).collect::<Vec<_>>().join(", ");
    let stop = format!("`{BURSAR} demo --stop --dir {}`", demo_folder(&fleet).display());
    for part in ["runs already", &pids, &stop] {
        assert!(message.contains(part), "{part}: {message}");
    }

    fleet.kill_all();
    let ready = run_demo(fleet.folder());
    let continued = fleet.client().page::<Destination>("destinations", &ListQuery::default()).await;
    assert!(demo(&["--stop"], &demo_folder(&fleet)).status.success());
    assert_eq!(continued.expect("a list").items, page.items);
    assert_eq!(ready.token, fleet.token, "the credentials stay");
}

/// A demo with storage servers. All of it ends with it.
struct Whole {
    folder: TempDir,
    ready: Ready,
}

impl Whole {
    /// Starts, or continues, the demo of a folder.
    fn start_in(folder: TempDir) -> Self {
        let ready = run_demo_with(folder.path(), 2);
        Self { folder, ready }
    }

    fn demo_folder(&self) -> PathBuf {
        self.folder.path().join("demo")
    }

    fn client(&self) -> Client {
        self.client_of(&self.ready.urls)
    }

    fn client_of(&self, urls: &[String]) -> Client {
        let nodes = urls.iter().map(|url| url.parse().expect("a URL")).collect();
        let token = bursar_wire::Secret::new(self.ready.token.clone());
        Client::new(ClientConfig::new(nodes, Some(token)), ClientParts::real(None)).expect("a client of the demo's URLs")
    }

    /// What the leader says of the fleet, if a node leads.
    async fn status(&self) -> Option<Status> {
        for url in &self.ready.urls {
            let told = self.client_of(std::slice::from_ref(url)).get("status", &ReadQuery::stale()).await;
            if let Some(status) = told.ok().and_then(|answer| answer.json::<Status>().ok())
                && status.leader == Some(status.node.id)
            {
                return Some(status);
            }
        }
        None
    }

    /// Waits until the leader says something of the fleet.
    async fn until_status(&self, what: &str, is_so: impl Fn(&Status, &Counts) -> bool) {
        until(what, async || self.status().await.filter(|status| is_so(status, &status.counts))).await;
    }

    /// What there is, by numbers and names: all of it online, nothing twice, nothing left behind.
    async fn what_there_is(&self) -> Vec<String> {
        let client = self.client();
        let (servers, store_points) =
            (list::<Server>(&client, "servers").await, list::<StorePoint>(&client, "store-points").await);
        for server in &servers {
            assert_eq!(server.condition, ServerCondition::Online, "{server:?}");
        }
        for store_point in &store_points {
            assert_eq!(store_point.condition, StorePointCondition::Online, "{store_point:?}");
        }
        let status: Status = client.get("status", &ReadQuery::default()).await.expect("a status").json().expect("a status");
        assert!(status.members.iter().all(|member| member.intent == MemberIntent::Voting), "{:?}", status.members);
        let sites = list::<Site>(&client, "sites").await;
        let destinations = list::<Destination>(&client, "destinations").await;
        let sites = sites.iter().map(|site| format!("site {} {}", site.id, site.name));
        let destinations = destinations.iter().map(|destination| format!("destination {} {}", destination.id, destination.name));
        let servers = servers.iter().map(|server| format!("server {} {} in {}", server.id, server.name, server.destination));
        let store_points =
            store_points.iter().map(|point| format!("store point {} {} of {}", point.id, point.name, point.server));
        let members = status.members.iter().map(|member| format!("authority node {}", member.id));
        members.chain(sites).chain(destinations).chain(servers).chain(store_points).collect()
    }

    /// Asks for all of it to end, and sees that it has.
    fn stop(&self) {
        let stopped = demo(&["--stop"], &self.demo_folder());
        assert!(stopped.status.success(), "{}", errors_of(&stopped));
        for process in &self.ready.processes {
            assert!(!is_alive(process.pid), "{} {} still runs", process.role, process.id);
        }
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let stopped = demo(&["--stop"], &self.demo_folder());
        if std::thread::panicking() {
            eprintln!("{}{}", said(&stopped), errors_of(&stopped));
            for process in &self.ready.processes {
                let log = fs::read_to_string(&process.log).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                eprintln!("--- {} {}\n{}", process.role, process.id, lines[lines.len().saturating_sub(20)..].join("\n"));
            }
        }
    }
}

/// The objects of a kind, of which those that are there no more would be told, too.
async fn list<T: DeserializeOwned>(client: &Client, path: &str) -> Vec<T> {
    let mut all = client.page::<T>(path, &ListQuery::default()).await.expect("a list").items;
    if path == "servers" || path == "store-points" {
        let former = ListQuery { filter: Some("present=false".into()), ..ListQuery::default() };
        all.extend(client.page::<T>(path, &former).await.expect("a list").items);
    }
    all
}

fn pid(number: i32) -> Pid {
    Pid::from_raw(number).expect("a running process has a pid")
}

/// What a complete demo has, whatever it went through.
const COMPLETE: [&str; 10] = [
    "authority node 1",
    "authority node 2",
    "authority node 3",
    "site 1 Dublin",
    "site 2 Frankfurt",
    "destination 1 Main",
    "server 1 store-1 in 1",
    "server 2 store-2 in 1",
    "store point 1 Disk 1 of 1",
    "store point 2 Disk 2 of 2",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_goes_on_without_what_was_killed_and_takes_it_back() {
    let demos = Whole::start_in(tempfile::tempdir().expect("a temporary folder"));
    let told: Vec<_> = demos.ready.processes.iter().map(|process| (process.role.as_str(), process.id)).collect();
    let storage = ["storage-server"; 2].into_iter().zip(1..);
    assert_eq!(told, ["authority"; 3].into_iter().zip(1..).chain(storage).collect::<Vec<_>>());
    assert_eq!(demos.what_there_is().await, COMPLETE);
    for (process, third) in
        demos.ready.processes.iter().map(|process| (process, process.api.as_ref().or(process.transfer.as_ref())))
    {
        for address in [&process.peer, &process.control, third.expect("a third port")] {
            let taken = std::net::TcpListener::bind(address.trim_start_matches("http://"));
            assert!(taken.is_err(), "{} {} listens at {address}", process.role, process.id);
        }
    }

    // A storage server, then who leads.
    let killed = demos.ready.of_role("storage-server").next().expect("a storage server");
    kill_process(pid(killed.pid), Signal::KILL).expect("it runs");
    demos.until_status("one server is missing", |_, counts| (counts.servers, counts.servers_offline) == (2, 1)).await;
    let led_by = until("a node leads", async || demos.status().await?.leader).await;
    let leader = demos.ready.of_role("authority").find(|node| node.id == led_by).expect("the demo's node");
    kill_process(pid(leader.pid), Signal::KILL).expect("it runs");
    demos
        .until_status("another node leads, and tells the same", |status, counts| {
            let tolerance = status.fault_tolerance;
            let missing = (counts.servers_offline, counts.store_points_offline);
            status.leader != Some(led_by) && missing == (1, 1) && tolerance.voters_reachable == Some(2)
        })
        .await;

    // Whoever starts the demo once more learns how to start what is missing.
    let second = demo(&["--json"], &demos.demo_folder());
    let message = errors_of(&second);
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(message.contains("runs already"), "{message}");
    let advice: Vec<_> = message.lines().filter_map(|line| line.split_once(" does not run; start it with: ")).collect();
    let [(node, run_node), (server, run_server)] = advice.as_slice() else { panic!("two do not run: {message}") };
    assert_eq!((*node, *server), (&*format!("authority node {led_by}"), "storage server store-1"), "{message}");
    let shell = Shell::in_folder(demos.folder.path());
    let _again = [shell.start(run_node, "node.again"), shell.start(run_server, "server.again")];
    demos
        .until_status("nothing is missing", |status, counts| {
            (counts.servers_offline, counts.store_points_offline) == (0, 0) && status.fault_tolerance.voters_reachable == Some(3)
        })
        .await;
    demos.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_started_again_makes_nothing_twice() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = Whole::start_in(folder);
    // Somebody gives things names of their own.
    let client = first.client();
    for (path, name) in [("destinations/1", "Backups"), ("servers/1", "berlin-1"), ("store-points/2", "Shelf 7")] {
        let change = serde_json::json!({ "name": name });
        client.patch(path, &change, Change::default()).await.expect("another name");
    }
    let before = first.what_there_is().await;
    assert_eq!(before.len(), COMPLETE.len());
    first.stop();

    // A storage server that somebody runs is a part of the demo, too.
    let run_server = format!("bursar storage-server run --dir {}", first.demo_folder().join("store-1").display());
    let server = Shell::in_folder(first.folder.path()).start(&run_server, "server.again");
    until("the server runs", async || server.said().contains("the server runs").then_some(())).await;
    let cleaned = clean(&first.demo_folder());
    assert!(!cleaned.status.success() && errors_of(&cleaned).contains("demo --stop --dir"), "{}", errors_of(&cleaned));
    let stopped = said(&demo(&["--stop"], &first.demo_folder()));
    assert!(stopped.starts_with("ended storage server store-1 (pid "), "{stopped}");

    let again = run_demo_with(first.folder.path(), 2);
    assert_eq!(again.token, first.ready.token, "the credentials stay");
    let ports = |ready: &Ready| ready.processes.iter().map(|process| process.control.clone()).collect::<Vec<_>>();
    assert_eq!(ports(&again), ports(&first.ready), "so do the ports");
    assert_eq!(first.what_there_is().await, before);
    // Neither the end nor the start was taken for an outage.
    let alerts = list::<serde_json::Value>(&first.client(), "alerts").await;
    assert!(alerts.is_empty(), "{alerts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_first_start_is_finished_by_the_next() {
    // What is there as soon as the first start has come so far.
    for (so_far, file) in [
        ("authority node 2 was let in, and is not made yet", "authority-2/members"),
        ("store-1 was made, and nobody knows it yet", "store-1/identity.toml"),
        ("store-2 was started", "store-2/lock"),
        ("a store point is asked for", "disk-1"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let demo_folder = folder.path().join("demo");
        fs::create_dir(&demo_folder).expect("a folder");
        fs::set_permissions(&demo_folder, fs::Permissions::from_mode(0o700)).expect("a folder of its owner");
        let mut attended = Attended::start(&demo_folder);
        until(so_far, async || demo_folder.join(file).exists().then_some(())).await;
        attended.child.kill().expect("the demo runs");
        attended.child.wait().expect("a child can be waited for");
        // What it started goes on without it.
        let refused = demo(&["--json"], &demo_folder);
        assert!(errors_of(&refused).contains("runs already"), "after “{so_far}”: {}", errors_of(&refused));
        assert!(demo(&["--stop"], &demo_folder).status.success());

        let finished = Whole::start_in(folder);
        assert_eq!(finished.what_there_is().await, COMPLETE, "after “{so_far}”");
        finished.stop();
    }
}

#[test]
fn a_demo_whose_ports_are_taken_makes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("demo");
    // Where it is taken already, it is taken.
    let _taken = std::net::TcpListener::bind("127.0.0.1:5285");
    let refused = demo(&["--json"], &dir);
    let message = errors_of(&refused);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("5285") && message.contains("in use by") && message.contains("`--ports auto`"), "{message}");
    assert!(!dir.exists(), "nothing is made");
}

#[tokio::test]
async fn a_demo_that_finds_its_ports_taken_starts_nothing() {
    let mut fleet = Fleet::start();
    fleet.kill_all();
    let api = fleet.node(2).api.strip_prefix("http://").expect("the demo's URLs are plain").to_owned();
    let _taken = std::net::TcpListener::bind(&api).expect("the node has ended");
    let logged = fleet.node(1).log_bytes();
    let refused = demo(&["--json", "--ports", "auto"], &demo_folder(&fleet));
    let (message, port) = (errors_of(&refused), api.rsplit_once(':').expect("a port").1);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(
        message.starts_with(&format!("error: port {port} is in use by another program: end it: this demo was made with")),
        "{message}"
    );
    assert_eq!(fleet.node(1).log_bytes(), logged, "no node was started");
}

#[tokio::test]
async fn whoever_else_answers_on_a_port_of_the_demo_is_told_no_secret() {
    let mut fleet = Fleet::start();
    fleet.kill_all();
    let stranger = Stranger::listen().await;
    let settings = fleet.node(1).dir.join("bursar.toml");
    let text = fs::read_to_string(&settings).expect("the settings");
    let (listens, advertises) = text.split_once("[advertised]").expect("where others reach it");
    let own = fleet.node(1).api.strip_prefix("http://").expect("the demo's URLs are plain").to_owned();
    fs::write(&settings, format!("{listens}[advertised]{}", advertises.replace(&own, &stranger.address))).expect("the settings");

    let refused = tokio::task::spawn_blocking({
        let folder = demo_folder(&fleet);
        move || demo(&["--json"], &folder)
    });
    let message = errors_of(&refused.await.expect("it does not panic"));
    assert!(message.contains(&format!("answered by cluster {}", Stranger::CLUSTER)), "{message}");
    let heard = stranger.heard.lock().expect("nothing panics").clone();
    assert!(!heard.is_empty() && heard.iter().all(|request| request.starts_with("GET /readyz?verbose ")), "{heard:?}");
    assert!(!heard.concat().to_lowercase().contains("authorization"), "{heard:?}");
    assert!(said(&demo(&["--stop"], &demo_folder(&fleet))).contains("no process"), "what was started has ended");
}

/// A program that takes itself for a node of another cluster, and keeps what it was asked.
struct Stranger {
    address: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Stranger {
    const CLUSTER: &str = "00112233445566778899aabbccddeeff";

    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        tokio::spawn(async move {
            let body = format!("{{\"ready\":true,\"cluster\":\"{}\",\"checks\":[]}}", Self::CLUSTER);
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let length = connection.read(&mut request).await.unwrap_or_default();
                keep.lock().expect("nothing panics").push(String::from_utf8_lossy(&request[..length]).into_owned());
                // Whoever asks may have gone.
                let _ = connection.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, heard }
    }
}

#[tokio::test]
async fn a_node_that_fails_to_start_is_told_of_by_its_own_lines_alone() {
    let mut fleet = Fleet::start();
    fleet.kill_all();
    let key = fleet.node(3).dir.join("cluster.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("the key");
    let message = errors_of(&demo(&["--json"], &demo_folder(&fleet)));
    assert!(message.contains("authority node 3 ended before it was ready") && message.contains("chmod 600"), "{message}");
    assert!(fs::read_to_string(&fleet.node(3).log).expect("the log").contains("the node runs"), "it ran before");
    assert!(!message.contains("the node runs"), "{message}");
}

#[tokio::test]
async fn what_a_demo_left_running_is_ended_whoever_started_it() {
    let mut fleet = Fleet::start();
    fleet.kill(2);
    fleet.restart(2);
    fleet.ready(2).await;
    let folder = demo_folder(&fleet);
    let cleaned = clean(&folder);
    assert!(!cleaned.status.success() && errors_of(&cleaned).contains("demo --stop --dir"), "{}", errors_of(&cleaned));
    assert!(folder.exists(), "a demo that runs keeps its data");

    let stopped = demo(&["--stop"], &folder);
    assert!(stopped.status.success(), "{}", errors_of(&stopped));
    for id in fleet.ids() {
        assert!(said(&stopped).contains(&format!("ended authority node {id} (pid {})\n", fleet.node(id).pid())), "{stopped:?}");
        assert!(!fleet.node(id).runs(), "authority node {id} still runs");
    }
    let again = demo(&["--stop"], &folder);
    assert!(again.status.success() && said(&again).contains("no process of the demo in"), "{again:?}");
    let nowhere = demo(&["--stop"], &fleet.folder().join("nowhere"));
    assert!(nowhere.status.code() == Some(1) && errors_of(&nowhere).contains("holds no demo"), "{nowhere:?}");

    assert!(clean(&folder).status.success());
    assert!(!folder.exists(), "nothing is left");
    fs::create_dir(&folder).expect("a folder");
    assert!(!clean(&folder).status.success(), "what is no demo is not removed");
    assert!(folder.exists());
}

/// `make clean-demo`
fn clean(folder: &Path) -> Output {
    let mut make = Command::new("make");
    make.args(["--silent", "-C", env!("CARGO_MANIFEST_DIR"), "clean-demo"]).arg(format!("DEMO_DIR={}", folder.display()));
    make.output().expect("make starts")
}

#[tokio::test]
async fn a_node_that_is_started_again_by_the_demos_advice_ends_with_the_demo() {
    let mut fleet = Fleet::start();
    let folder = demo_folder(&fleet);
    assert!(demo(&["--stop"], &folder).status.success());
    fleet.kill_all();

    let mut attended = Attended::start_with(&folder, &["--storage-servers", "0"]);
    attended.says(Attended::OUT, "Bursar is ready").await;
    attended.says(Attended::ERRORS, "keeps the ports that it was made with").await;
    let lock = folder.join("authority-2").join("lock");
    let holder = || fs::read_to_string(&lock).ok()?.trim().parse().ok().and_then(Pid::from_raw);
    kill_process(holder().expect("the node runs"), Signal::KILL).expect("the node runs");
    attended.says(Attended::ERRORS, "start it again with: ").await;
    let told = attended.told(Attended::ERRORS);
    let advice =
        told.split_once("start it again with: ").and_then(|(_, rest)| rest.lines().next()).expect("the advice").to_owned();
    assert!(advice.starts_with(&format!("{BURSAR} authority run --dir ")), "{advice}");
    let log = File::create(folder.join("again.log")).expect("a log file");
    let mut shell = Command::new("sh");
    let mut again = shell.args(["-c", &format!("exec {advice}")]).stderr(log).stdout(Stdio::null()).spawn().expect("a shell");
    attended.says(Attended::ERRORS, &format!("authority node 2 runs again (pid {})", again.id())).await;

    attended.interrupt();
    assert!(attended.child.wait().expect("a child can be waited for").success());
    assert!(again.wait().expect("a child can be waited for").success(), "it was asked to end, and did");
    let goodbye = format!("ending …; the data stays in {}", folder.display());
    assert!(attended.told(Attended::ERRORS).contains(&goodbye), "{}", attended.told(Attended::ERRORS));
    assert!(said(&demo(&["--stop"], &folder)).contains("no process"), "nothing is left running");
}

#[tokio::test]
async fn a_supervised_demo_keeps_its_nodes_in_sessions_of_their_own_and_ends_them_with_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut attended = Attended::start_with(folder.path(), &["--json", "--supervise"]);
    attended.says(Attended::OUT, "\n").await;
    let ready: Ready = serde_json::from_str(&attended.told(Attended::OUT)).expect("one line of JSON");
    let processes: Vec<_> = ready.processes.iter().map(|process| pid(process.pid)).collect();
    assert_eq!(processes.len(), 5);
    for process in &processes {
        // What ends the session of the demo, as a terminal that is closed does, does not end the process.
        assert_eq!(getsid(Some(*process)).expect("it runs"), *process);
    }
    // Whoever does not stay cannot tell.
    kill_process(processes[1], Signal::KILL).expect("the node runs");
    attended.says(Attended::ERRORS, &format!("authority node {} ended", ready.processes[1].id)).await;
    kill_process(processes[3], Signal::KILL).expect("the server runs");
    let run_server = format!("{BURSAR} storage-server run --dir {}", folder.path().join("store-1").display());
    attended.says(Attended::ERRORS, &run_server).await;
    let second = errors_of(&demo(&["--json"], folder.path()));
    assert!(second.contains("authority node 2 does not run; start it with: ") && second.contains(&run_server), "{second}");

    attended.interrupt();
    assert!(attended.child.wait().expect("a child can be waited for").success());
    assert!(!ready.processes.iter().any(|process| is_alive(process.pid)), "they end with it");
    assert!(said(&demo(&["--stop"], folder.path())).contains("no process"), "nothing is left running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_server_that_was_removed_is_not_brought_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut attended = Attended::start_with(folder.path(), &["--json", "--supervise"]);
    attended.says(Attended::OUT, "\n").await;
    let shell = {
        let ready: Ready = serde_json::from_str(&attended.told(Attended::OUT)).expect("one line of JSON");
        let mut shell = Shell::in_folder(folder.path());
        shell.export(&format!("export BURSAR_URL={}", ready.urls.join(",")));
        shell.export(&format!("export BURSAR_TOKEN_FILE={}", folder.path().join("token").display()));
        shell
    };
    shell.prints("bursar store-point remove --yes 'Disk 2'");
    shell.prints("bursar server remove --yes store-2");
    attended.says(Attended::ERRORS, "storage server store-2 ended: it was removed from the fleet").await;
    let second = errors_of(&demo(&["--json"], folder.path()));
    assert!(second.contains("storage server store-2 was removed from the fleet, and is not started again"), "{second}");
    assert!(!second.contains("start it with"), "{second}");
    attended.interrupt();
    assert!(attended.child.wait().expect("a child can be waited for").success());

    let again = demo(&["--json"], folder.path());
    assert!(again.status.success(), "{}", errors_of(&again));
    let ready: Ready = serde_json::from_str(&said(&again)).expect("one line of JSON");
    let directories: Vec<_> = ready.of_role("storage-server").map(|server| server.dir.clone()).collect();
    let servers = shell.prints("bursar server list -o json");
    assert!(demo(&["--stop"], folder.path()).status.success());
    assert_eq!(directories, [folder.path().join("store-1")]);
    assert!(!servers.contains("store-2"), "no other one was made in its place: {servers}");
}

#[tokio::test]
async fn the_commands_that_the_demo_prints_do_what_it_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut attended = Attended::start(folder.path());
    attended.says(Attended::OUT, "Ctrl-C ends the demo").await;
    let welcome = attended.told(Attended::OUT);
    let mut shell = Shell::in_folder(folder.path());
    welcome.lines().map(str::trim).filter(|line| line.starts_with("export ")).for_each(|line| shell.export(line));
    let commands = welcome.lines().map(str::trim).filter(|line| line.starts_with(BURSAR));
    let (login, commands): (Vec<_>, Vec<_>) = commands.partition(|line| line.split_once("  ").is_none());
    let commands: Vec<_> = commands.iter().filter_map(|line| line.split_once("  ")).collect();
    assert_eq!((login.len(), commands.len()), (1, 7), "{welcome}");
    for named in ["authority node 1", "authority node 2", "authority node 3", "storage server store-1", "storage server store-2"]
    {
        let line = welcome.lines().find(|line| line.trim_start().starts_with(named)).expect("each process has a line");
        assert!(line.contains("pid ") && line.contains("peer ") && line.contains(".log"), "{line}");
    }
    let destinations = || shell.prints(&format!("{BURSAR} destination list"));
    let leader = || serde_json::from_str::<Status>(&shell.prints(&format!("{BURSAR} status -o json"))).expect("a status").leader;

    for (command, does) in commands {
        match does.trim() {
            "how the cluster fares" => {
                let screen = shell.prints(command);
                assert!(screen.contains("Health") && screen.contains("2 of 3 voters needed"), "{screen}");
            }
            "what there is" => assert!(shell.prints(command).contains("Main")),
            "the storage servers, and whether they answer" => {
                let servers = shell.prints(command);
                assert!(servers.contains("store-1") && servers.contains("store-2") && servers.contains("online"), "{servers}");
            }
            "where they keep archives" => {
                let store_points = shell.prints(command);
                assert!(store_points.contains("Disk 1") && store_points.contains("Disk 2"), "{store_points}");
            }
            "something new" => {
                assert!(!destinations().contains("Archive"));
                shell.prints(command);
                assert!(destinations().contains("Archive"));
            }
            "everything as it happens" => {
                let mut watch = shell.start(command, "watch.log");
                let mut number = 0;
                // What happened before it began to watch, it does not show.
                until("it shows what happens", async || {
                    watch.expect_running();
                    number += 1;
                    shell.prints(&format!("{BURSAR} destination add --site 1 Watched-{number}"));
                    watch.said().contains("Watched-").then_some(())
                })
                .await;
            }
            "another node leads, nothing is lost" => {
                let (before, led_by) = (destinations(), until("a node leads", async || leader()).await);
                shell.prints(command);
                until("another node leads", async || leader().filter(|leads| *leads != led_by)).await;
                assert_eq!(destinations(), before, "nothing is lost");
            }
            unknown => panic!("{command}: how does it show that this is true: {unknown}?"),
        }
    }
    let another_terminal = Shell::in_folder(folder.path());
    another_terminal.prints(login[0]);
    assert!(another_terminal.prints("bursar status").contains("2 of 3 voters needed"));
    attended.interrupt();
    assert!(attended.child.wait().expect("a child can be waited for").success());
}

/// A demo that somebody watches.
struct Attended {
    child: Child,
    folder: PathBuf,
}

impl Attended {
    const OUT: &str = "demo.out";
    const ERRORS: &str = "demo.errors";

    fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    fn start_with(folder: &Path, words: &[&str]) -> Self {
        let [out, errors] = [Self::OUT, Self::ERRORS].map(|name| File::create(folder.join(name)).expect("a file"));
        let mut command = Command::new(BURSAR);
        command.args(["demo", "--ports", "auto"]).args(words).arg("--dir").arg(folder);
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        Self { child: command.spawn().expect("the program starts"), folder: folder.to_owned() }
    }

    fn told(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).expect("a file")
    }

    async fn says(&mut self, name: &str, words: &str) {
        until(words, async || {
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "the demo ended: {}", self.told(Self::ERRORS));
            self.told(name).contains(words).then_some(())
        })
        .await;
    }

    fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a running process has a pid");
        kill_process(pid, Signal::INT).expect("the demo runs");
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.interrupt();
            let _ = self.child.wait();
        }
    }
}
