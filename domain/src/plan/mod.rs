//! Planners: pure functions from what is known to what to do next. Duties drive them and hold no truth of their own.

pub mod failure_detection;
pub mod membership;
