//! Sizes, as people write and read them: `500GB`, `2TiB`. The API knows bytes alone.

use std::str::FromStr;

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// It does not begin with a number.
    #[error("must be a size such as 500GB, 1.5TB or 2TiB, or a number of bytes")]
    NoNumber,
    /// What stands behind the number is no unit.
    #[error("has the unit {unit}; the units are {}", unit_names())]
    UnknownUnit {
        /// What stands there.
        unit: String,
    },
    /// It is less than a byte.
    #[error("must be at least one byte")]
    Nothing,
    /// It is more than can be counted.
    #[error("must be less than {} bytes", u64::MAX)]
    TooLarge,
}

/// The units by their size in bytes, the least first. `K`, `M` and `G` alone would mean the one to some and the other to others.
const UNITS: [(&str, u64); 13] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
    ("PB", 1_000_000_000_000_000),
    ("PiB", 1 << 50),
    ("EB", 1_000_000_000_000_000_000),
    ("EiB", 1 << 60),
];

fn unit_names() -> String {
    UNITS.map(|(name, _)| name).join(", ")
}

/// The size in bytes that a text tells: a number, with a fraction if need be, and a unit in any case; without one it is bytes.
/// A fraction of a byte is dropped.
pub(crate) fn parse(text: &str) -> Result<u64, SizeError> {
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let known = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name) || (unit.is_empty() && *name == "B"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') {
        return Err(SizeError::NoNumber);
    }
    let (_, unit) = known.ok_or_else(|| SizeError::UnknownUnit { unit: unit.to_owned() })?;
    // No unit is so large that more digits behind the point would tell a byte.
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let scaled: u128 = format!("{whole}{fraction}").parse().map_err(|_| SizeError::TooLarge)?;
    let bytes = scaled.checked_mul((*unit).into()).ok_or(SizeError::TooLarge)? / 10_u128.pow(fraction.len() as u32);
    match u64::try_from(bytes) {
        Ok(0) => Err(SizeError::Nothing),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(SizeError::TooLarge),
    }
}

const FRACTION_DIGITS_MAX: usize = 18;

/// A size as people read it: in the unit in which it was written, where it comes out even there; else with one digit behind the
/// point, cut off.
pub(crate) fn told(bytes: u64) -> String {
    const EVEN_MAX: u64 = 9_999;
    let is_even = |size: u64| bytes.is_multiple_of(size) && (1..=EVEN_MAX).contains(&(bytes / size));
    if bytes == 0 {
        return "0 B".to_owned();
    }
    let even = UNITS.iter().rev().find(|(_, size)| is_even(*size));
    if let Some((unit, size)) = even {
        return format!("{} {unit}", bytes / size);
    }
    let binary = UNITS.iter().rev().find(|(unit, size)| unit.ends_with("iB") && bytes >= *size);
    let (unit, size) = binary.expect("less than a KiB comes out even in bytes");
    let tenths = u128::from(bytes) * 10 / u128::from(*size);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// A size that limits something, or nothing that does, which is the word `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimit(pub Option<u64>);

impl FromStr for SizeLimit {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        if text == UNLIMITED { Ok(Self(None)) } else { parse(text).map(|bytes| Self(Some(bytes))) }
    }
}

/// The same, as people read it.
pub(crate) fn limit_told(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| UNLIMITED.to_owned(), told)
}

const UNLIMITED: &str = "unlimited";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_in_decimal_and_binary_units() {
        for (text, bytes) in [
            ("1", 1),
            ("500GB", 500_000_000_000),
            ("500 gb", 500_000_000_000),
            ("2TiB", 2 << 40),
            ("1.5TB", 1_500_000_000_000),
            ("0.5KiB", 512),
            ("1.1TiB", 1_209_462_790_553),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_told_by_what_is_wrong_with_it() {
        for text in ["", "GB", ".5GB", "1.2.3GB", "-1", "unlimited"] {
            assert_eq!(parse(text), Err(SizeError::NoNumber), "{text}");
        }
        for text in ["0", "0TB", "0.4B"] {
            assert_eq!(parse(text), Err(SizeError::Nothing), "{text}");
        }
        for text in ["18446744073709551616", "16EiB", "99999999999999999999999999999999999999999999 B"] {
            assert_eq!(parse(text), Err(SizeError::TooLarge), "{text}");
        }
        assert_eq!(parse("5G"), Err(SizeError::UnknownUnit { unit: "G".into() }));
        let told = parse("5 bytes").unwrap_err().to_string();
        assert!(told.starts_with("has the unit bytes; the units are B, kB, KiB, MB"), "{told}");
    }

    #[test]
    fn a_size_reads_as_it_was_written_or_is_cut_off() {
        for text in ["1 B", "999 B", "4 KiB", "500 GB", "1500 GB", "2 TiB", "8191 PiB", "3 EB"] {
            assert_eq!(told(parse(text).unwrap()), text);
        }
        assert_eq!(told(0), "0 B");
        assert_eq!(told(12_345), "12.0 KiB");
        assert_eq!(told(1_999_999_999_999), "1.8 TiB");
        assert_eq!(told(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn a_limit_may_be_lifted() {
        assert_eq!("unlimited".parse(), Ok(SizeLimit(None)));
        assert_eq!("1GiB".parse(), Ok(SizeLimit(Some(1 << 30))));
        assert_eq!((limit_told(None), limit_told(Some(1 << 30))), ("unlimited".into(), "1 GiB".into()));
    }
}
