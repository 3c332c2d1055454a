//! The whole fleet in one seed: a world of simulated machines in which the production code runs, bit by bit the same each time.
//!
//! The program takes its network, clock, disks, randomness and blocking work as parts (see [`bursar_net`]). Here are parts that are
//! functions of a seed, all on one thread whose time passes only where nothing happens:
//!
//! | module | what it is |
//! |---|---|
//! | [`plan`] | what is to happen: a seed expands to it, and it can be kept, made smaller and run again |
//! | [`world`] | the machines of a plan and who lives there: the way in |
//! | [`nemesis`] | does to them what the plan says |
//! | [`host`] | a machine: power, processes, and the parts that these are given |
//! | [`network`], [`clear`], [`disk`], [`clock`], [`entropy`], [`blocking`] | the parts |
//! | [`calls`], [`points`] | what befalls processes from within: their calls, and named points of the code |
//! | [`befallen`], [`panics`] | what went wrong so far: as planned, and as it never should |
//! | [`trace`] | what happened, as a hash and as lines |
//! | [`coverage`], [`variants`] | what a run has exercised, and all that there is to exercise |
//! | [`timeline`] | a trace for people: a column a machine |
//! | [`draws`] | chance: a stream for each name |
//! | [`runtime`], [`shim`] | the thread, and its doors to the operating system, which are shut |
//! | [`command`], [`report`] | `bursar-simulate`, and what it says of a run |
//! | [`shrink`] | fewer items of a plan that fail alike |
//!
//! Who lives in a world is [`world::Inhabitants`]: what the machines run, what clients ask of them, and what must hold. That is the fleet
//! of production:
//!
//! | module | what it is |
//! |---|---|
//! | [`production`] | the inhabitants, put together: read it first |
//! | [`fleet`] | authority nodes and storage servers, founded by the programs of production |
//! | [`workload`], [`followers`], [`overview`] | operators and programs, and what they see |
//! | [`secrets`] | what must be read nowhere but where it is kept |
//! | [`chronicle`] | what the fleet itself recorded, told in the trace |
//! | [`invariants`], [`verdict`], [`disturbances`] | what must hold, how it is told that it does not, and what excuses that |
//! | [`history`] | the judges of what everybody saw |

pub mod befallen;
pub mod blocking;
pub mod calls;
pub mod chronicle;
pub mod clear;
pub mod clock;
pub mod command;
pub mod coverage;
pub mod disk;
pub mod disturbances;
pub mod draws;
pub mod entropy;
pub mod fleet;
pub mod followers;
pub mod history;
pub mod host;
pub mod invariants;
pub mod nemesis;
pub mod network;
pub mod overview;
pub mod panics;
pub mod plan;
pub mod points;
pub mod production;
pub mod report;
pub mod runtime;
pub mod secrets;
pub mod shim;
pub mod shrink;
pub mod timeline;
pub mod trace;
pub mod variants;
pub mod verdict;
pub mod workload;
pub mod world;
