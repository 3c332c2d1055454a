//! Telling servers that answer from those that do not: a thin driver of [`bursar_domain::plan::failure_detection`].

use std::convert::Infallible;

use bursar_domain::Duty;
use futures_util::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval};

use crate::duties::Duties;

/// How many findings are on their way into the ledger at a time.
const FINDINGS_MAX: usize = 64;

/// Looks again and again.
pub(crate) async fn run(duties: &Duties<'_>) -> Infallible {
    let look = duties.fleet.config.look();
    let mut tick = interval(look);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let (status, state) = (duties.fleet.node.status(), duties.fleet.node.latest());
        let findings = duties.listener.look(&state, status.quorum_last_ack_ms);
        // A leader without a majority may be one no longer, and what it wants decided may be decided much later.
        if !status.confirmed {
            continue;
        }
        // What is not decided until the next look is planned anew.
        let proposals = stream::iter(findings).map(|command| duties.propose(Duty::FailureDetection, &state, command, look));
        proposals.buffer_unordered(FINDINGS_MAX).collect::<()>().await;
    }
}
