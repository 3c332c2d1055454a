//! Named points of the code: where it hurts most that a process ends just there.
//!
//! A simulation hears of each passing, and may let the process go no further ([`Overseer`](crate::overseer::Overseer) in a build
//! that has one). In what is shipped a point is nothing at all.

/// Marks a point of the code by a name that no other point has; it may tell numbers, too, in an order that the simulation knows.
#[cfg(not(feature = "simulation"))]
#[macro_export]
macro_rules! point {
    ($name:literal $(, $number:expr)*) => {
        // What is told is looked at by the compiler, and goes no further.
        if false {
            let _told: &[u64] = &[$($number),*];
        }
    };
}

/// Marks a point of the code by a name that no other point has; it may tell numbers, too, in an order that the simulation knows.
#[cfg(feature = "simulation")]
#[macro_export]
macro_rules! point {
    ($name:literal $(, $number:expr)*) => {
        $crate::overseer::pass($name, &[$($number),*])
    };
}
