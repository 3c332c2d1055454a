//! The only crate that knows axum: REST, event stream, OpenAPI.
