//! Operators' commands over the HTTP API.
