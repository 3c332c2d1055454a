//! The demo as scripts and people use it.

mod support;

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use bursar_wire::{destinations::Destination, page::Page, query::ListQuery, status::Status};
use rustix::process::{Pid, Signal, getsid, kill_process};
use support::{BURSAR, Fleet, Ready, errors_of, run_demo, shell::Shell, until};
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
    assert!(said(&demo(&["--stop"], &demo_folder(&fleet))).contains("no node"), "what was started has ended");
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
    assert!(again.status.success() && said(&again).contains("no node of the demo in"), "{again:?}");
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

    let mut attended = Attended::start(&folder);
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
    assert!(said(&demo(&["--stop"], &folder)).contains("no node"), "nothing is left running");
}

#[tokio::test]
async fn a_supervised_demo_keeps_its_nodes_in_sessions_of_their_own_and_ends_them_with_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut attended = Attended::start_with(folder.path(), &["--json", "--supervise"]);
    attended.says(Attended::OUT, "\n").await;
    let ready: Ready = serde_json::from_str(&attended.told(Attended::OUT)).expect("one line of JSON");
    let nodes: Vec<_> = ready.processes.iter().map(|node| Pid::from_raw(node.pid).expect("a pid")).collect();
    assert_eq!(nodes.len(), 3);
    for node in &nodes {
        // What ends the session of the demo, as a terminal that is closed does, does not end the node.
        assert_eq!(getsid(Some(*node)).expect("the node runs"), *node);
    }
    // Whoever does not stay cannot tell.
    kill_process(nodes[1], Signal::KILL).expect("the node runs");
    attended.says(Attended::ERRORS, &format!("authority node {} ended", ready.processes[1].id)).await;

    attended.interrupt();
    assert!(attended.child.wait().expect("a child can be waited for").success());
    assert!(said(&demo(&["--stop"], folder.path())).contains("no node"), "nothing is left running");
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
    let commands: Vec<_> = commands.map(|line| line.split_once("  ").expect("two blanks, and what it does")).collect();
    assert_eq!(commands.len(), 5, "{welcome}");
    let destinations = || shell.prints(&format!("{BURSAR} destination list"));
    let leader = || serde_json::from_str::<Status>(&shell.prints(&format!("{BURSAR} status -o json"))).expect("a status").leader;

    for (command, does) in commands {
        match does.trim() {
            "how the cluster fares" => {
                let screen = shell.prints(command);
                assert!(screen.contains("Health") && screen.contains("2 of 3 voters needed"), "{screen}");
            }
            "what there is" => assert!(shell.prints(command).contains("Main")),
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
