//! Whether the node lives and can serve, and what it counts: for machines that look after it.

use std::net::SocketAddr;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bursar_wire::{
    query::ReadinessQuery,
    status::{Readiness, ReadinessCheck},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer,
    api::Service,
    authority::{Counters, Role},
    failure::Failure,
    fleet::FleetCounters,
    metrics::{self, Page},
    parameters::Parameters,
};

/// Where a request comes from. The port adds it to every request.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub SocketAddr);

/// The routes. The metrics look at the caller themselves.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// Tell whether the node lives.
#[utoipa::path(get, path = "/livez", tag = "health", operation_id = "livez",
    responses((status = 200, description = "It lives.", body = String), (status = 503, description = "It has stopped.", body = String)))]
async fn livez(State(service): State<Service>) -> Response {
    match service.authority.status().role {
        Role::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped\n").into_response(),
        _ => "ok\n".into_response(),
    }
}

/// Tell whether the node can serve: reads that see everything acknowledged, and changes.
///
/// It can where it has recovered, knows a leader, and a quorum confirmed within the last three election timeouts that it is up to
/// date. A load balancer sends requests to nodes that can; one that cannot still answers reads with `consistency=stale`.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readyz", params(ReadinessQuery),
    responses((status = 200, description = "It can.", body = Readiness), (status = 503, description = "It cannot.", body = Readiness)))]
async fn readyz(State(service): State<Service>, Parameters(query): Parameters<ReadinessQuery>) -> Response {
    let state = service.authority.latest();
    let status = service.authority.status();
    let check = |code: &str, passed: bool, good: String, bad: &str| ReadinessCheck {
        code: code.into(),
        passed,
        detail: if passed { good } else { bad.to_owned() },
    };
    let leader = status.leader.map(|leader| leader.to_string()).unwrap_or_default();
    let checks = vec![
        check("running", status.role != Role::Stopped, "The node takes part.".into(), "The node has stopped."),
        check(
            "recovered",
            status.recovered,
            format!("All that was committed before the start is applied; the node is at {}.", state.cursor()),
            "The node has not applied yet what was committed before it was started.",
        ),
        check(
            "founded",
            state.cluster().is_some(),
            "The node belongs to a cluster.".into(),
            "The node belongs to no cluster yet.",
        ),
        check("leader_known", status.leader.is_some(), format!("The leader is {leader}."), "The node knows no leader."),
        check(
            "quorum_confirmed",
            status.confirmed,
            "A quorum has confirmed lately that the node is up to date.".into(),
            "No quorum has confirmed lately that the node is up to date.",
        ),
    ];
    let ready = checks.iter().all(|check| check.passed);
    let cluster = state.cluster().map(|cluster| cluster.id.to_string());
    let (cluster, checks) = if query.verbose.is_some() { (cluster, checks) } else { (None, Vec::new()) };
    let mut response = answer::json(&state, &Readiness { ready, cluster, checks });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Tell what the node counts, in the text form of Prometheus.
///
/// From the machine itself it needs no token.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses((status = 200, description = "The counters.", body = String, content_type = "text/plain")))]
async fn metrics(
    State(service): State<Service>,
    remote: Option<Extension<RemoteAddress>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let is_local = remote.is_some_and(|Extension(RemoteAddress(address))| address.ip().to_canonical().is_loopback());
    if !is_local {
        service.authenticate(&headers).await?;
    }
    let mut page = Page::default();
    service.metrics.write(&mut page);
    service.write_node(&mut page);
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE))], page.into_text()).into_response())
}

impl Service {
    fn write_node(&self, page: &mut Page) {
        let state = self.authority.latest();
        let status = self.authority.status();
        let under_way = self.config.requests_max.saturating_sub(self.places.available_permits());
        let strangers = self.config.strangers_max.saturating_sub(self.stranger_places.available_permits());
        let streams = self.config.streams_max.saturating_sub(self.stream_places.available_permits());
        page.single("bursar_http_requests_under_way", "gauge", "Requests that are being answered.", under_way);
        page.single(
            "bursar_http_strangers_under_way",
            "gauge",
            "Requests of unknown callers that are being answered.",
            strangers,
        );
        page.single("bursar_streams_open", "gauge", "Event streams that are open.", streams);
        page.single("bursar_revision", "gauge", "The last revision that is applied here.", state.revision());
        page.single("bursar_epoch", "gauge", "Counts the restores.", state.epoch());
        page.single("bursar_raft_term", "gauge", "The term that the node is in.", status.term);
        page.single(
            "bursar_raft_leader",
            "gauge",
            "The number of the leader; 0 where none is known.",
            status.leader.map_or(0, |node| node.0),
        );
        page.single("bursar_raft_is_leader", "gauge", "1 where this node leads.", u8::from(status.role == Role::Leader));
        for (name, help, index) in [
            ("bursar_raft_last_log_index", "The index of the last entry in the log.", status.last_log),
            ("bursar_raft_committed_index", "The index up to which the log is committed.", status.committed),
            ("bursar_raft_applied_index", "The index up to which the log is applied.", status.applied),
            ("bursar_raft_purged_index", "The index up to which the log is dropped.", status.purged),
            ("bursar_raft_checkpoint_index", "The index that the last checkpoint stands at.", status.snapshot),
        ] {
            if let Some(index) = index {
                page.single(name, "gauge", help, index);
            }
        }
        if let Some(silence_ms) = status.quorum_last_ack_ms {
            page.single("bursar_raft_quorum_silence_ms", "gauge", "How long ago a majority answered the leader.", silence_ms);
        }
        for (name, help, count) in [
            ("bursar_log_syncs_total", "Syncs of the log.", status.log.syncs),
            ("bursar_log_groups_total", "Groups of entries that were written to the log at once.", status.log.groups),
            ("bursar_log_entries_total", "Entries that were written to the log.", status.log.entries),
        ] {
            page.single(name, "counter", help, count);
        }
        write_counters(page, &self.authority.counters());
        write_fleet_counters(page, &self.fleet.counters());
        page.family("bursar_raft_peer_lag_entries", "gauge", "How many entries a peer lacks, as the leader knows.");
        for peer in &status.peers {
            if let Some(lag) = peer.lag {
                page.sample("bursar_raft_peer_lag_entries", &[("node", &peer.id.0.to_string())], lag);
            }
        }
    }
}

