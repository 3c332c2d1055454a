//! The demo as scripts and people use it.

mod support;

use std::process::Command;

use bursar_wire::{destinations::Destination, page::Page, query::ListQuery};
use support::{BURSAR, Fleet, run_demo};

#[tokio::test]
async fn a_second_demo_in_the_same_folder_is_refused_and_a_later_one_continues() {
    let mut fleet = Fleet::start();
    let page: Page<Destination> = fleet.client().page("destinations", &ListQuery::default()).await.expect("a list");
    assert_eq!(page.items.iter().map(|destination| destination.name.as_str()).collect::<Vec<_>>(), ["Main"]);

    let second = Command::new(BURSAR)
        .args(["demo", "--json", "--dir"])
        .arg(fleet.folder().join("demo"))
        .output()
        .expect("the program starts");
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success());
    assert!(message.contains("runs already"), "{message}");

    fleet.kill_all();
    let ready = run_demo(fleet.folder());
    let pids: Vec<i32> = ready.processes.iter().map(|process| process.pid).collect();
    let continued = fleet.client().page::<Destination>("destinations", &ListQuery::default()).await;
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the process runs");
    }
    assert_eq!(continued.expect("a list").items, page.items);
    assert_eq!(ready.token, fleet.token, "the credentials stay");
}
