//! A storage server, running or stopped: its files, the directories of its store points, its ports, and what the authority says.

mod standing;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use bursar_agent::{DataDirectory, DirectoryError, Listen, Membership, Place, Saved, Server, Settings};
use bursar_domain::{
    AuthorityNodeId, Projection, StorePointId,
    encoding::decode,
    projection::{Making, SCHEMA, StorePoint},
    store_point::{Intent, OfflineReason},
};
use bursar_net::{Address, FileError, Network};
use tokio::time::timeout;

use super::report::{Finding, Report};
use crate::World;
use standing::Standing;

/// How long a disk may take to answer.
const DISK_PATIENCE: Duration = Duration::from_secs(5);
/// How long a port may take to be connected to.
const PORT_PATIENCE: Duration = Duration::from_secs(3);

/// What there is to know of a server that has no identity.
const LOST_IDENTITY: &str = "identity.toml is missing, and other files of a storage server are there: where `bursar storage-server init` \
                             was interrupted run it again, else restore it from a backup";

/// Examines the server, and changes nothing of it.
pub async fn examine(world: &World, root: &Path, report: &mut Report) {
    let directory = match DataDirectory::open(Arc::clone(&world.files), root) {
        Ok(directory) => directory,
        Err(DirectoryError::Empty(_)) => return report.add(Finding::bad("identity", LOST_IDENTITY)),
        Err(error) => return report.add(Finding::bad("data directory", error.to_string())),
    };
    // Kept, so that nobody starts a server while it is looked at.
    let lock = directory.lock();
    let runs = match &lock {
        Ok(_held) => false,
        Err(DirectoryError::File(FileError::Locked { .. })) => true,
        Err(error) => return report.add(Finding::bad("data directory", error.to_string())),
    };
    let held = if runs { "held by the running server" } else { "no server runs in it" };
    report.add(Finding::sound("data directory", format!("its owner's alone, {held}")));
    let settings = directory.settings();
    report.add(Finding::of("settings", settings.as_ref().map(told_of_settings)));
    let server = directory.server();
    report.add(Finding::of("identity", server.as_ref().map(told_of_server)));
    match server {
        Ok(server) => examine_what_it_keeps(world, &directory, &server, runs, report).await,
        Err(_) => {
            report.add(Finding::bad("other files", "not examined: only the identity tells whose they must be; mend it first"))
        }
    }
    if let Ok(settings) = settings {
        examine_ports(world, &settings.listen, runs, report).await;
    }
}

fn told_of_settings(settings: &Settings) -> String {
    format!("“{}”, reached at {}", settings.name, settings.advertised.primary)
}

/// Reading who it is has compared its key, its certificate and the proof of the license key with one another.
fn told_of_server(server: &Server) -> String {
    format!("storage server {}; key, certificate and license proof belong together", server.identity.guid)
}

async fn examine_what_it_keeps(world: &World, directory: &DataDirectory, server: &Server, runs: bool, report: &mut Report) {
    let membership = directory.membership(server);
    let is_newcomer = matches!(membership, Ok(None));
    report.add(Finding::of("membership", membership.as_ref().map(|found| told_of_membership(found.as_ref()))));
    if is_newcomer {
        let standing = directory.standing();
        report.add(Finding::of(
            "connection string",
            standing.map(|standing| match standing {
                Some(standing) => format!("one stands until {}", standing.expires_at),
                None => "none stands; `bursar storage-server connection-string` issues one".to_owned(),
            }),
        ));
    }
    let saved = directory.projection_file(server).load().map_err(|error| error.to_string());
    let known = saved.and_then(known);
    report.add(Finding::of("fleet as it knows it", known.as_ref().map(|known| told_of_known(known.as_ref()))));
    let made = directory.store_points_made(server);
    report.add(Finding::of("directories made", made.as_ref().map(told_of_made)));
    let Ok(Some(membership)) = membership else { return };
    let known = known.ok().flatten().map(|(projection, _)| projection);
    if let Some(projection) = &known {
        examine_store_points(world, &membership, &projection.store_points, &made.unwrap_or_default(), report).await;
    }
    let nodes = known.map(|projection| control_addresses(&projection)).filter(|nodes| !nodes.is_empty());
    let nodes = nodes.unwrap_or_else(|| membership.authority.clone());
    report.add(match directory.was_excluded() {
        Ok(was_excluded) => {
            let standing = Standing::asked(world, &membership, &nodes).await;
            standing.finding(membership.server, was_excluded, runs, directory.root())
        }
        Err(error) => Finding::bad("authority", error.to_string()),
    });
}

/// Where the authority nodes listen, as far as the server can dial it.
fn control_addresses(known: &Projection) -> BTreeMap<AuthorityNodeId, Address> {
    known.authority.iter().filter_map(|(node, listens)| Some((*node, listens.control.as_str().parse().ok()?))).collect()
}

fn told_of_membership(membership: Option<&Membership>) -> String {
    match membership {
        Some(membership) => format!("{} of cluster {}", membership.server, membership.cluster),
        None => "no cluster has taken it in yet, as far as it knows".to_owned(),
    }
}

/// What it knows of the fleet, and as of when. What has another shape than this program's is not wrong: it is read anew.
fn known(saved: Option<Saved>) -> Result<Option<(Projection, String)>, String> {
    let Some(Saved { position, schema, projection }) = saved else { return Ok(None) };
    if schema != u32::from(SCHEMA) {
        return Ok(None);
    }
    let projection = decode(&projection).map_err(|error| format!("it cannot be decoded: {error}; remove the file"))?;
    Ok(Some((projection, position.to_string())))
}

