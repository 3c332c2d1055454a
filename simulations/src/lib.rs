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
//! | [`draws`] | chance: a stream for each name |
//! | [`runtime`], [`shim`] | the thread, and its doors to the operating system, which are shut |
//! | [`command`] | `bursar-simulate` |
//! | [`shrink`] | fewer items of a plan that fail alike |
//!
//! Who lives in a world is [`world::Inhabitants`]: what the machines run, what clients ask of them, and what must hold. That is the fleet
//! of production:
//!
//! | module | what it is |
//! |---|---|
//! | [`production`] | the inhabitants, put together: read it first |
//! | [`fleet`] | authority nodes and storage servers, founded by the programs of production |
//! | [`workload`], [`followers`] | operators and programs, and what they see |
//! | [`invariants`], [`disturbances`] | what must hold, and what excuses that something does not |
//! | [`history`] | the judges of what everybody saw |

pub mod befallen;
pub mod blocking;
pub mod calls;
pub mod clear;
pub mod clock;
pub mod command;
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
pub mod panics;
pub mod plan;
pub mod points;
pub mod production;
pub mod runtime;
pub mod shim;
pub mod shrink;
pub mod trace;
pub mod workload;
pub mod world;
