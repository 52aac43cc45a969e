//! The bytes that are hashed: version 1.
//!
//! Every part says how long it is, every JSON value says what it is, so that two different entries
//! never have the same bytes. Never change what a version produces: entries are verified years later.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::number;

/// Puts bytes together that can be told apart again.
#[derive(Debug)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

/// Where the count of an array or object is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted(usize);

impl Encoder {
    /// Starts with a domain, so that bytes made for one purpose never serve another.
    pub(crate) fn new(domain: &str) -> Self {
        let mut encoder = Self {
            bytes: Vec::with_capacity(512),
        };
        encoder.text(domain);
        encoder
    }

    /// Bytes that nobody hashes.
    pub(crate) fn scratch() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Starts anew with a domain, in the memory that is there.
    pub(crate) fn restart(&mut self, domain: &str) {
        self.bytes.clear();
        self.text(domain);
    }

    /// A number of elements or a length: four bytes, big-endian. Nothing here reaches 4 GiB.
    pub(crate) fn count(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&count.to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.bytes.push(u8::from(flag));
    }

    pub(crate) fn option(&mut self, bytes: Option<&[u8]>) {
        self.flag(bytes.is_some());
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }

    pub(crate) fn uuid(&mut self, id: Option<Uuid>) {
        self.option(id.as_ref().map(|id| id.as_bytes().as_slice()));
    }

    pub(crate) fn json(&mut self, value: &Value) {
        match value {
            Value::Null => self.null(),
            Value::Bool(flag) => self.bool(*flag),
            Value::Number(number) => self.number(&number::normal(number)),
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                let place = self.array_begins();
                for item in items {
                    self.json(item);
                }
                self.counted(place, items.len());
            }
            Value::Object(map) => self.object(map),
        }
    }

    pub(crate) fn null(&mut self) {
        self.bytes.push(b'z');
    }

    pub(crate) fn bool(&mut self, flag: bool) {
        self.bytes.push(if flag { b't' } else { b'f' });
    }

    /// A number in its one form.
    pub(crate) fn number(&mut self, normal: &str) {
        self.bytes.push(b'n');
        self.text(normal);
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.bytes.push(b's');
        self.text(text);
    }

    /// An array, whose elements follow and are counted at last.
    pub(crate) fn array_begins(&mut self) -> Counted {
        self.begins(b'a')
    }

    /// An object, whose keys and values follow in the order of the keys' bytes.
    pub(crate) fn object_begins(&mut self) -> Counted {
        self.begins(b'o')
    }

    /// Says how many elements or keys it had.
    pub(crate) fn counted(&mut self, place: Counted, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let end = place.0 + size_of::<u32>();
        if let Some(bytes) = self.bytes.get_mut(place.0..end) {
            bytes.copy_from_slice(&count.to_be_bytes());
        }
    }

    fn begins(&mut self, tag: u8) -> Counted {
        self.bytes.push(tag);
        let place = Counted(self.bytes.len());
        self.count(0);
        place
    }

    /// Keys in the order of their bytes, however the map keeps them.
    pub(crate) fn object(&mut self, map: &Map<String, Value>) {
        let place = self.object_begins();
        let mut pair = |(key, value): (&String, &Value)| {
            self.text(key);
            self.json(value);
        };
        if map.keys().is_sorted() {
            map.iter().for_each(pair);
        } else {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            entries.into_iter().for_each(&mut pair);
        }
        self.counted(place, map.len());
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn bytes_of(value: &Value) -> Vec<u8> {
        let mut encoder = Encoder::new("test");
        encoder.json(value);
        encoder.into_bytes()
    }

    /// Reads the bytes back without knowing the encoder: what can be read back was not confused.
    fn read(bytes: &mut &[u8]) -> Value {
        let take = |bytes: &mut &[u8], len: usize| {
            let (head, tail) = bytes.split_at(len);
            *bytes = tail;
            head.to_vec()
        };
        let count =
            |bytes: &mut &[u8]| u32::from_be_bytes(take(bytes, 4).try_into().unwrap()) as usize;
        let text = |bytes: &mut &[u8]| {
            let len = count(bytes);
            String::from_utf8(take(bytes, len)).unwrap()
        };
        match take(bytes, 1)[0] {
            b'z' => Value::Null,
            b'f' => json!(false),
            b't' => json!(true),
            b'n' => json!({ "number": text(bytes) }),
            b's' => json!(text(bytes)),
            b'a' => (0..count(bytes)).map(|_| read(bytes)).collect(),
            b'o' => (0..count(bytes))
                .map(|_| (text(bytes), read(bytes)))
                .collect(),
            other => panic!("unknown tag {other}"),
        }
    }

    fn with_normal_numbers(value: &Value) -> Value {
        match value {
            Value::Number(n) => json!({ "number": number::normal(n) }),
            Value::Array(items) => items.iter().map(with_normal_numbers).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(k, v)| (k.clone(), with_normal_numbers(v)))
                .collect(),
            other => other.clone(),
        }
    }

    pub(in crate::model) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-c\"\\\\\\PC\n\t]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-cé\"]{0,3}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn different_values_have_different_bytes(value in any_json()) {
            let bytes = bytes_of(&value);
            let mut rest = &bytes[8..];
            prop_assert_eq!(read(&mut rest), with_normal_numbers(&value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn neighbouring_parts_can_not_be_shifted(a in ".{0,6}", b in ".{0,6}", c in ".{0,6}", d in ".{0,6}") {
            let of = |x: &str, y: &str| {
                let mut encoder = Encoder::new("test");
                encoder.text(x);
                encoder.text(y);
                encoder.into_bytes()
            };
            prop_assert_eq!(of(&a, &b) == of(&c, &d), (a, b) == (c, d));
        }
    }

    #[test]
    fn the_order_of_keys_and_the_form_of_numbers_do_not_matter() {
        let one: Value = serde_json::from_str(r#"{"b":1.0,"a":{"y":1e2,"x":"é"}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":{"x":"\u00e9","y":100},"b":1}"#).unwrap();
        assert_eq!(bytes_of(&one), bytes_of(&other));
    }

    #[test]
    fn the_bytes_of_version_1_stay_as_they_are() {
        let value = json!({ "b": [null, true, 1.5], "a": "é" });
        assert_eq!(
            hex::encode(bytes_of(&value)),
            "00000004746573746f00000002000000016173000000\
             02c3a9000000016261000000037a746e000000053135652d31"
        );
    }
}
