//! Why a plan is refused.

use super::VERSION;

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not the form of a plan.
    #[error("this is no plan: {0}; bursar-simulate run --seed 7 --plan FILE writes one to compare it with")]
    Malformed(#[from] serde_json::Error),
    /// Of another version.
    #[error("this plan has version {found}, and this program reads version {VERSION}: run it with the program that wrote it")]
    Version {
        /// What it says.
        found: u64,
    },
    /// It names what it does not have.
    #[error("this plan names {name:?}, and its topology has no {what} of that name")]
    Unknown {
        /// What should be called so.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Nothing could come of it for which the fleet is to blame.
    #[error("this plan {0}")]
    Senseless(String),
    /// It leaves broken what cannot be.
    #[error(
        "this plan leaves {kind} broken, which {why}: leave machines without power or cut off, processes killed or paused, disks failing"
    )]
    NotLeftBroken {
        /// What it leaves broken.
        kind: String,
        /// Why that cannot be.
        why: &'static str,
    },
    /// It leaves too few nodes whole.
    #[error("this plan leaves {whole} of {nodes} authority nodes whole, which is no majority: nobody could serve")]
    NoMajority {
        /// How many it leaves whole.
        whole: usize,
        /// How many there are.
        nodes: usize,
    },
    /// It names a point that the code does not have.
    #[error("this plan names the point {name:?}, and the code has none of that name: run it with the program that wrote it")]
    UnknownPoint {
        /// The name.
        name: String,
    },
}