fn write_counters(page: &mut Page, counters: &Counters) {
    for (name, help, count) in [
        ("elections_started", "Elections that the node started.", counters.elections_started),
        ("elections_won", "Elections that it won.", counters.elections_won),
        ("elections_lost", "Elections that it started and did not win.", counters.elections_lost),
        ("votes_received", "Questions for its vote.", counters.votes_received),
        ("pre_votes_received", "Questions whether it would vote.", counters.pre_votes_received),
        ("transfers_received", "Hand-overs of the leadership to it.", counters.transfers_received),
        ("appends_received", "Requests to append entries, heartbeats included.", counters.appends_received),
        ("snapshots_sent", "Snapshots that it sent to the end.", counters.snapshots_sent),
        ("snapshot_chunks_sent", "Chunks of state that it sent.", counters.snapshot_chunks_sent),
        ("snapshot_records_sent", "Records that it sent with snapshots.", counters.snapshot_records_sent),
        ("snapshots_installed", "Snapshots that it installed.", counters.snapshots_installed),
        ("snapshot_chunks_received", "Chunks of state that it received.", counters.snapshot_chunks_received),
        ("snapshot_records_received", "Records that it received with snapshots.", counters.snapshot_records_received),
        ("checkpoints_written", "Checkpoints of the state that it wrote.", counters.checkpoints_written),
        ("submissions_forwarded", "Submissions that it passed on to the leader.", counters.submissions_forwarded),
        ("submissions_received", "Submissions that others passed on to it.", counters.submissions_received),
        ("messages_relayed", "Messages that it passed on to the leader.", counters.messages_relayed),
        ("batches_proposed", "Batches of submissions that it put before its core.", counters.batches_proposed),
        ("submissions_overloaded", "Submissions refused because too many were under way.", counters.submissions_overloaded),
        ("read_rounds", "Rounds that confirmed who leads.", counters.read_rounds),
        ("linearizable_reads", "Linearizable reads that these rounds served.", counters.linearizable_reads),
        ("proposals_decided", "Proposals that were decided.", counters.proposals_decided),
        ("decisions_panicked", "Proposals whose decision panicked: defects.", counters.decisions_panicked),
        ("connections_made", "Connections to other nodes that it made.", counters.connections_made),
    ] {
        page.single(&format!("bursar_raft_{name}_total"), "counter", help, count);
    }
}

fn write_fleet_counters(page: &mut Page, counters: &FleetCounters) {
    for (name, help, count) in [
        ("servers_heard", "Storage servers that the leader has heard; 0 on other nodes.", counters.servers_heard),
        ("ports_observed", "Ports that servers and nodes told the leader of; 0 on other nodes.", counters.ports_observed),
        ("feeds_open", "Storage servers' feeds of events that are open.", counters.feeds_open),
    ] {
        page.single(&format!("bursar_fleet_{name}"), "gauge", help, count);
    }
    for (name, help, count) in [
        ("heartbeats_relayed", "Heartbeats that the leader answered.", counters.heartbeats_relayed),
        ("heartbeats_unanswered", "Heartbeats that no leader answered in time.", counters.heartbeats_unanswered),
        ("notices_noted", "Notices of storage servers that are in the ledger.", counters.notices_noted),
        ("feeds_opened", "Feeds that were opened.", counters.feeds_opened),
        ("feed_records", "Records that were sent on feeds.", counters.feed_records),
        ("feed_readers_too_slow", "Feeds ended because their reader took nothing.", counters.feed_readers_too_slow),
    ] {
        page.single(&format!("bursar_fleet_{name}_total"), "counter", help, count);
    }
}
