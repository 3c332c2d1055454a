//! The parts of Bursar that touch the world, each a trait with a real form.
