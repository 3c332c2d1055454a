//! Points in time and spans of the day, as people and programs write them.

use bursar_domain::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::FieldError;

/// RFC 3339 in UTC with milliseconds, for instance `2031-05-17T08:30:00.000Z`, as the ledger's own texts have it.
pub fn rfc3339(timestamp: Timestamp) -> String {
    timestamp.to_string()
}

/// Reads any RFC 3339 text, whatever its offset. `pointer` names the field in the error.
pub fn timestamp(pointer: &str, text: &str) -> Result<Timestamp, FieldError> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|at| u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok())
        .map(Timestamp)
        .ok_or_else(|| FieldError::new(pointer, "must be a point in time as in RFC 3339, for instance 2031-05-17T08:30:00Z"))
}

/// A minute of the day as `HH:MM`; minute 1440 is `24:00`.
pub fn minute_of_day(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Reads `HH:MM` from `00:00` to `24:00`.
pub fn parse_minute_of_day(pointer: &str, text: &str) -> Result<u16, FieldError> {
    let two_digits = |text: &str| {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u16>().ok()).flatten()
    };
    text.split_once(':')
        .and_then(|(hour, minute)| Some((two_digits(hour)?, two_digits(minute)?)))
        .filter(|&(hour, minute)| minute < 60 && hour * 60 + minute <= 24 * 60)
        .map(|(hour, minute)| hour * 60 + minute)
        .ok_or_else(|| FieldError::new(pointer, "must be a time of day from 00:00 to 24:00, UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn times_are_read_with_any_offset() {
        assert_eq!(timestamp("/at", "2023-11-14T23:13:20.123+01:00").unwrap(), Timestamp(1_700_000_000_123));
        for wrong in ["", "2023-11-14", "tomorrow", "1969-12-31T23:59:59Z", "2023-11-14 22:13:20"] {
            assert_eq!(timestamp("/at", wrong).unwrap_err().pointer, "/at", "{wrong}");
        }
    }

    #[test]
    fn minutes_of_the_day_read_back_as_written() {
        for minute in [0, 1, 59, 60, 719, 1439, 1440] {
            assert_eq!(parse_minute_of_day("/from", &minute_of_day(minute)).unwrap(), minute);
        }
        for wrong in ["", "7:00", "07:60", "24:01", "+1:00", "0700", "07:0 "] {
            assert!(parse_minute_of_day("/from", wrong).is_err(), "{wrong}");
        }
    }
}