fn told_of_known(known: Option<&(Projection, String)>) -> String {
    match known {
        Some((projection, position)) => {
            let (server, store_points) = (projection.server, projection.store_points.len());
            format!("{server} with store points: {store_points}, as of event {position} (projection)")
        }
        None => "nothing yet; it is read from the authority".to_owned(),
    }
}

fn told_of_made(made: &BTreeSet<StorePointId>) -> String {
    if made.is_empty() {
        return "none yet (made.toml)".to_owned();
    }
    let made: Vec<_> = made.iter().map(|store_point| store_point.0.to_string()).collect();
    format!("those of store points {} (made.toml)", made.join(", "))
}

async fn examine_store_points(
    world: &World,
    membership: &Membership,
    store_points: &BTreeMap<StorePointId, StorePoint>,
    made: &BTreeSet<StorePointId>,
    report: &mut Report,
) {
    for (id, store_point) in store_points.iter().filter(|(_, store_point)| store_point.intent != Intent::Retired) {
        let directory = store_point.path.child(&store_point.directory);
        let who = format!("{} “{}” at {directory}", id.0, store_point.name);
        let is_made = store_point.making == Making::Done || made.contains(id);
        report.add(match store_point.making {
            Making::Failed => Finding::bad("store point", format!("{who} could not be made: remove it, and make another one")),
            _ if !is_made => Finding::sound("store point", format!("{who} is still to be made")),
            _ => match look(world, membership, *id, store_point).await {
                Ok(()) => Finding::sound("store point", format!("{who} is there")),
                Err(why) => {
                    Finding::bad("store point", format!("{who} {why}: look at the disk, the array or the volume, and mount it"))
                }
            },
        });
    }
}

/// Whether the directory of a store point is there and its own. A disk that hangs is left alone.
async fn look(world: &World, membership: &Membership, id: StorePointId, store_point: &StorePoint) -> Result<(), String> {
    let place = Place::of(membership, id, store_point);
    let volumes = Arc::clone(&world.volumes);
    let looking = world.loose.run(move || place.look(&*volumes));
    match timeout(DISK_PATIENCE, looking).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(OfflineReason::Missing))) => Err("is missing".to_owned()),
        Ok(Ok(Err(OfflineReason::ForeignIdentity))) => {
            Err("is not the one that was made for it: it bears another identity, or none".to_owned())
        }
        Ok(Ok(Err(reason @ (OfflineReason::ReadOnly | OfflineReason::IoFailing)))) => {
            Err(format!("cannot be looked at ({reason})"))
        }
        Ok(Err(lost)) => Err(format!("could not be looked at ({lost})")),
        Err(_elapsed) => Err("does not answer".to_owned()),
    }
}

async fn examine_ports(world: &World, listen: &Listen, runs: bool, report: &mut Report) {
    for (what, address) in [("peer port", &listen.peer), ("transfer port", &listen.transfer), ("control port", &listen.control)] {
        report.add(if runs {
            served_port(&*world.network, what, address).await
        } else {
            vacant_port(&*world.network, what, address).await
        });
    }
}

/// A port of a server that runs: somebody has it. It is only called: the server may be starting, and about to take it.
async fn served_port(network: &dyn Network, what: &'static str, address: &Address) -> Finding {
    match timeout(PORT_PATIENCE, network.connect(&called_here(address))).await {
        Ok(Ok(_connection)) => Finding::sound(what, format!("{address} is in use, as it should be while the server runs")),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let remedy = "where it was started just now look again in a moment, else see its log";
            Finding::bad(what, format!("the server runs, and nobody listens on {address}: {remedy}"))
        }
        Ok(Err(error)) => Finding::bad(what, format!("the server runs, and {address} is not reached ({error}): see its log")),
        Err(_elapsed) => {
            let patience_s = PORT_PATIENCE.as_secs();
            Finding::bad(what, format!("the server runs, and {address} does not answer within {patience_s} s: see its log"))
        }
    }
}

/// Where an address that is listened on is called from the machine itself.
fn called_here(address: &Address) -> Address {
    let loopback = if address.host().contains(':') { "::1" } else { "127.0.0.1" };
    let host = if address.is_unspecified() { loopback } else { address.host() };
    Address::new(host, address.port()).expect("a host that was one, or this machine")
}

/// A port of a server that does not run: nobody has it, and it can be listened on. It is taken to find out, and given back at once;
/// the server cannot be started meanwhile, as its directory is held.
async fn vacant_port(network: &dyn Network, what: &'static str, address: &Address) -> Finding {
    match network.bind(address).await {
        Ok(_listener) => Finding::sound(what, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let remedy = "end it, or choose another port in bursar.toml";
            Finding::bad(what, format!("{address} is in use by another program: {remedy}"))
        }
        Err(error) => Finding::bad(what, format!("nobody can listen on {address} ({error}): correct it in bursar.toml")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use async_trait::async_trait;
    use bursar_net::{BoxedStream, Listener, TcpNetwork};

    use super::*;

    /// A network of which no port is taken.
    struct CallsOnly;

    #[async_trait]
    impl Network for CallsOnly {
        async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
            TcpNetwork.connect(address).await
        }

        async fn bind(&self, address: &Address) -> io::Result<Box<dyn Listener>> {
            panic!("{address} is taken")
        }
    }

    #[tokio::test]
    async fn a_port_of_a_server_that_may_be_starting_is_not_taken() {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
        let address = Address::from(listener.local_addr().expect("it listens"));
        let served = async || served_port(&CallsOnly, "peer port", &address).await;
        let there = served().await;
        assert!(there.is_sound() && there.detail().contains("is in use, as it should be"), "{}", there.detail());
        drop(listener);
        let missing = served().await;
        let told = missing.detail();
        assert!(!missing.is_sound() && told.contains("nobody listens") && told.contains("look again in a moment"), "{told}");
    }
}
