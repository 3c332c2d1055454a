//! Store points.

use std::time::Duration;

use axum::extract::State;
use bursar_domain::{
    self as domain, ServerId, StorePointId,
    store_point::{Condition, Findings, Found, StorePoint},
    table::Table,
};
use bursar_wire::{
    page::Page,
    query::{ListQuery, ReadQuery},
    servers::Observed,
    store_points::{self, CreateStorePoint, EditStorePoint, StorePointCondition, StorePointDetails, StorePointIntent},
};
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::Answered,
    api::Service,
    mutation::{Bodiless, Mutation},
    nouns::servers::UNHEARD,
    parameters::Id,
    resource::{Field, PRESENT, Reading, Resource, View},
};

/// How long a server may take to look at a path. What is left of the request's time is for the decision.
const EXAMINATION_PATIENCE: Duration = Duration::from_secs(6);

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(create))
        .routes(routes!(read, edit, remove))
        .routes(routes!(drain))
        .routes(routes!(activate))
}

impl Resource for StorePoint {
    type Shown = store_points::StorePoint;

    const FIELDS: &'static [Field<Self>] = &[
        Field::number("id", |store_point| store_point.id.0.to_string()),
        Field::text("name", |store_point| store_point.name.to_string()),
        Field::number("server", |store_point| store_point.server.0.to_string()),
        Field::text("path", |store_point| store_point.path.to_string()),
        Field::one_of("condition", &["creating", "failed", "online", "offline", "unknown"], |store_point| {
            StorePointCondition::of(store_point.condition, None).as_str().to_owned()
        }),
        Field::one_of("intent", &["active", "draining", "retired"], |store_point| {
            StorePointIntent::from(store_point.intent).as_str().to_owned()
        }),
        Field::flag("accepting_data", |store_point| store_point.flags.accepting_data.to_string()),
        Field::flag(PRESENT, |store_point| store_point.is_present().to_string()),
    ];

    const FOLDED_NAME: Option<fn(&Self) -> String> = Some(|store_point| store_point.name.folded());

    fn is_current(&self) -> bool {
        self.is_present()
    }

    fn table(state: &domain::State) -> &Table<Self> {
        state.store_points()
    }

    fn show(&self, view: &View) -> Self::Shown {
        store_points::StorePoint::of(view, self)
    }
}

/// List store points; retired ones with the filter `present=false` alone.
///
/// `filter` knows `id`, `name`, `server` (its number), `path`, `condition` (`creating`, `failed`, `online`, `offline` or `unknown`),
/// `intent` (`active`, `draining` or `retired`), `accepting_data` and `present` (`true` or `false`); `sort` goes by `id` or `name`.
/// `observed=true` tells how they are filled.
#[utoipa::path(get, path = "/api/v1/store-points", tag = "store points", operation_id = "list_store_points", params(ListQuery),
    responses((status = 200, description = "A page of the store points.", body = Page<StorePointDetails>)))]
async fn list(reading: Reading<ListQuery>) -> Answered {
    reading.list_observed(details).await
}

/// Make a store point.
///
/// The server looks at the path first, which must be an existing directory that it can write to; a server that does not answer
/// refuses it. Then it makes the store point's directory right under the path, this once.
#[utoipa::path(post, path = "/api/v1/servers/{id}/store-points", tag = "store points", operation_id = "create_store_point",
    params(("id" = u64, Path)), request_body = CreateStorePoint,
    responses((status = 201, description = "The store point is to be made.", body = store_points::StorePoint)))]
async fn create(State(service): State<Service>, Id(id): Id, mutation: Mutation<CreateStorePoint>) -> Answered {
    let (Mutation { call, body }, server) = (mutation, ServerId(id));
    let hopeful = body.clone().command(server, spotless(&body.path));
    if let Some(answer) = service.foresee(&call, hopeful, |_| Ok(())).await? {
        return Ok(answer);
    }
    let patience = call.deadline.min(Instant::now() + EXAMINATION_PATIENCE);
    let findings = service.fleet.examine(server, &body.path, patience).await?;
    service.change(call, body.command(server, findings)).await
}

/// What a server finds at a path that nothing is wrong with.
fn spotless(path: &str) -> Findings {
    Findings {
        found: Found::Directory,
        canonical_path: path.to_owned(),
        writable: true,
        within: None,
        foreign_identity: false,
        free_bytes: u64::MAX,
    }
}

/// Read a store point, with what the leader observes of it.
///
/// What is observed comes with a linearizable reading of the present alone.
#[utoipa::path(get, path = "/api/v1/store-points/{id}", tag = "store points", operation_id = "read_store_point",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The store point.", body = StorePointDetails)))]
async fn read(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    reading.observed(StorePointId(id), details).await
}

/// A store point, with what was observed of all servers or why that is not known.
fn details(view: &View, row: &StorePoint, observed: Result<&Observed, &str>) -> StorePointDetails {
    let observed = observed.map_err(str::to_owned).and_then(|all| {
        let server = all.by_server.get(&row.server.0).ok_or(UNHEARD)?;
        let observed = server.store_points.get(&row.id.0).copied().ok_or_else(|| untold(row))?;
        Ok((observed, server.heard_ms_ago))
    });
    let (observed, observed_absent) = observed.map_or_else(|why| (None, Some(why)), |observed| (Some(observed), None));
    let (observed, observed_ms_ago) = observed.unzip();
    StorePointDetails { store_point: row.show(view), observed, observed_absent, observed_ms_ago }
}

/// Why nothing is observed of a store point where the leader observes its server: that looks at what can be looked at.
fn untold(store_point: &StorePoint) -> String {
    match store_point.condition {
        _ if !store_point.is_present() => "it is retired".to_owned(),
        Condition::Creating => "its directory is not made yet".to_owned(),
        Condition::Failed(failure) => format!("its directory could not be made: {failure}"),
        Condition::Offline(reason) => format!("its server cannot look at it: {reason}"),
        Condition::Online | Condition::Unknown => "its server has told nothing of it yet".to_owned(),
    }
}

/// Change a store point: its name, its notes, what it takes.
#[utoipa::path(patch, path = "/api/v1/store-points/{id}", tag = "store points", operation_id = "edit_store_point",
    params(("id" = u64, Path)), request_body = EditStorePoint,
    responses((status = 200, description = "The store point as it stands now.", body = store_points::StorePoint)))]
async fn edit(State(service): State<Service>, Id(id): Id, mutation: Mutation<EditStorePoint>) -> Answered {
    service.change(mutation.call, mutation.body.command(StorePointId(id))).await
}

/// Retire a store point. What its directory holds stays on the disk.
#[utoipa::path(delete, path = "/api/v1/store-points/{id}", tag = "store points", operation_id = "remove_store_point",
    params(("id" = u64, Path)),
    responses((status = 204, description = "The store point was retired.")))]
async fn remove(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, store_points::remove(StorePointId(id))).await
}

/// Have a store point give its archives away.
#[utoipa::path(post, path = "/api/v1/store-points/{id}/drain", tag = "store points", operation_id = "drain_store_point",
    params(("id" = u64, Path)),
    responses((status = 200, description = "The store point as it stands now.", body = store_points::StorePoint)))]
async fn drain(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, store_points::drain(StorePointId(id))).await
}

/// Have a store point keep archives again.
#[utoipa::path(post, path = "/api/v1/store-points/{id}/activate", tag = "store points", operation_id = "activate_store_point",
    params(("id" = u64, Path)),
    responses((status = 200, description = "The store point as it stands now.", body = store_points::StorePoint)))]
async fn activate(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, store_points::activate(StorePointId(id))).await
}
