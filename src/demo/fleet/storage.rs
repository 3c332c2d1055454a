//! The demo's storage servers: made, taken into one destination by their connection strings, and given a store point each.

use std::sync::Arc;

use bursar_agent::{DataDirectory, Issued, Making, issue, make};
use bursar_domain::ServerGuid;
use bursar_net::{DiskFiles, Files, MasterLicenseKey, SystemClock, SystemEntropy};
use bursar_wire::{
    Secret,
    client::{Change, Client, ClientError},
    destinations::{CreateDestination, Destination},
    page::PAGE_ITEMS_MAX,
    query::{ListQuery, ReadQuery},
    servers::{self, AddServer, ServerCondition, ServerDetails},
    sites::{CreateSite, Site},
    store_points::{CreateStorePoint, StorePoint, StorePointCondition},
};
use serde::de::DeserializeOwned;

use super::Fleet;
use crate::{
    demo::{DemoError, places::Place, process::Process, survey::Server},
    license::read_license_key,
};

/// Where the first node keeps the master license key, within its data directory.
const LICENSE_FILE: &str = "license.key";

/// A storage server that runs.
struct Started {
    place: Place,
    /// Which of the processes it is.
    process: usize,
    guid: ServerGuid,
    /// What it is to be introduced with, where the authority does not know it yet.
    connection_string: Option<Secret>,
}

impl Fleet {
    /// Starts the storage servers that there are, and makes the others. Returns once each of them is heard of and has a store
    /// point.
    pub(super) async fn start_storage(&mut self, client: &Client) -> Result<(), DemoError> {
        let destination = furnish(client).await?;
        let known: Vec<servers::Server> = present_and_former(client, "servers").await?;
        let mut started = Vec::new();
        for index in 0..self.survey.servers.len() {
            started.extend(self.start_server(index, &known)?);
        }
        for server in &started {
            if let Some(connection_string) = server.connection_string.clone() {
                self.tell(&format!("{} is introduced to the authority", server.place));
                let adding = AddServer { connection_string, name: None };
                client.post(&format!("destinations/{destination}/servers"), &adding, Change::default()).await?;
            }
        }
        let known: Vec<servers::Server> = list(client, "servers", None).await?;
        for server in &started {
            let Some(id) = id_of(&known, server.guid) else { return Err(DemoError::NotTakenIn { server: server.place.clone() }) };
            self.processes[server.process].is_known_as(id);
            self.wait_until_heard_of(client, server, id).await?;
        }
        self.give_store_points(client, &started).await
    }

    /// Starts a storage server; makes it where it is missing. One that was removed from the fleet, or replaced, stays where it is.
    fn start_server(&mut self, index: usize, known: &[servers::Server]) -> Result<Option<Started>, DemoError> {
        let server = &self.survey.servers[index];
        let place = server.place.clone();
        let (guid, connection_string) = match server.guid {
            None => {
                self.tell(&format!("making {place}"));
                let Issued { line, says } = self.make_server(server)?;
                (says.guid, Some(line))
            }
            Some(guid) => match known.iter().find(|known| is(known, guid) || was(known, guid)) {
                Some(known) if is_removed(known, guid) => {
                    let directory = place.directory.display();
                    self.tell(&format!("leaving out {place}, which the fleet has removed; without {directory} another is made"));
                    return Ok(None);
                }
                Some(_) => (guid, None),
                // An earlier start was interrupted before it told the authority of the server.
                None => {
                    let directory = DataDirectory::open(Arc::new(DiskFiles), &place.directory)?;
                    let Issued { line, says } = issue(&directory, &SystemClock, &SystemEntropy::new())?;
                    (says.guid, Some(line))
                }
            },
        };
        self.tell(&format!("starting {place}"));
        let process = Process::start_server(server)?;
        self.processes.push(process);
        Ok(Some(Started { place, process: self.processes.len() - 1, guid, connection_string }))
    }

    fn make_server(&self, server: &Server) -> Result<Issued, DemoError> {
        let license = self.survey.nodes[0].place.directory.join(LICENSE_FILE);
        let license_key: MasterLicenseKey = read_license_key(&DiskFiles, &license).map_err(|_| DemoError::License(license))?;
        let making = Making {
            directory: &server.place.directory,
            settings: server.settings.clone(),
            license_key: &license_key,
            files: Arc::new(DiskFiles),
            clock: &SystemClock,
            entropy: &SystemEntropy::new(),
        };
        Ok(make(making)?)
    }

