//! Whether a machine is on one local network with the servers of the destination that it is meant for.
//!
//! A connection stands after one round trip, so the time that it takes is the latency. Of several measurements the least counts:
//! a machine that is busy makes them longer, and nothing makes them shorter.

use std::fmt;

/// The longest round trip on one local network, or within one data centre, in microseconds.
const LAN_US_MAX: u64 = 10_000;

/// How long connecting took, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latencies {
    /// Between the machine and servers of the destination, whoever connected.
    pub between: Vec<u64>,
    /// From here to the machine.
    pub to_machine: Vec<u64>,
    /// From here to servers of the destination.
    pub to_servers: Vec<u64>,
}

/// A machine is farther from the servers of its destination than a local network is wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    /// As was measured between them.
    Measured {
        /// The least round trip, in microseconds.
        between_us: u64,
    },
    /// As follows from what was measured from here: by as much as two round trips from one place differ, the ends are apart.
    Inferred {
        /// The least round trip to the machine, in microseconds.
        to_machine_us: u64,
        /// The least round trip to a server of the destination, in microseconds.
        to_servers_us: u64,
    },
}

impl Latencies {
    /// Whether the machine is too far away; nothing where it is near, or nothing was measured.
    pub(crate) fn unlike_one_network(&self) -> Option<Far> {
        let least = |measured: &[u64]| measured.iter().copied().min();
        if let Some(between_us) = least(&self.between) {
            return (between_us > LAN_US_MAX).then_some(Far::Measured { between_us });
        }
        let (to_machine_us, to_servers_us) = (least(&self.to_machine)?, least(&self.to_servers)?);
        (to_machine_us.abs_diff(to_servers_us) > LAN_US_MAX).then_some(Far::Inferred { to_machine_us, to_servers_us })
    }
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us.div_ceil(1_000);
        match *self {
            Self::Measured { between_us } => {
                write!(f, "{} ms lie between the machine and the servers of the destination", ms(between_us))
            }
            Self::Inferred { to_machine_us, to_servers_us } => write!(
                f,
                "from the authority it is {} ms to the machine, and {} ms to the servers of the destination",
                ms(to_machine_us),
                ms(to_servers_us)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far(between: &[u64], to_machine: &[u64], to_servers: &[u64]) -> Option<Far> {
        let [between, to_machine, to_servers] = [between, to_machine, to_servers].map(<[u64]>::to_vec);
        Latencies { between, to_machine, to_servers }.unlike_one_network()
    }

    #[test]
    fn what_was_measured_between_them_counts_and_the_least_of_it() {
        assert_eq!(far(&[10_000], &[], &[]), None);
        assert_eq!(far(&[80_000, 400], &[], &[]), None, "one of them was busy");
        assert_eq!(far(&[80_000, 31_000], &[200], &[200]), Some(Far::Measured { between_us: 31_000 }));
        assert_eq!(far(&[300], &[200], &[90_000]), None, "the authority may be anywhere");
    }

    #[test]
    fn where_nothing_was_it_follows_from_what_is_measured_from_here() {
        assert_eq!(far(&[], &[40_000], &[41_000, 90_000]), None, "both are as far from here, and may be together");
        let inferred = Some(Far::Inferred { to_machine_us: 40_000, to_servers_us: 500 });
        assert_eq!(far(&[], &[40_000], &[500]), inferred);
        assert_eq!(far(&[], &[500], &[40_000]).is_some(), inferred.is_some(), "either may be the one that is far away");
        for (to_machine, to_servers) in [(&[][..], &[500][..]), (&[40_000][..], &[][..]), (&[][..], &[][..])] {
            assert_eq!(far(&[], to_machine, to_servers), None, "nothing to compare");
        }
    }
}
