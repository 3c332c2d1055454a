//! The gap in acknowledged writes when the leader is killed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    load::PAUSE_AFTER_FAILURE,
    system::{Door, NODES, PATIENCE, System, WriteError, attempt, until_ok},
    values::Values,
};

/// How many clients write while the leader is killed.
pub const CLIENTS: usize = 16;
/// After what time a client gives an attempt up and tries the next node: what the dead leader had taken gets no answer. Both systems
/// answer far sooner when they are well.
pub const ATTEMPT_PATIENCE: Duration = Duration::from_millis(250);

/// Writes count as steady once each of so many spans in a row …
const STEADY_SPANS: usize = 20;
/// … of so long has seen an acknowledgement.
const STEADY_SPAN: Duration = Duration::from_millis(100);

/// Kills the leader under load, and returns the longest time in which no client got an acknowledgement. The node is running again, and
/// acknowledges writes, when this returns.
pub async fn gap_after_kill<S: System>(system: &mut S) -> Result<Duration> {
    let acknowledged = Acknowledged::default();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(write_until_aborted(system.door(), client % NODES, acknowledged.clone()));
    }
    steady(&acknowledged, &mut clients).await.context("before the kill")?;

    let leader = system.leader().await?;
    let killed_at = Instant::now();
    system.kill(leader)?;
    steady(&acknowledged, &mut clients).await.context("after the leader was killed")?;
    clients.shutdown().await;
    let gap = longest_gap(acknowledged.moments(), killed_at).context("nothing was acknowledged around the kill")?;

    system.restart(leader)?;
    let door = system.door();
    until_ok("the restarted node acknowledges a write", PATIENCE, async || {
        let mut writer = door.connect(leader).await?;
        Ok(attempt(&mut writer, 0, Values::new().value(), ATTEMPT_PATIENCE).await?)
    })
    .await?;
    Ok(gap)
}

/// The moments at which writes of all clients were acknowledged.
#[derive(Clone, Default)]
struct Acknowledged(Arc<Mutex<Vec<Instant>>>);

impl Acknowledged {
    fn note(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn moments(&self) -> Vec<Instant> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits until writes are acknowledged without a long pause.
async fn steady(acknowledged: &Acknowledged, clients: &mut JoinSet<Result<(), WriteError>>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let (mut streak, mut count) = (0, acknowledged.count());
    while streak < STEADY_SPANS {
        ensure!(Instant::now() < deadline, "writes are not acknowledged steadily within {PATIENCE:?}");
        tokio::select! {
            () = sleep(STEADY_SPAN) => {}
            Some(client) = clients.join_next() => {
                client.context("a client broke down")?.context("a client had to give up")?;
                bail!("a client ended though nobody had asked it to");
            }
        }
        let grown = acknowledged.count();
        streak = if grown > count { streak + 1 } else { 0 };
        count = grown;
    }
    Ok(())
}

/// One client, which goes to the next node after each failure. It returns for an answer that no write should get alone.
async fn write_until_aborted<D: Door>(door: D, first_node: usize, acknowledged: Acknowledged) -> Result<(), WriteError> {
    let mut values = Values::new();
    let mut node = first_node;
    loop {
        let outcome = match door.connect(node).await {
            Ok(mut writer) => loop {
                match attempt(&mut writer, values.object(), values.value(), ATTEMPT_PATIENCE).await {
                    Ok(()) => acknowledged.note(),
                    Err(failure) => break failure,
                }
            },
            Err(failure) => failure,
        };
        if matches!(outcome, WriteError::Unexpected(_)) {
            return Err(outcome);
        }
        sleep(PAUSE_AFTER_FAILURE).await;
        node = (node + 1) % NODES;
    }
}

/// The longest time between two acknowledgements one after the other, of which the second came after `since`.
fn longest_gap(mut moments: Vec<Instant>, since: Instant) -> Option<Duration> {
    moments.sort_unstable();
    moments.windows(2).filter(|pair| pair[1] > since).map(|pair| pair[1] - pair[0]).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(start: Instant, milliseconds: &[u64]) -> Vec<Instant> {
        milliseconds.iter().map(|milliseconds| start + Duration::from_millis(*milliseconds)).collect()
    }

    #[test]
    fn the_longest_gap_ends_after_the_kill() {
        let start = Instant::now();
        let killed_at = start + Duration::from_millis(105);
        // A pause of 90 ms before the kill, of 58 ms around it, of 80 ms behind it; the clients note in any order.
        let gap = longest_gap(moments(start, &[0, 90, 150, 230, 231, 92]), killed_at);
        assert_eq!(gap, Some(Duration::from_millis(80)));
        assert_eq!(longest_gap(moments(start, &[0, 90]), killed_at), None);
    }
}
