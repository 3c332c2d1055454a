//! Points in time, as the leader stamps them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC. Within a journal it never goes back: decide takes the later of the proposal's
/// stamp and the last record's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The last point in time that four digits of a year can name: 9999-12-31T23:59:59.999Z.
    pub const LAST_WRITABLE: Self = Self(253_402_300_799_999);

    /// This point plus `milliseconds`, or the end of time.
    #[must_use]
    pub const fn plus_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to here; 0 where `earlier` is later.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// RFC 3339 in UTC with milliseconds, for instance `2031-05-17T08:30:00.000Z`. What lies behind the year 9999 is shown as its
/// end.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = (*self).min(Self::LAST_WRITABLE).0;
        let (year, month, day) = date(at / DAY_MS);
        let (hour, minute) = (at % DAY_MS / HOUR_MS, at % HOUR_MS / MINUTE_MS);
        let (second, millisecond) = (at % MINUTE_MS / SECOND_MS, at % SECOND_MS);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

/// Year, month and day of a day, counted from 1970-01-01: `civil_from_days` of Howard Hinnant's "chrono-Compatible Low-Level
/// Date Algorithms" (<https://howardhinnant.github.io/date_algorithms.html>). It counts years from March on, so that the leap
/// day is a year's last, and in eras of 400 years, which all have as many days.
const fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_YEAR_0_TO_1970: u64 = 719_468;
    const DAYS_OF_ERA: u64 = 146_097;
    let days = days + DAYS_FROM_YEAR_0_TO_1970;
    let (era, day_of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) = if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    use super::*;

    #[test]
    fn a_point_in_time_is_written_in_utc_with_milliseconds() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (Timestamp::LAST_WRITABLE.0, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(milliseconds).to_string(), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_reads_back(milliseconds in 0..=Timestamp::LAST_WRITABLE.0) {
            let text = Timestamp(milliseconds).to_string();
            let read = OffsetDateTime::parse(&text, &Rfc3339).expect("RFC 3339");
            prop_assert_eq!(read.unix_timestamp_nanos(), i128::from(milliseconds) * 1_000_000, "{}", text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let days = Timestamp::LAST_WRITABLE.0 / DAY_MS;
        let mut before = (1969, 12, 31);
        for day in (0..=days).map(date) {
            let (year, month, day_of_month) = before;
            let follows = day == (year, month, day_of_month + 1)
                || day_of_month >= 28 && (day == (year, month + 1, 1) || (month == 12 && day == (year + 1, 1, 1)));
            assert!(follows, "{day:?} behind {before:?}");
            before = day;
        }
        assert_eq!(before, (9999, 12, 31));
    }
}
