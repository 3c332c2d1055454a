//! The composition roots take all that they need of the world from outside: a whole fleet runs in one thread, in a time of its own,
//! without a socket, a thread or RocksDB; and nothing of a machine outlives the future that runs it.

mod fleet;
mod parts;

use fleet::{Fleet, until_no_task_lives};

#[tokio::test(start_paused = true)]
async fn a_fleet_is_founded_runs_and_starts_again_on_parts_from_outside() {
    let (fleet, running) = Fleet::found().await;
    for machine in running {
        machine.end().await;
    }
    until_no_task_lives().await;

    let _running = fleet.run();
    fleet.until_all_is_well().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_machine_outlives_the_future_that_runs_it() {
    let (fleet, running) = Fleet::found().await;
    let readers = fleet.read_past_and_events().await;
    drop(running);
    drop(readers);
    until_no_task_lives().await;

    // Nor does it hold what the next start needs: locks, ports, engines.
    let mut running = fleet.run();
    fleet.until_all_is_well().await;
    // The others are a majority without the one that is killed.
    running.remove(0);
    fleet.change_something("Cork").await;
}
