//! The judges, shown right histories and every way in which one can be wrong.

mod authority;
mod model;
mod random;
mod rules;
