//! Histories of a fleet, for tests: of the domain, and of whatever keeps what it decides.
//!
//! ```
//! use bursar_domain_testing::{History, Ledger};
//!
//! let (mut history, mut ledger) = (History::new(7), Ledger::default());
//! for _ in 0..100 {
//!     let proposal = history.next(&ledger.state);
//!     ledger.put(&proposal);
//! }
//! assert_eq!(ledger.state.revision().0, ledger.journal.len() as u64);
//! ```

mod dice;
mod history;
mod ledger;

pub use dice::Dice;
pub use history::{History, SETUP_SECRET};
pub use ledger::Ledger;
