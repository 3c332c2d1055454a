//! Destinations.

use axum::{extract::State, http::HeaderMap, response::Response};
use bursar_domain::{DestinationId, ObjectRef, destination::Destination};
use bursar_wire::{
    destinations::{self, CreateDestination, EditDestination},
    page::Page,
    query::{ListQuery, ReadQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer,
    api::Service,
    authentication::Caller,
    door::Edit,
    failure::Failure,
    listing::{Field, Listed, Selection},
    mutation::{Bodiless, Mutation},
    parameters::{Id, Parameters},
};

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, edit, remove))
}

impl Listed for Destination {
    const FIELDS: &'static [Field<Self>] = &[
        ("id", |destination| destination.id.0.to_string()),
        ("name", |destination| destination.name.to_string()),
        ("site", |destination| destination.site.0.to_string()),
        ("offered", |destination| destination.offered.to_string()),
    ];

    const FOLDED_NAME: Option<fn(&Self) -> String> = Some(|destination| destination.name.folded());
}

/// List destinations.
///
/// `filter` knows `id`, `name`, `site` (its number) and `offered` (`true` or `false`); `sort` goes by `id` or `name`.
#[utoipa::path(get, path = "/api/v1/destinations", tag = "destinations", operation_id = "list_destinations", params(ListQuery),
    responses((status = 200, description = "A page of the destinations.", body = Page<destinations::Destination>)))]
async fn list(
    State(service): State<Service>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Response, Failure> {
    let state = service.read(caller, &query.read()).await?;
    let show = |destination: &Destination| destinations::Destination::of(&state, destination);
    let page = Selection::<Destination>::of(query)?.page(&state, state.destinations(), show)?;
    Ok(answer::json(&state, &page))
}

/// Make a destination.
#[utoipa::path(post, path = "/api/v1/destinations", tag = "destinations", operation_id = "create_destination",
    request_body = CreateDestination,
    responses((status = 201, description = "The destination was made.", body = destinations::Destination)))]
async fn create(State(service): State<Service>, mutation: Mutation<CreateDestination>) -> Result<Response, Failure> {
    service.change(mutation.call, mutation.body.command()?).await
}

/// Read a destination.
#[utoipa::path(get, path = "/api/v1/destinations/{id}", tag = "destinations", operation_id = "read_destination",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The destination.", body = destinations::Destination)))]
async fn read(
    State(service): State<Service>,
    caller: Caller,
    Id(id): Id,
    Parameters(query): Parameters<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let state = service.read(caller, &query).await?;
    service.object(&state, ObjectRef::Destination(DestinationId(id)), &headers)
}

/// Change a destination.
#[utoipa::path(patch, path = "/api/v1/destinations/{id}", tag = "destinations", operation_id = "edit_destination",
    params(("id" = u64, Path)), request_body = EditDestination,
    responses((status = 200, description = "The destination as it stands now.", body = destinations::Destination)))]
async fn edit(State(service): State<Service>, Id(id): Id, mutation: Mutation<EditDestination>) -> Result<Response, Failure> {
    let object = ObjectRef::Destination(DestinationId(id));
    let edit = |state: &bursar_domain::State| {
        let current = state.destinations().get(DestinationId(id)).ok_or_else(|| Failure::not_found(object, state))?;
        let rests_on_current = mutation.body.rests_on_current();
        Ok(Edit { command: mutation.body.clone().command(current)?, rests_on_current })
    };
    service.edit(mutation.call, object, edit).await
}

/// Remove a destination that nothing uses.
#[utoipa::path(delete, path = "/api/v1/destinations/{id}", tag = "destinations", operation_id = "remove_destination",
    params(("id" = u64, Path)),
    responses((status = 204, description = "The destination was removed.")))]
async fn remove(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Result<Response, Failure> {
    service.change(call, destinations::remove(DestinationId(id))).await
}
