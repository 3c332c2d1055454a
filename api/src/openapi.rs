//! The description of the API, made of its code.

use std::sync::LazyLock;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bursar_wire::{
    Problem,
    header::{IDEMPOTENCY_KEY, PATIENCE},
    page::DryRun,
    query::MutationQuery,
};
use utoipa::{
    IntoParams, OpenApi as _, ToSchema,
    openapi::{
        ContentBuilder, Object, OpenApi, Ref, RefOr, ResponseBuilder, Type,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::Service,
    router::{self, Routes},
};

/// The name of the way to show a token.
const BEARER: &str = "bearer";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Bursar",
        description = "The replicated authority of a private backup-storage fleet. Any node takes any request. Lists come in \
            pages; changes carry an `Idempotency-Key`, are bound to a reading with `If-Match`, and are rehearsed with \
            `dry_run=true`; whatever is refused says why and what to do next.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Problem, DryRun))
)]
struct Base;

/// The OpenAPI 3.1 document of all routes. The same program always gives the same document.
pub fn openapi() -> OpenApi {
    let Routes { guarded, open, health } = router::documented();
    let (_, mut guarded) = guarded.split_for_parts();
    let (_, open) = open.split_for_parts();
    let (_, health) = health.split_for_parts();
    for (_, operation) in guarded.paths.paths.values_mut().flat_map(operations) {
        require_token(operation);
        describe_patience(operation);
    }
    let mut document = Base::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.merge(guarded);
    document.merge(open);
    document.merge(health);
    for item in document.paths.paths.values_mut() {
        for (changes, operation) in operations(item) {
            describe_problems(operation);
            if changes {
                describe_change(operation);
            }
        }
    }
    if let Some(components) = &mut document.components {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.security_schemes.insert(BEARER.to_owned(), RefOr::T(scheme));
    }
    document
}

/// The route of the document.
pub(crate) fn open_routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(document))
}

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| openapi().to_pretty_json().expect("the document has text keys and finite numbers"));

/// Read this description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "status", operation_id = "openapi",
    responses((status = 200, description = "This document.", body = Object)))]
async fn document() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT.as_str()).into_response()
}

/// The operations of a path, each with whether it changes something.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let reading = get.iter_mut().map(|operation| (false, operation));
    let changing = [put, post, delete, patch].into_iter().flatten().map(|operation| (true, operation));
    reading.chain(changing)
}

fn require_token(operation: &mut Operation) {
    operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]);
}

/// Every operation can be refused.
fn describe_problems(operation: &mut Operation) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    let response = ResponseBuilder::new()
        .description("It was not done, and this is why and what to do next.")
        .content(bursar_wire::media::PROBLEM, content)
        .build();
    operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
}

/// Every caller who is known may say how long they wait.
fn describe_patience(operation: &mut Operation) {
    let description = "How long the caller waits for the answer, in milliseconds: where the node needs others and they do not \
                       answer in that time, it says so. By default, and at most, 10000.";
    operation.parameters.get_or_insert_default().push(header(PATIENCE, Type::Integer, description));
}

fn header(name: &str, kind: Type, description: &str) -> RefOr<Parameter> {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).description(Some(description));
    RefOr::T(parameter.schema(Some(Object::with_type(kind))).build())
}

/// What all changes have in common.
fn describe_change(operation: &mut Operation) {
    let text = |name, description| header(name, Type::String, description);
    let parameters = operation.parameters.get_or_insert_default();
    parameters.extend(MutationQuery::into_params(|| Some(ParameterIn::Query)).into_iter().map(RefOr::T));
    parameters.push(text(
        IDEMPOTENCY_KEY,
        "Names the request, 1 to 128 visible ASCII characters: a repetition under the same key within an hour is recognised and \
         not carried out again; another request under it is refused.",
    ));
    parameters.push(text("if-match", "The ETag of the reading that the change rests on, in its quotes; one, and no weak one."));
}
