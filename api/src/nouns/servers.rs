//! Storage servers.

mod arrival;

use axum::extract::State;
use bursar_domain::{self as domain, ServerId, server::Server, table::Table};
use bursar_wire::{
    page::Page,
    query::{ListQuery, ReadQuery},
    servers::{self, EditServer, MaintainServer, OkToStop, Reachability, ServerCondition, ServerDetails, ServerIntent},
    store_points::OfflineStorePoint,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::{self, Answered},
    api::Service,
    failure::Failure,
    mutation::{Bodiless, Mutation},
    parameters::Id,
    resource::{Field, PRESENT, Reading, Resource, View},
};

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read, edit, remove))
        .routes(routes!(maintain))
        .routes(routes!(drain))
        .routes(routes!(activate))
        .routes(routes!(ok_to_stop))
        .routes(routes!(reachability))
        .merge(arrival::routes())
}

impl Resource for Server {
    type Shown = servers::Server;

    const FIELDS: &'static [Field<Self>] = &[
        Field::number("id", |server| server.id.0.to_string()),
        Field::text("name", |server| server.name.to_string()),
        Field::number("destination", |server| server.destination.0.to_string()),
        Field::one_of("condition", &["joining", "online", "offline", "excluded"], |server| {
            ServerCondition::from(server.condition).as_str().to_owned()
        }),
        Field::one_of("intent", &["active", "maintenance", "draining", "removed"], |server| {
            ServerIntent::from(&server.intent).as_str().to_owned()
        }),
        Field::text("version", |server| server.facts.program.version.to_string()),
        Field::flag(PRESENT, |server| server.is_present().to_string()),
    ];

    const FOLDED_NAME: Option<fn(&Self) -> String> = Some(|server| server.name.folded());

    fn is_current(&self) -> bool {
        self.is_present()
    }

    fn table(state: &domain::State) -> &Table<Self> {
        state.servers()
    }

    fn show(&self, view: &View) -> Self::Shown {
        servers::Server::of(view, self)
    }
}

/// List storage servers; removed ones with the filter `present=false` alone.
///
/// `filter` knows `id`, `name`, `destination` (its number), `condition` (`joining`, `online`, `offline` or `excluded`), `intent`
/// (`active`, `maintenance`, `draining` or `removed`), `version` and `present` (`true` or `false`); `sort` goes by `id` or `name`.
/// `observed=true` tells how their store points are filled, and when they were heard of.
#[utoipa::path(get, path = "/api/v1/servers", tag = "servers", operation_id = "list_servers", params(ListQuery),
    responses((status = 200, description = "A page of the servers.", body = Page<ServerDetails>)))]
async fn list(reading: Reading<ListQuery>) -> Answered {
    reading.list_observed(details).await
}

/// Read a storage server, with its store points that are offline, and what the leader observes of it.
///
/// What is observed comes with a linearizable reading of the present alone.
#[utoipa::path(get, path = "/api/v1/servers/{id}", tag = "servers", operation_id = "read_server",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The server.", body = ServerDetails)))]
async fn read(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    reading.observed(ServerId(id), details).await
}

/// A server, with what was observed of all of them or why that is not known.
fn details(view: &View, row: &Server, observed: Result<&servers::Observed, &str>) -> ServerDetails {
    let observed = observed.and_then(|all| all.by_server.get(&row.id.0).ok_or(UNHEARD));
    let (observed, observed_absent) =
        observed.map_or_else(|why| (None, Some(why.to_owned())), |observed| (Some(observed.clone()), None));
    let offline_store_points = OfflineStorePoint::all_of(view, row.id);
    ServerDetails { server: row.show(view), offline_store_points, observed, observed_absent }
}

/// Why nothing is observed of a server where the leader observes others.
pub(super) const UNHEARD: &str = "the leader has not heard of the server since it leads";

/// Change a storage server's name or addresses.
#[utoipa::path(patch, path = "/api/v1/servers/{id}", tag = "servers", operation_id = "edit_server",
    params(("id" = u64, Path)), request_body = EditServer,
    responses((status = 200, description = "The server as it stands now.", body = servers::Server)))]
async fn edit(State(service): State<Service>, Id(id): Id, mutation: Mutation<EditServer>) -> Answered {
    service.change(mutation.call, mutation.body.command(ServerId(id))?).await
}

/// Remove a storage server that has no store points.
///
/// Its row stays: neither its number nor its identity is ever accepted again. One that is only being taken in is sent away.
#[utoipa::path(delete, path = "/api/v1/servers/{id}", tag = "servers", operation_id = "remove_server", params(("id" = u64, Path)),
    responses((status = 204, description = "The server was removed.")))]
async fn remove(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, servers::remove(ServerId(id))).await
}

/// Say that a storage server is worked upon for a while.
///
/// Until then its silence is expected: its alerts are recorded as covered. `activate` ends it earlier.
#[utoipa::path(post, path = "/api/v1/servers/{id}/maintenance", tag = "servers", operation_id = "maintain_server",
    params(("id" = u64, Path)), request_body = MaintainServer,
    responses((status = 200, description = "The server as it stands now.", body = servers::Server)))]
async fn maintain(State(service): State<Service>, Id(id): Id, mutation: Mutation<MaintainServer>) -> Answered {
    service.change(mutation.call, mutation.body.command(ServerId(id))?).await
}

/// Have a storage server give its archives away.
#[utoipa::path(post, path = "/api/v1/servers/{id}/drain", tag = "servers", operation_id = "drain_server",
    params(("id" = u64, Path)),
    responses((status = 200, description = "The server as it stands now.", body = servers::Server)))]
async fn drain(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, servers::drain(ServerId(id))).await
}

/// Have a storage server keep archives again, whether it was in maintenance or draining.
#[utoipa::path(post, path = "/api/v1/servers/{id}/activate", tag = "servers", operation_id = "activate_server",
    params(("id" = u64, Path)),
    responses((status = 200, description = "The server as it stands now.", body = servers::Server)))]
async fn activate(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, servers::activate(ServerId(id))).await
}

/// Tell whether a storage server may be stopped, and what would follow.
#[utoipa::path(get, path = "/api/v1/servers/{id}/ok-to-stop", tag = "servers", operation_id = "ok_to_stop_server",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "Whether it may.", body = OkToStop)))]
async fn ok_to_stop(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    let view = reading.view().await?;
    Ok(answer::json(&view, &OkToStop::of(&view, existing(&view, id)?)))
}

/// Tell which ports pass between a storage server and its neighbours, in both directions.
///
/// It is what the servers and the authority's nodes found when they last tried each other's ports, as the leader was told, with
/// how long ago that was; it comes with a linearizable reading of the present alone.
#[utoipa::path(get, path = "/api/v1/servers/{id}/reachability", tag = "servers", operation_id = "server_reachability",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The matrix of its ports and neighbours.", body = Reachability)))]
async fn reachability(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    let (view, looks) = reading.with_looks(ServerId(id)).await?;
    let server = existing(&view, id)?;
    Ok(answer::json(&view, &Reachability::of(&view, server, looks.as_ref().map_err(Clone::clone))))
}

fn existing(view: &View, id: u64) -> Result<&Server, Failure> {
    let found = view.servers().get(ServerId(id));
    found.map(|server| &**server).ok_or_else(|| Failure::not_found(ServerId(id).into(), view))
}
