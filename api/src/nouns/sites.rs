//! Sites.

use axum::extract::State;
use bursar_domain::{self as domain, SiteId, site::Site, table::Table};
use bursar_wire::{
    page::Page,
    query::{ListQuery, ReadQuery},
    sites::{self, CreateSite, EditSite},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::Answered,
    api::Service,
    mutation::{Bodiless, Mutation},
    parameters::Id,
    resource::{Field, Reading, Resource, View},
};

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, edit, remove))
}

impl Resource for Site {
    type Shown = sites::Site;

    const FIELDS: &'static [Field<Self>] =
        &[Field::number("id", |site| site.id.0.to_string()), Field::text("name", |site| site.name.to_string())];

    const FOLDED_NAME: Option<fn(&Self) -> String> = Some(|site| site.name.folded());

    fn table(state: &domain::State) -> &Table<Self> {
        state.sites()
    }

    fn show(&self, view: &View) -> Self::Shown {
        sites::Site::of(view, self)
    }
}

/// List sites.
///
/// `filter` knows `id` and `name`; `sort` goes by `id` or `name`.
#[utoipa::path(get, path = "/api/v1/sites", tag = "sites", operation_id = "list_sites", params(ListQuery),
    responses((status = 200, description = "A page of the sites.", body = Page<sites::Site>)))]
async fn list(reading: Reading<ListQuery>) -> Answered {
    reading.list::<Site>().await
}

/// Make a site.
#[utoipa::path(post, path = "/api/v1/sites", tag = "sites", operation_id = "create_site", request_body = CreateSite,
    responses((status = 201, description = "The site was made.", body = sites::Site)))]
async fn create(State(service): State<Service>, mutation: Mutation<CreateSite>) -> Answered {
    service.change(mutation.call, mutation.body.command()).await
}

/// Read a site.
#[utoipa::path(get, path = "/api/v1/sites/{id}", tag = "sites", operation_id = "read_site", params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The site.", body = sites::Site)))]
async fn read(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    reading.object(SiteId(id)).await
}

/// Change a site.
#[utoipa::path(patch, path = "/api/v1/sites/{id}", tag = "sites", operation_id = "edit_site", params(("id" = u64, Path)),
    request_body = EditSite,
    responses((status = 200, description = "The site as it stands now.", body = sites::Site)))]
async fn edit(State(service): State<Service>, Id(id): Id, mutation: Mutation<EditSite>) -> Answered {
    service.change(mutation.call, mutation.body.command(SiteId(id))).await
}

/// Remove a site that nothing uses.
#[utoipa::path(delete, path = "/api/v1/sites/{id}", tag = "sites", operation_id = "remove_site", params(("id" = u64, Path)),
    responses((status = 204, description = "The site was removed.")))]
async fn remove(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, sites::remove(SiteId(id))).await
}
