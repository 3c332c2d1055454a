//! A running node, from what it says of itself.

use std::{path::Path, sync::Arc, time::Duration};

use bursar_net::{DiskFiles, Files, SystemClock, read_settings};
use bursar_wire::{
    client::{Client, ClientConfig, ClientError, ClientParts, Trust},
    status::Readiness,
};

use super::report::{Finding, Report};
use crate::authority::{CA_FILE, Config};

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

/// Asks the node.
pub async fn examine(directory: &Path, report: &mut Report) {
    report.add(Finding::sound("data directory", "held by the running node; stop it to have its files examined"));
    let config = match read_settings::<Config>(&DiskFiles, directory) {
        Ok(config) => config,
        Err(error) => return report.add(Finding::bad("settings", error.to_string())),
    };
    let scheme = if config.plain_http_on_loopback { "http" } else { "https" };
    let url = format!("{scheme}://{}", config.advertised.api);
    let client = match client(directory, &url) {
        Ok(client) => client,
        Err(error) => return report.add(Finding::bad("live", error.to_string())),
    };
    report.add(Finding::of("live", client.probe("/livez").await.map(|_answer| format!("{url} answers"))));
    report.add(match client.readiness().await {
        Ok(readiness) => ready(&readiness),
        Err(error) => Finding::bad("ready", error.to_string()),
    });
}

fn client(directory: &Path, url: &str) -> Result<Client, ClientError> {
    let node = url.parse().expect("an address makes a well-formed URL");
    let authority = DiskFiles.read(&directory.join(CA_FILE), CERTIFICATE_BYTES_MAX).unwrap_or_default();
    let trust = Trust::in_authorities(&authority, Arc::new(SystemClock)).ok();
    let config = ClientConfig { timeout: PATIENCE, attempt_timeout: PATIENCE, ..ClientConfig::new(vec![node], None) };
    Client::new(config, ClientParts::real(trust))
}

/// What the node says it lacks.
fn ready(readiness: &Readiness) -> Finding {
    if readiness.ready {
        return Finding::sound("ready", "it takes requests");
    }
    let lacking = readiness.checks.iter().filter(|check| !check.passed).map(|check| check.detail.as_str());
    let lacking = lacking.collect::<Vec<_>>().join(" ");
    Finding::bad("ready", format!("{lacking} See whether the other nodes run and reach this one, and what its log says."))
}

#[cfg(test)]
mod tests {
    use bursar_wire::status::ReadinessCheck;

    use super::*;

    #[test]
    fn a_node_that_is_not_ready_is_unhealthy_for_what_it_lacks() {
        let check = |code: &str, passed, detail: &str| ReadinessCheck { code: code.into(), passed, detail: detail.into() };
        let checks =
            vec![check("running", true, "The node takes part."), check("leader_known", false, "The node knows no leader.")];
        let finding = ready(&Readiness { ready: false, cluster: None, checks });
        assert!(!finding.is_sound());
        assert!(finding.detail().starts_with("The node knows no leader. See "), "{}", finding.detail());
        assert!(ready(&Readiness { ready: true, cluster: None, checks: vec![] }).is_sound());
    }
}
