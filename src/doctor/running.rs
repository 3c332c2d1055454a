//! A running node, from what it says of itself.

use std::{path::Path, sync::Arc, time::Duration};

use bursar_net::{DiskFiles, Files, SystemClock};
use bursar_wire::client::{Client, ClientConfig, ClientError, ClientParts, Trust};

use super::report::{Finding, Report};
use crate::authority::{CA_FILE, Config};

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

/// Asks the node.
pub async fn examine(directory: &Path, report: &mut Report) {
    report.add(Finding::sound("data directory", "held by the running node; stop it to have its files examined"));
    let config = match Config::read(&DiskFiles, directory) {
        Ok(config) => config,
        Err(error) => return report.add(Finding::bad("settings", error.to_string())),
    };
    let scheme = if config.plain_http_on_loopback { "http" } else { "https" };
    let url = format!("{scheme}://{}", config.advertised.api);
    report.add(Finding::of("live", ask(directory, &url, "/livez").await.map(|()| format!("{url} answers"))));
    report.add(Finding::of("ready", ask(directory, &url, "/readyz").await.map(|()| "it takes requests".to_owned())));
}

async fn ask(directory: &Path, url: &str, path: &str) -> Result<(), ClientError> {
    let node = url.parse().expect("an address makes a well-formed URL");
    let authority = DiskFiles.read(&directory.join(CA_FILE), CERTIFICATE_BYTES_MAX).unwrap_or_default();
    let trust = Trust::in_authorities(&authority, Arc::new(SystemClock)).ok();
    let config = ClientConfig { timeout: PATIENCE, attempt_timeout: PATIENCE, ..ClientConfig::new(vec![node], None) };
    Client::new(config, ClientParts::real(trust))?.probe(path).await.map(|_answer| ())
}
