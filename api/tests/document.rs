//! The OpenAPI document and the code say the same.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::{fs, path::Path};

#[test]
fn the_document_in_the_repository_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let committed = fs::read_to_string(&path).unwrap();
    let current = bursar_api::openapi().to_pretty_json().unwrap() + "\n";
    assert!(
        committed == current,
        "docs/openapi.json is out of date: cargo run -p bursar-api --example openapi > docs/openapi.json"
    );
}

#[test]
fn the_document_is_openapi_3_1_and_names_each_operation_once() {
    let document = serde_json::to_value(bursar_api::openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let items = document["paths"].as_object().unwrap().values();
    let operations: Vec<_> = items.flat_map(|item| item.as_object().unwrap().values()).collect();
    let mut names: Vec<_> = operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for operation in operations {
        assert!(operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{operation}");
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem");
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = serde_json::to_value(bursar_api::openapi()).unwrap();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(|reference| reference.as_str()) {
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
                }
                open.extend(fields.values());
            }
            serde_json::Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

/// A route that is registered without its description would be in neither the document nor the walk over all routes.
#[test]
fn no_route_goes_round_the_document() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            for way in [".route(", ".route_service(", ".nest_service("] {
                assert!(!source.contains(way), "{} registers a route with {way}", path.display());
            }
        }
    }
}
