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
    authority::Role,
    failure::Failure,
    metrics::{self, Page},
    parameters::Parameters,
};

/// Where a request comes from. The port adds it to every request.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub SocketAddr);

/// The routes. They are open; the metrics look at the caller themselves.
pub(crate) fn open_routes() -> OpenApiRouter<Service> {
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

/// Tell whether the node can serve.
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
            format!("All data is read, up to {}.", state.cursor()),
            "The node is reading its own data.",
        ),
        check(
            "founded",
            state.cluster().is_some(),
            "The node belongs to a cluster.".into(),
            "The node belongs to no cluster yet.",
        ),
        check("leader_known", status.leader.is_some(), format!("The leader is {leader}."), "The node knows no leader."),
    ];
    let ready = checks.iter().all(|check| check.passed);
    let checks = if query.verbose.is_some() { checks } else { Vec::new() };
    let mut response = answer::json(&state, &Readiness { ready, checks });
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
        let streams = self.config.streams_max.saturating_sub(self.stream_places.available_permits());
        page.single("bursar_http_requests_under_way", "gauge", "Requests that are being answered.", under_way);
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
        page.family("bursar_raft_peer_lag_entries", "gauge", "How many entries a peer lacks, as the leader knows.");
        for peer in &status.peers {
            if let Some(lag) = peer.lag {
                page.sample("bursar_raft_peer_lag_entries", &[("node", &peer.id.0.to_string())], lag);
            }
        }
    }
}
