//! A server with those of its store points that are offline, and what is observed of it.

use bursar_wire::{
    servers::{Server, ServerCondition, ServerDetails},
    store_points::OfflineStorePoint,
};

use crate::{
    noun::Observed,
    nouns::store_points,
    output::{UNKNOWN, ago, or_dash},
    sizes,
};

impl Observed for ServerDetails {
    type Object = Server;
    const COLUMNS: &'static [&'static str] =
        &["id", "name", "destination", "condition", "intent", "store points", "used", "free", "version", "primary address"];
    const FILLED: usize = 6;

    fn object(&self) -> &Server {
        &self.server
    }

    /// What the archives of its store points take, and what their disks have left, as far as that is known.
    fn filled(&self) -> [String; 2] {
        let Some(observed) = self.observed.as_ref().filter(|observed| !observed.store_points.is_empty()) else {
            let nothing = if self.server.store_points == 0 { "-" } else { UNKNOWN };
            return [nothing; 2].map(str::to_owned);
        };
        let sums = observed
            .store_points
            .values()
            .fold([0_u64; 2], |[used, free], one| [used.saturating_add(one.used_bytes), free.saturating_add(one.free_bytes)]);
        sums.map(|sum| {
            let rest = if unfilled(self) > 0 { format!(" + {UNKNOWN}") } else { String::new() };
            let told = sizes::told(sum) + &rest;
            // What stands in parentheses says nothing of the present, as in the matrix of ports.
            if self.server.condition == ServerCondition::Online { told } else { format!("({told})") }
        })
    }

    fn observed(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        for OfflineStorePoint { id, name, path, condition } in &self.offline_store_points {
            all.push(("not online", format!("store point {id} “{name}” at {path}, {}", store_points::condition(condition))));
        }
        match (&self.observed, &self.observed_absent) {
            (Some(observed), _) => {
                all.push(("heard of", ago(observed.heard_ms_ago)));
                all.push(("has carried out", or_dash(observed.position.as_ref())));
                all.push(("ports it tried", format!("{}, {} not reached", observed.ports_tried, observed.ports_closed)));
            }
            (None, why) => all.push(("heard of", format!("not known: {}", why.as_deref().unwrap_or_default()))),
        }
        all
    }

    fn unobserved(&self) -> Option<String> {
        match &self.observed {
            _ if self.server.store_points == 0 => None,
            None => self.observed_absent.clone(),
            Some(_) => match unfilled(self) {
                0 => None,
                1 => Some("how one of its store points is filled is not known; bursar store-point list tells why".to_owned()),
                several => {
                    Some(format!("how {several} of its store points are filled is not known; bursar store-point list tells why"))
                }
            },
        }
    }
}

/// Of how many store points of a server that was heard of nobody knows how they are filled.
fn unfilled(server: &ServerDetails) -> u64 {
    let known = server.observed.as_ref().map_or(0, |observed| observed.store_points.len() as u64);
    server.server.store_points.saturating_sub(known)
}
