//! JSON that can be read in one way only.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Number, Value};
use tenancy_core::Target;

use super::number;

/// An object in which no key is there twice, however deep: other readers might take the other one.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct StrictMap(pub(crate) Map<String, Value>);

struct Strict(Value);

struct AnyValue;

impl<'de> Deserialize<'de> for StrictMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Strict::deserialize(deserializer)?.0 {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(D::Error::custom("not an object")),
        }
    }
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a key that is there twice")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("not a number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            kept.push(item);
        }
        Ok(kept.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some((key, Strict(value))) = map.next_entry::<String, Strict>()? {
            if kept.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is there twice"));
            }
        }
        Ok(kept.into())
    }
}

/// Reads a struct from an object. By itself it is read from a list of its fields, too.
pub(crate) fn object<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Fields<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Fields(PhantomData))
}

/// A target that has its two fields and no other: what nobody reads would not be hashed.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct StrictTarget(pub(crate) Target);

impl<'de> Deserialize<'de> for StrictTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            kind: String,
            id: String,
        }

        let Fields { kind, id } = object(deserializer)?;
        Ok(Self(Target::new(kind, id)))
    }
}

/// Whether a number that was read as a float is somewhere in it: only there digits can be lost.
pub(crate) fn has_float(map: &Map<String, Value>) -> bool {
    fn in_value(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_f64(),
            Value::Array(items) => items.iter().any(in_value),
            Value::Object(map) => has_float(map),
            _ => false,
        }
    }
    map.values().any(in_value)
}

/// Whether each number of this JSON is the one that it is read as. A float keeps about 17 digits: with
/// more of them a number could be edited and read as the same.
pub(crate) fn numbers_are_exact(json: &[u8]) -> bool {
    let (mut rest, mut in_text) = (json, false);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (in_text, byte) {
            (true, b'\\') => rest = rest.get(1..).unwrap_or_default(),
            (_, b'"') => in_text = !in_text,
            (false, b'-' | b'0'..=b'9') => {
                let part = |byte: &u8| {
                    byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')
                };
                let end = rest.iter().position(|byte| !part(byte));
                let (more, behind) = rest.split_at(end.unwrap_or(rest.len()));
                let start = json.len() - after.len() - 1;
                let whole = json.get(start..=start + more.len()).unwrap_or_default();
                if !std::str::from_utf8(whole).is_ok_and(number::is_exact) {
                    return false;
                }
                rest = behind;
            }
            _ => {}
        }
    }
    true
}

/// Parses JSON whose numbers are what they are read as; `None` if it can't be.
pub(crate) fn parse(json: &[u8]) -> Option<Value> {
    let Strict(value) = serde_json::from_slice(json).ok()?;
    let float = match &value {
        Value::Object(map) => has_float(map),
        _ => true,
    };
    (!float || numbers_are_exact(json)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(json: &str) -> bool {
        serde_json::from_str::<StrictMap>(json).is_ok()
    }

    #[test]
    fn a_key_may_be_there_once() {
        assert!(reads(r#"{"a":1,"b":{"a":[{"a":2},{"a":3}]},"é":null}"#));
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":[[{"c":{"d":1,"d":2}}]]}"#,
        ] {
            assert!(!reads(twice), "{twice}");
        }
        assert!(!reads("[]") && !reads(r#"{"a":1e400}"#) && !reads(r#"{"a":"\ud800"}"#));
    }

    #[test]
    fn a_target_is_an_object_of_its_two_fields() {
        let reads = |json| serde_json::from_str::<StrictTarget>(json).ok();
        let target = Some(Target::new("a", "b"));
        for json in [r#"{"kind":"a","id":"b"}"#, r#" {"id":"b","kind":"\u0061"}"#] {
            assert_eq!(reads(json).map(|target| target.0), target, "{json}");
        }
        for odd in [
            r#"["a","b"]"#,
            r#"{"kind":"a"}"#,
            r#"{"kind":"a","id":"b","id":"b"}"#,
            r#"{"kind":"a","id":"b","more":null}"#,
            r#"{"kind":"a","id":7}"#,
            r#""a:b""#,
            "null",
        ] {
            assert!(reads(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn digits_that_a_float_would_lose_are_found() {
        for exact in [
            r#"{"a":[0.1,-12.50,1e2,18446744073709551615,1e300,0,-0.0]}"#,
            r#"{"a":"0.10000000000000000555 \" 1e999","b":1.5}"#,
            "[1.7976931348623157e308]",
        ] {
            assert!(parse(exact.as_bytes()).is_some(), "{exact}");
        }
        for odd in [
            r#"{"a":0.10000000000000000555}"#,
            r#"{"a":["x\\",18446744073709551617]}"#,
            r#"{"a":{"b":1e-400}}"#,
            "1e400",
        ] {
            assert!(parse(odd.as_bytes()).is_none(), "{odd}");
        }
    }
}
