//! The names of an enum's variants, as they are written down.
//!
//! They are asked of the enum's own derived reader, which has to know them all: a variant that is added cannot be forgotten.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// All names of the enum's variants.
///
/// # Panics
/// Where the type is no enum that reads by the names of its variants.
pub fn of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(Asking) {
        Err(Names(Some(names))) => names,
        Ok(_) | Err(Names(None)) => panic!("{} is no enum with named variants", std::any::type_name::<T>()),
    }
}

/// A source that holds nothing, and hears what is looked for.
struct Asking;

/// The names of the variants that were looked for.
#[derive(Debug, thiserror::Error)]
#[error("it holds nothing")]
struct Names(Option<&'static [&'static str]>);

impl de::Error for Names {
    fn custom<M: std::fmt::Display>(_message: M) -> Self {
        Self(None)
    }
}

impl<'de> Deserializer<'de> for Asking {
    type Error = Names;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Names> {
        Err(Names(Some(variants)))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Names> {
        Err(Names(None))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "it is asked for its names alone")]
    enum Weather {
        Fair,
        FreezingRain { millimetres: u64 },
        Wind(u64),
    }

    #[test]
    fn an_enum_tells_the_names_of_all_its_variants() {
        assert_eq!(of::<Weather>(), ["fair", "freezing_rain", "wind"]);
    }

    #[test]
    #[should_panic(expected = "is no enum")]
    fn what_is_no_enum_has_none() {
        of::<String>();
    }
}
