//! All routes, and what happens around every request.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, Uri},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use bursar_wire::header::{LEADER, REVISION};
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    answer::header_value,
    api::{Api, Service},
    authentication::{guard, receive_strangers},
    events,
    failure::Failure,
    fault::abridged,
    health, nouns, openapi,
};

/// The API as a service. Whatever is not listed as open needs a token.
pub fn router(api: Api) -> Router {
    let service = Service::new(api);
    let Routes { guarded, open, health } = documented();
    let (guarded, _) = guarded.split_for_parts();
    let (open, _) = open.split_for_parts();
    let (health, _) = health.split_for_parts();
    guarded
        .route_layer(from_fn_with_state(service.clone(), guard))
        .merge(open.route_layer(from_fn_with_state(service.clone(), receive_strangers)))
        .merge(health)
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(service.clone(), attend))
        .with_state(service)
}

/// The routes with their descriptions.
pub(crate) struct Routes {
    /// For callers with a token. Each request has one of many places.
    pub(crate) guarded: OpenApiRouter<Service>,
    /// For everybody. Requests of strangers have few places.
    pub(crate) open: OpenApiRouter<Service>,
    /// For whoever looks after the node. They take no place: however full the API is, the node says how it fares.
    pub(crate) health: OpenApiRouter<Service>,
}

pub(crate) fn documented() -> Routes {
    let guarded = OpenApiRouter::new()
        .merge(nouns::sites::routes())
        .merge(nouns::destinations::routes())
        .merge(nouns::servers::routes())
        .merge(nouns::store_points::routes())
        .merge(nouns::alerts::routes())
        .merge(nouns::operations::routes())
        .merge(nouns::cluster::routes())
        .merge(nouns::tokens::routes())
        .merge(nouns::status::routes())
        .merge(events::routes());
    let open = OpenApiRouter::new()
        .merge(nouns::tokens::open_routes())
        .merge(nouns::status::open_routes())
        .merge(openapi::open_routes());
    Routes { guarded, open, health: health::routes() }
}

async fn no_such_path(uri: Uri) -> Failure {
    Failure::no_such_path(&abridged(uri.path()))
}

async fn method_not_allowed(method: Method) -> Failure {
    Failure::method_not_allowed(&abridged(method.as_str()))
}

/// Counts a request's answer, and says on it where this node stands.
async fn attend(State(service): State<Service>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if !headers.contains_key(REVISION) {
        headers.insert(REVISION, header_value(service.authority.latest().cursor()));
    }
    if let Some(leader) = service.authority.leader() {
        headers.insert(LEADER, HeaderValue::from(leader.0));
    }
    service.metrics.answered(&method, response.status(), started.elapsed());
    response
}
