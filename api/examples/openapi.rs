//! Prints the OpenAPI document: `cargo run -p bursar-api --example openapi > docs/openapi.json`.

fn main() {
    let document = bursar_api::openapi().to_pretty_json().expect("the document has text keys and finite numbers");
    println!("{document}");
}
