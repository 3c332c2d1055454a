//! Destinations.

use axum::extract::State;
use bursar_domain::{self as domain, DestinationId, destination::Destination, table::Table};
use bursar_wire::{
    destinations::{self, CreateDestination, EditDestination},
    page::Page,
    query::{ListQuery, ReadQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::Answered,
    api::Service,
    door::Edit,
    mutation::{Bodiless, Mutation},
    parameters::Id,
    resource::{Field, Reading, Resource, View},
};

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, edit, remove))
}

impl Resource for Destination {
    type Shown = destinations::Destination;

    const FIELDS: &'static [Field<Self>] = &[
        Field::number("id", |destination| destination.id.0.to_string()),
        Field::text("name", |destination| destination.name.to_string()),
        Field::number("site", |destination| destination.site.0.to_string()),
        Field::flag("offered", |destination| destination.offered.to_string()),
    ];

    const FOLDED_NAME: Option<fn(&Self) -> String> = Some(|destination| destination.name.folded());

    fn table(state: &domain::State) -> &Table<Self> {
        state.destinations()
    }

    fn show(&self, view: &View) -> Self::Shown {
        destinations::Destination::of(view, self)
    }
}

/// List destinations.
///
/// `filter` knows `id`, `name`, `site` (its number) and `offered` (`true` or `false`); `sort` goes by `id` or `name`.
#[utoipa::path(get, path = "/api/v1/destinations", tag = "destinations", operation_id = "list_destinations", params(ListQuery),
    responses((status = 200, description = "A page of the destinations.", body = Page<destinations::Destination>)))]
async fn list(reading: Reading<ListQuery>) -> Answered {
    reading.list::<Destination>().await
}

/// Make a destination.
#[utoipa::path(post, path = "/api/v1/destinations", tag = "destinations", operation_id = "create_destination",
    request_body = CreateDestination,
    responses((status = 201, description = "The destination was made.", body = destinations::Destination)))]
async fn create(State(service): State<Service>, mutation: Mutation<CreateDestination>) -> Answered {
    service.change(mutation.call, mutation.body.command()?).await
}

/// Read a destination.
#[utoipa::path(get, path = "/api/v1/destinations/{id}", tag = "destinations", operation_id = "read_destination",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The destination.", body = destinations::Destination)))]
async fn read(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    reading.object(DestinationId(id)).await
}

/// Change a destination.
#[utoipa::path(patch, path = "/api/v1/destinations/{id}", tag = "destinations", operation_id = "edit_destination",
    params(("id" = u64, Path)), request_body = EditDestination,
    responses((status = 200, description = "The destination as it stands now.", body = destinations::Destination)))]
async fn edit(State(service): State<Service>, Id(id): Id, mutation: Mutation<EditDestination>) -> Answered {
    let edit = |current: &Destination| {
        let rests_on_current = mutation.body.rests_on_current();
        Ok(Edit { command: mutation.body.clone().command(current)?, rests_on_current })
    };
    service.edit(mutation.call, DestinationId(id), edit).await
}

/// Remove a destination that nothing uses.
#[utoipa::path(delete, path = "/api/v1/destinations/{id}", tag = "destinations", operation_id = "remove_destination",
    params(("id" = u64, Path)),
    responses((status = 204, description = "The destination was removed.")))]
async fn remove(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, destinations::remove(DestinationId(id))).await
}
