//! What the demo says when all of it works: to people, and to scripts.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use bursar_wire::Credentials;
use serde::Serialize;

use super::{
    credentials,
    process::{Addresses, Description, Process},
    program,
    role::Role,
};

/// The one line of JSON for scripts.
#[derive(Serialize)]
struct Ready<'r> {
    url: &'r str,
    urls: &'r [String],
    token: &'r str,
    credentials: PathBuf,
    processes: Vec<Description<'r>>,
}

/// Tells a script.
pub fn print_json(folder: &Path, credentials: &Credentials, processes: &[Process]) {
    let ready = Ready {
        url: &credentials.url,
        urls: &credentials.urls,
        token: credentials.token.expose(),
        credentials: credentials::file(folder),
        processes: processes.iter().map(Process::describe).collect(),
    };
    println!("{}", serde_json::to_string(&ready).expect("the description can be written as JSON"));
    // Whoever reads the line may close the pipe at once.
    let _ = io::stdout().flush();
}

/// Tells a person, with commands to try that can be followed word by word.
pub fn print_welcome(folder: &Path, credentials: &Credentials, processes: &[Process], store_points: usize) {
    let of_role = |role| processes.iter().filter(|process| process.place().role == role).count();
    let (nodes, servers) = (of_role(Role::Authority), of_role(Role::StorageServer));
    println!(
        "
Bursar is ready: {nodes} authority nodes{with_storage}.

{processes}
  URL          {url}
  token        {token}
  credentials  {file}

Try, in another terminal:

  export BURSAR_URL={urls}
  export BURSAR_TOKEN_FILE={token_file}

{commands}
So that every terminal knows it, without the two lines above:

  {program} login --context demo --credentials-file {file}

Ctrl-C ends the demo; the next start continues from its data.",
        with_storage = with_storage(servers, store_points),
        processes = in_columns(processes.iter().map(|process| [process.place().to_string(), told(process)])),
        url = credentials.url,
        urls = credentials.urls.join(","),
        token = credentials.token.expose(),
        token_file = credentials::token_file(folder).display(),
        file = credentials::file(folder).display(),
        commands = in_columns(to_try(servers > 0)),
        program = program(),
    );
}

/// How much storage there is: people may have removed some of what the demo has made, or added to it.
fn with_storage(servers: usize, store_points: usize) -> String {
    let some = |count, what| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    match servers {
        0 => String::new(),
        servers => format!(" and {} with {}", some(servers, "storage server"), some(store_points, "store point")),
    }
}

/// Where a process is found: its number, its ports, its log.
fn told(process: &Process) -> String {
    let ports = match process.addresses() {
        Addresses::Authority { api, peer, control } => {
            format!("API {}, peer {}, control {}", port_of(api), peer.port(), control.port())
        }
        Addresses::StorageServer { peer, transfer, control } => {
            format!("peer {}, transfer {}, control {}", peer.port(), transfer.port(), control.port())
        }
    };
    format!("pid {}, {ports}, {}", process.pid(), process.place().log().display())
}

/// The port of a URL without a path.
fn port_of(api: &str) -> &str {
    api.rsplit_once(':').map_or(api, |(_, port)| port)
}

/// Commands, and what each does.
fn to_try(has_storage: bool) -> Vec<[String; 2]> {
    let storage =
        [("server list", "the storage servers, and whether they answer"), ("store-point list", "where they keep archives")];
    let first = [("status", "how the cluster fares"), ("destination list", "what there is")];
    let last = [
        ("destination add --site 2 Archive", "something new"),
        ("event watch", "everything as it happens"),
        ("cluster transfer-leadership --yes", "another node leads, nothing is lost"),
    ];
    let commands = first.into_iter().chain(storage.into_iter().filter(|_| has_storage)).chain(last);
    commands.map(|(words, does)| [format!("{} {words}", program()), does.to_owned()]).collect()
}

/// Lines of two columns.
fn in_columns(lines: impl IntoIterator<Item = [String; 2]>) -> String {
    let lines: Vec<_> = lines.into_iter().collect();
    let width = lines.iter().map(|[left, _]| left.chars().count()).max().unwrap_or_default();
    lines.iter().map(|[left, right]| format!("  {left:width$}  {right}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_counts_what_is_there() {
        assert_eq!(with_storage(0, 0), "");
        assert_eq!(with_storage(2, 2), " and 2 storage servers with 2 store points");
        assert_eq!(with_storage(1, 0), " and 1 storage server with 0 store points");
    }

    #[test]
    fn without_storage_servers_nothing_is_said_of_them() {
        let commands = |has_storage| in_columns(to_try(has_storage));
        assert!(commands(true).contains("store-point list") && !commands(false).contains("store-point list"));
        assert_eq!(commands(true).lines().count(), commands(false).lines().count() + 2);
    }
}
