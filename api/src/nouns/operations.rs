//! Operations.

use axum::{extract::State, http::HeaderMap, response::Response};
use bursar_domain::{ObjectRef, OperationId, operation::Operation};
use bursar_wire::{
    operations::{self, OperationStatus, OperationTask},
    page::Page,
    query::{ListQuery, ReadQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer,
    api::Service,
    authentication::Caller,
    failure::Failure,
    listing::{Field, Listed, Selection},
    mutation::Bodiless,
    parameters::{Id, Parameters},
};

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read)).routes(routes!(cancel))
}

impl Listed for Operation {
    const FIELDS: &'static [Field<Self>] = &[
        ("id", |operation| operation.id.0.to_string()),
        ("status", |operation| OperationStatus::from(operation.status).as_str().to_owned()),
        ("kind", |operation| OperationTask::from(operation.task).kind),
    ];
}

/// List operations.
///
/// `filter` knows `id`, `status` and `kind` (of the task); `sort` goes by `id`.
#[utoipa::path(get, path = "/api/v1/operations", tag = "operations", operation_id = "list_operations", params(ListQuery),
    responses((status = 200, description = "A page of the operations.", body = Page<operations::Operation>)))]
async fn list(
    State(service): State<Service>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Response, Failure> {
    let state = service.read(caller, &query.read()).await?;
    let show = |operation: &Operation| operations::Operation::of(&state, operation);
    let page = Selection::<Operation>::of(query)?.page(&state, state.operations(), show)?;
    Ok(answer::json(&state, &page))
}

/// Read an operation.
#[utoipa::path(get, path = "/api/v1/operations/{id}", tag = "operations", operation_id = "read_operation",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The operation.", body = operations::Operation)))]
async fn read(
    State(service): State<Service>,
    caller: Caller,
    Id(id): Id,
    Parameters(query): Parameters<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let state = service.read(caller, &query).await?;
    service.object(&state, ObjectRef::Operation(OperationId(id)), &headers)
}

/// Call an operation off.
///
/// Where that takes work of its own, the answer is the operation that carries it.
#[utoipa::path(post, path = "/api/v1/operations/{id}/cancel", tag = "operations", operation_id = "cancel_operation",
    params(("id" = u64, Path)),
    responses(
        (status = 200, description = "It is being called off already.", body = operations::Operation),
        (status = 202, description = "The operation that calls it off.", body = operations::Operation)))]
async fn cancel(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Result<Response, Failure> {
    service.change(call, operations::cancel(OperationId(id))).await
}