    /// Waits until the authority hears of a server, which is a member then.
    async fn wait_until_heard_of(&mut self, client: &Client, server: &Started, id: u64) -> Result<(), DemoError> {
        self.tell(&format!("waiting until the authority hears of {}", server.place));
        let path = format!("servers/{id}");
        self.wait_for(&format!("the authority does not hear of {}", server.place), async || {
            let Some(details) = client.get(&path, &ReadQuery::default()).await.ok() else { return Ok(false) };
            let details: ServerDetails = details.json()?;
            match details.server.condition {
                ServerCondition::Excluded => Err(DemoError::NotTakenIn { server: server.place.clone() }),
                condition => Ok(condition == ServerCondition::Online && details.observed.is_some()),
            }
        })
        .await
    }

    /// Gives a store point to each server that never had one, on what stands for a disk of its own; returns once all are made.
    async fn give_store_points(&mut self, client: &Client, started: &[Started]) -> Result<(), DemoError> {
        let had: Vec<StorePoint> = present_and_former(client, "store-points").await?;
        for server in started {
            let id = self.processes[server.process].id();
            if had.iter().any(|store_point| store_point.server == id) {
                continue;
            }
            let disk = self.folder.join(format!("disk-{}", server.place.number));
            DiskFiles.create_directory(&disk)?;
            let name = format!("Disk {}", server.place.number);
            self.tell(&format!("store point {name} for {}", server.place));
            let making = CreateStorePoint { name, path: disk.display().to_string(), ..CreateStorePoint::default() };
            client.post(&format!("servers/{id}/store-points"), &making, Change::default()).await?;
        }
        let own: Vec<_> = started.iter().map(|server| self.processes[server.process].id()).collect();
        self.wait_for("a store point is not made", async || {
            let store_points: Vec<StorePoint> = list(client, "store-points", None).await?;
            let mut being_made = store_points.iter().filter(|made| made.condition == StorePointCondition::Creating);
            Ok(!being_made.any(|store_point| own.contains(&store_point.server)))
        })
        .await?;
        let store_points: Vec<StorePoint> = list(client, "store-points", None).await?;
        self.store_points = store_points.iter().filter(|store_point| own.contains(&store_point.server)).count();
        Ok(())
    }
}

/// The destination for storage servers: the first that there is. Where there is none, one is made, with two sites.
async fn furnish(client: &Client) -> Result<u64, ClientError> {
    let destinations: Vec<Destination> = list(client, "destinations", None).await?;
    if let Some(first) = destinations.first() {
        return Ok(first.id);
    }
    let dublin = site(client, "Dublin", 2).await?;
    site(client, "Frankfurt", 12).await?;
    let making = CreateDestination { name: "Main".into(), site: dublin, ..CreateDestination::default() };
    Ok(client.post("destinations", &making, Change::default()).await?.json::<Destination>()?.id)
}

/// The site of this name, which is made where there is none.
async fn site(client: &Client, name: &str, expected_latency_ms: u32) -> Result<u64, ClientError> {
    let sites: Vec<Site> = list(client, "sites", Some(format!("name={name}"))).await?;
    if let Some(site) = sites.first() {
        return Ok(site.id);
    }
    let making = CreateSite { name: name.into(), expected_latency_ms };
    Ok(client.post("sites", &making, Change::default()).await?.json::<Site>()?.id)
}

/// All objects of a kind, those too that are there no more.
pub(super) async fn present_and_former<T: DeserializeOwned>(client: &Client, path: &str) -> Result<Vec<T>, ClientError> {
    let mut all = list(client, path, None).await?;
    all.extend(list::<T>(client, path, Some("present=false".to_owned())).await?);
    Ok(all)
}

/// The objects of a kind: as many as fit a page, which is more than anybody tries out.
async fn list<T: DeserializeOwned>(client: &Client, path: &str, filter: Option<String>) -> Result<Vec<T>, ClientError> {
    let query = ListQuery { limit: Some(PAGE_ITEMS_MAX), filter, ..ListQuery::default() };
    Ok(client.page(path, &query).await?.items)
}

fn is(server: &servers::Server, guid: ServerGuid) -> bool {
    server.guid == guid.to_string()
}

/// Whether another machine has taken its place.
fn was(server: &servers::Server, guid: ServerGuid) -> bool {
    server.former_guids.contains(&guid.to_string())
}

/// Whether a machine that had, or has, the place of this server is no part of the fleet any more.
pub(super) fn is_removed(server: &servers::Server, guid: ServerGuid) -> bool {
    was(server, guid) || is(server, guid) && server.condition == ServerCondition::Excluded
}

fn id_of(known: &[servers::Server], guid: ServerGuid) -> Option<u64> {
    known.iter().find(|known| is(known, guid)).map(|known| known.id)
}
