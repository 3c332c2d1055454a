//! What must hold, whatever goes wrong: one file each.
//!
//! Each looks at the fleet again and again while it runs, and only at what is new; at the end, when everything that goes wrong is
//! over and the fleet had time, it looks at all of it.

mod alarms;
mod decisions;
mod endings;
mod journals;
mod leaders;
mod leaks;
mod open_alerts;
mod projections;
mod promotions;
mod second_lives;
mod streams;
mod terms;
mod told;
mod votes;

use std::collections::BTreeSet;
use std::fmt;

use crate::fleet::Fleet;
use crate::followers::Follower;
use crate::overview::Overview;
use crate::verdict::Broken;
use crate::world::World;

pub use alarms::Alarms;
pub use decisions::Decisions;
pub use endings::Endings;
pub use journals::Journals;
pub use leaders::Leaders;
pub use open_alerts::OpenAlerts;
pub use projections::Projections;
pub use promotions::Promotions;
pub use second_lives::SecondLives;
pub use streams::Streams;
pub use terms::Terms;
pub use votes::Votes;

/// What went wrong so far, as far as it excuses what would be a failure otherwise.
pub trait Excuses {
    /// Whether this process, or its way to those that count its heartbeats, was so disturbed within the last so many milliseconds that
    /// they may not have heard it.
    fn is_disturbed(&self, process: &str, within_ms: u64) -> bool;

    /// Whether the own disk of the process's machine has failed it lately, or it has lost what it kept there: a node stops then, and may
    /// not come back by itself, and a server may know something else than it was told. Disks for archives end nobody.
    fn ended_for_its_disk(&self, process: &str) -> bool;

    /// Whether the disk for archives at this path of the process's machine has ever failed, hung, or been somewhere else: whoever looks
    /// after it may tell of it late.
    fn disk_ever_failed(&self, process: &str, path: &str) -> bool;
}

/// Who looks on over the API, and has seen what it shows.
#[derive(Clone, Copy, Default)]
pub struct Onlookers<'o> {
    /// Those who follow the events.
    pub followers: &'o [Follower],
    /// Who looks after alerts, once the fleet is set up.
    pub overview: Option<&'o Overview>,
}

/// All invariants of a run.
#[derive(Debug, Default)]
pub struct Invariants {
    /// Of the journals, in which everybody else's history is looked up.
    pub journals: Journals,
    decisions: Decisions,
    leaders: Leaders,
    terms: Terms,
    votes: Votes,
    promotions: Promotions,
    streams: Streams,
    endings: Endings,
    alarms: Alarms,
    open_alerts: OpenAlerts,
    second_lives: SecondLives,
    projections: Projections,
}

impl Invariants {
    /// Looks at what is new.
    pub fn look(&mut self, fleet: &Fleet, onlookers: Onlookers<'_>, excuses: &dyn Excuses) -> Result<(), Broken> {
        // Who votes and leads as nobody may is told of before what comes of it.
        let told = told::take_from(fleet);
        self.votes.look(fleet, &told)?;
        self.leaders.look(fleet, &told)?;
        self.terms.look(fleet, &told)?;
        self.journals.look(fleet)?;
        self.decisions.look(&self.journals, fleet)?;
        self.promotions.look(fleet)?;
        self.second_lives.look(fleet)?;
        self.streams.look(&self.journals, onlookers.followers)?;
        self.endings.look(fleet, excuses)?;
        self.alarms.look(&self.journals, fleet, excuses)?;
        if let Some(overview) = onlookers.overview {
            self.open_alerts.look(&self.journals, overview)?;
        }
        leaks::look(&fleet.secrets)
    }

    /// Looks whether all have come to where they should be, of a fleet that had time and in which nothing is wrong with these processes;
    /// the others are as good as not there.
    pub fn look_at_the_end(&mut self, fleet: &Fleet, core: &BTreeSet<&str>) -> Result<(), Broken> {
        self.journals.look_at_the_end(fleet, core)?;
        self.streams.look_at_the_end(&self.journals)?;
        self.open_alerts.look_at_the_end(&self.journals)?;
        // Who is left broken may be the only one who could tell what somebody was shown.
        if fleet.processes().all(|(_, process)| core.contains(process)) {
            self.decisions.look_at_what_is_left()?;
            self.streams.look_at_what_is_left()?;
            self.open_alerts.look_at_what_is_left()?;
        }
        self.projections.look_at_the_end(&self.journals, fleet, core)
    }

    /// Reads everything that rests at the nodes of these processes, and looks at what they hold as a whole.
    pub fn verify(&self, fleet: &Fleet, core: &BTreeSet<&str>) -> Result<(), Broken> {
        self.journals.verify(fleet, core)
    }

    /// Looks through all that was said, and through all disks, of a world in which everything is over.
    pub fn look_for_secrets(&self, fleet: &Fleet, world: &World) -> Result<(), Broken> {
        fleet.confess_the_authoritys_key(self.journals.state());
        let machines = world.hosts.values().map(|host| (host.name(), host.disks()));
        leaks::look_at_the_end(&fleet.secrets, &world.trace.said(), machines)
    }
}

fn broken(invariant: &'static str, detail: impl fmt::Display) -> Broken {
    Broken::new(invariant, detail)
}
