//! Operations.

use axum::extract::State;
use bursar_domain::{self as domain, OperationId, operation::Operation, table::Table};
use bursar_wire::{
    operations::{self, OperationStatus, OperationTask},
    page::Page,
    query::{ListQuery, ReadQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::Answered,
    api::Service,
    mutation::Bodiless,
    parameters::Id,
    resource::{Field, Reading, Resource, View},
};

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read)).routes(routes!(cancel))
}

impl Resource for Operation {
    type Shown = operations::Operation;

    const FIELDS: &'static [Field<Self>] = &[
        Field::number("id", |operation| operation.id.0.to_string()),
        Field::one_of("status", &["running", "succeeded", "failed", "cancelled"], |operation| {
            OperationStatus::from(operation.status).as_str().to_owned()
        }),
        Field::one_of("kind", &["add_authority_node", "remove_authority_node", "join_server"], |operation| {
            OperationTask::from(operation.task).kind
        }),
    ];

    fn table(state: &domain::State) -> &Table<Self> {
        state.operations()
    }

    fn show(&self, view: &View) -> Self::Shown {
        operations::Operation::of(view, self)
    }
}

/// List operations.
///
/// `filter` knows `id`, `status` (`running`, `succeeded`, `failed` or `cancelled`) and `kind`, of the task (`add_authority_node`,
/// `remove_authority_node` or `join_server`); `sort` goes by `id`.
#[utoipa::path(get, path = "/api/v1/operations", tag = "operations", operation_id = "list_operations", params(ListQuery),
    responses((status = 200, description = "A page of the operations.", body = Page<operations::Operation>)))]
async fn list(reading: Reading<ListQuery>) -> Answered {
    reading.list::<Operation>().await
}

/// Read an operation.
#[utoipa::path(get, path = "/api/v1/operations/{id}", tag = "operations", operation_id = "read_operation",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The operation.", body = operations::Operation)))]
async fn read(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    reading.object(OperationId(id)).await
}

/// Call an operation off.
///
/// Where that takes work of its own, the answer is the operation that carries it.
#[utoipa::path(post, path = "/api/v1/operations/{id}/cancel", tag = "operations", operation_id = "cancel_operation",
    params(("id" = u64, Path)),
    responses(
        (status = 200, description = "It is being called off already.", body = operations::Operation),
        (status = 202, description = "The operation that calls it off.", body = operations::Operation)))]
async fn cancel(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, operations::cancel(OperationId(id))).await
}
