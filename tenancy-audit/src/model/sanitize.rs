//! Makes what an event says fit to be kept: no secrets, no characters the database refuses, and
//! within the limits.

use serde_json::{Map, Value};

use super::{
    limits::{Limits, Oversize},
    number,
    redact::{Place, REDACTED, Redaction},
};
use crate::Error;

/// What stands where something was cut off.
const TRUNCATED: &str = "[truncated]";

/// How far behind the place where a text is cut secrets are looked for: one that begins in front of it is found
/// as a whole, whatever is left of it.
const BEHIND_THE_CUT: usize = 8 * 1024;

/// Walks through an event once, and remembers what it had to change.
#[derive(Debug)]
pub(crate) struct Sanitizer<'a> {
    limits: &'a Limits,
    redaction: &'a Redaction,
    bytes_left: usize,
    items_left: usize,
    pub(crate) redacted: bool,
    pub(crate) truncated: bool,
}

impl<'a> Sanitizer<'a> {
    pub(crate) fn new(limits: &'a Limits, redaction: &'a Redaction) -> Self {
        Self {
            limits,
            redaction,
            bytes_left: limits.meta_bytes,
            items_left: limits.meta_items,
            redacted: false,
            truncated: false,
        }
    }

    /// The object with its secrets replaced.
    ///
    /// # Errors
    /// Over a limit, unless the limits say that it is to be cut off.
    pub(crate) fn object(&mut self, map: Map<String, Value>) -> Result<Map<String, Value>, Error> {
        self.object_at(map, 1)
    }

    /// A short text of its own, cut off at so many bytes.
    pub(crate) fn text(&mut self, text: &str, place: Place, max_bytes: usize) -> String {
        self.cut(text, place, max_bytes)
    }

    /// The text without its secrets, and then cut off at so many bytes. Of what lies far behind the cut nothing is
    /// copied or looked at: a text of 10 MB costs no more than what is kept of it.
    fn cut(&mut self, text: &str, place: Place, max_bytes: usize) -> String {
        let within = shortened(text, max_bytes.saturating_add(BEHIND_THE_CUT));
        self.truncated |= within.len() < text.len();
        let clean = self.without_nul(within.to_owned());
        let clean = self.scrubbed(clean, place, within.len() < text.len());
        if clean.len() <= max_bytes {
            return clean;
        }
        self.truncated = true;
        shortened(&clean, max_bytes).to_owned()
    }

    fn object_at(
        &mut self,
        map: Map<String, Value>,
        depth: usize,
    ) -> Result<Map<String, Value>, Error> {
        let mut kept = Map::new();
        for (key, value) in map {
            if !self.takes_item()? {
                break;
            }
            // What ends the name of a secret may be what is cut off of it.
            let hides = self.hides(&key, &value);
            let Some((key, is_changed)) = self.key(key)? else {
                break;
            };
            // And what is left may be one that the whole was not.
            let value = if hides || is_changed && self.hides(&key, &value) {
                self.redacted = true;
                self.take(REDACTED.len())?;
                REDACTED.into()
            } else {
                self.value(value, depth)?
            };
            kept.insert(of_its_own(&kept, key), value);
        }
        Ok(kept)
    }

    fn value(&mut self, value: Value, depth: usize) -> Result<Value, Error> {
        match value {
            Value::Array(_) | Value::Object(_) if depth >= self.limits.meta_depth => {
                let most = self.limits.meta_depth;
                self.refuse(
                    "audit_meta_too_deep",
                    format!("meta is nested deeper than {most}"),
                )?;
                Ok(TRUNCATED.into())
            }
            Value::Object(map) => Ok(Value::Object(self.object_at(map, depth + 1)?)),
            Value::Array(items) => {
                let mut kept = Vec::new();
                for item in items {
                    if !self.takes_item()? {
                        break;
                    }
                    kept.push(self.value(item, depth + 1)?);
                }
                Ok(Value::Array(kept))
            }
            Value::String(text) => self.long_text(text).map(Value::from),
            Value::Number(number) => {
                if !number::is_storable(&number) {
                    self.refuse(
                        "audit_meta_number",
                        "a number in meta is too large or too long",
                    )?;
                    return Ok(TRUNCATED.into());
                }
                self.take(8)?;
                Ok(self.number(number))
            }
            other => self.take(8).map(|_| other),
        }
    }

    /// A number may be a card's.
    fn number(&mut self, number: serde_json::Number) -> Value {
        let text = number
            .as_u64()
            .filter(|n| *n >= 10_000_000_000_000)
            .map(|n| n.to_string());
        match text.and_then(|text| self.redaction.scrub(&text, Place::Text)) {
            Some(clean) => {
                self.redacted = true;
                clean.into()
            }
            None => Value::Number(number),
        }
    }

    /// A text as long as the limit for all of meta leaves room for.
    fn long_text(&mut self, text: String) -> Result<String, Error> {
        let left = self.bytes_left;
        if !self.take(text.len())? {
            return Ok(self.cut(&text, Place::Text, left));
        }
        let text = self.without_nul(text);
        Ok(self.scrubbed(text, Place::Text, false))
    }

    /// Whether the value is a secret by its key: of a key that is too long by its ends, which is where names lie.
    fn hides(&self, key: &str, value: &Value) -> bool {
        const LONGEST_LOOKED_AT: usize = 1_024;
        if key.len() <= LONGEST_LOOKED_AT {
            return self.redaction.hides(key, value);
        }
        let last = key.ceil_char_boundary(key.len() - LONGEST_LOOKED_AT);
        let ends = [
            shortened(key, self.limits.meta_key_bytes.min(LONGEST_LOOKED_AT)),
            key.get(last..).unwrap_or_default(),
        ];
        ends.iter().any(|end| self.redaction.hides(end, value))
    }

    /// The key as it is kept, and whether it is another than before.
    fn key(&mut self, key: String) -> Result<Option<(String, bool)>, Error> {
        let most = self.limits.meta_key_bytes;
        let has_nul = key.contains('\0');
        let key = self.without_nul(key);
        let within = shortened(&key, most.saturating_add(BEHIND_THE_CUT));
        let is_secret = if within.len() < key.len() {
            let found = self.redaction.scrub_beginning(within, Place::Text);
            found.is_some()
        } else {
            self.redaction.is_secret(within)
        };
        // Maps by token or by connection string have their secrets here. Nothing is left of such a key, so that
        // what is left names nothing.
        let (key, is_changed) = if is_secret {
            self.redacted = true;
            (REDACTED.to_owned(), true)
        } else if key.len() > most {
            let message = format!("a key of meta is longer than {most} bytes");
            self.refuse("audit_meta_key_too_long", message)?;
            (shortened(&key, most).to_owned(), true)
        } else {
            (key, has_nul)
        };
        Ok(self.take(key.len())?.then_some((key, is_changed)))
    }

    /// Uses up part of the room; `false` if there was not enough of it.
    fn take(&mut self, bytes: usize) -> Result<bool, Error> {
        if let Some(left) = self.bytes_left.checked_sub(bytes) {
            self.bytes_left = left;
            return Ok(true);
        }
        let most = self.limits.meta_bytes;
        self.refuse(
            "audit_meta_too_large",
            format!("meta has more than {most} bytes"),
        )?;
        self.bytes_left = 0;
        Ok(false)
    }

    fn takes_item(&mut self) -> Result<bool, Error> {
        if let Some(left) = self.items_left.checked_sub(1) {
            self.items_left = left;
            return Ok(true);
        }
        let most = self.limits.meta_items;
        self.refuse(
            "audit_meta_too_many_items",
            format!("meta has more than {most} keys and elements"),
        )?;
        Ok(false)
    }

    fn refuse(&mut self, code: &'static str, message: impl Into<String>) -> Result<(), Error> {
        match self.limits.oversize {
            Oversize::Refuse => Err(Error::invalid(code, message)),
            Oversize::Truncate => {
                self.truncated = true;
                Ok(())
            }
        }
    }

    /// Postgres keeps no NUL, and a text that has one should leave a trail all the same.
    fn without_nul(&mut self, text: String) -> String {
        if !text.contains('\0') {
            return text;
        }
        self.truncated = true;
        text.replace('\0', "\u{2400}")
    }

    fn scrubbed(&mut self, text: String, place: Place, goes_on: bool) -> String {
        // What a type kept back before it came here.
        self.redacted |= text == REDACTED;
        let clean = if goes_on {
            self.redaction.scrub_beginning(&text, place)
        } else {
            self.redaction.scrub(&text, place)
        };
        match clean {
            Some(clean) => {
                self.redacted = true;
                clean
            }
            None => text,
        }
    }
}

/// Of several keys that were secrets each has its place.
fn of_its_own(kept: &Map<String, Value>, key: String) -> String {
    if key != REDACTED || !kept.contains_key(&key) {
        return key;
    }
    let numbered = (2..=kept.len() + 1).map(|number| format!("{REDACTED} {number}"));
    let mut free = numbered.filter(|key| !kept.contains_key(key));
    free.next().unwrap_or(key)
}

/// The beginning of a text that has at most so many bytes, cut between characters.
pub(crate) fn shortened(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn clean(limits: &Limits, meta: Value) -> (Result<Value, &'static str>, bool, bool) {
        let redaction = Redaction::new();
        let mut sanitizer = Sanitizer::new(limits, &redaction);
        let Value::Object(map) = meta else {
            panic!("an object")
        };
        let result = sanitizer
            .object(map)
            .map(Value::Object)
            .map_err(|error| error.code());
        (result, sanitizer.redacted, sanitizer.truncated)
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!({}), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn a_key_that_is_a_secret_goes() {
        let (limits, redaction) = (Limits::default(), Redaction::new());
        let given = json!({
            "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----": { "of": "ann" },
            "ghp_0123456789abcdefghijABCDEFGHIJ012345": 1,
            "by": { "postgres://ann:hunter2@db/x": true },
            "plain": 2,
        });
        let Value::Object(mut map) = given else {
            panic!("an object")
        };
        let clean = json!({
            "[redacted]": "[redacted]", "[redacted] 2": 1, "by": { "[redacted]": true }, "plain": 2,
        });
        for _ in 0..2 {
            let mut sanitizer = Sanitizer::new(&limits, &redaction);
            map = sanitizer.object(map).unwrap();
            assert!(sanitizer.redacted);
            assert_eq!(Value::Object(map.clone()), clean);
        }
    }

    #[test]
    fn what_is_within_the_limits_is_kept_word_for_word() {
        let meta = json!({ "a": [1, 2.5, null, true, "ü"], "b": { "c": {} }, "when": 1_700_000_000_000_u64 });
        assert_eq!(
            clean(&Limits::default(), meta.clone()),
            (Ok(meta), false, false)
        );
    }

    #[test]
    fn secrets_go_whatever_they_are_called() {
        let meta = json!({
            "password": "x", "nested": [{ "apiKey": { "v": 1 } }], "note": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "card": 4_111_111_111_111_111_u64, "tokens": 512, "pin": 1234, "token": null,
        });
        let expected = json!({
            "password": "[redacted]", "nested": [{ "apiKey": "[redacted]" }], "note": "[redacted:token]",
            "card": "[redacted:card]", "tokens": 512, "pin": "[redacted]", "token": null,
        });
        assert_eq!(clean(&Limits::default(), meta), (Ok(expected), true, false));
    }

    #[test]
    fn what_is_over_a_limit_is_refused_by_name() {
        let limits = Limits::default();
        let many: Vec<u8> = vec![0; 600];
        for (meta, code) in [
            (json!({ "a": "x".repeat(10 << 20) }), "audit_meta_too_large"),
            (nested(8), "audit_meta_too_deep"),
            (nested(100), "audit_meta_too_deep"),
            (json!({ "a": many }), "audit_meta_too_many_items"),
            (json!({ "k".repeat(129): 1 }), "audit_meta_key_too_long"),
        ] {
            assert_eq!(clean(&limits, meta).0, Err(code));
        }
        assert!(clean(&limits, nested(7)).0.is_ok());
    }

    #[test]
    fn what_is_over_a_limit_is_cut_off_where_the_host_wants_that() {
        let limits = Limits::default()
            .with_oversize(Oversize::Truncate)
            .with_meta_bytes(64);
        let (meta, _, truncated) = clean(&limits, json!({ "a": "é".repeat(1_000), "b": 1 }));
        let meta = meta.unwrap();
        assert!(truncated);
        assert!(meta.to_string().len() < 100, "{meta}");
        for meta in [nested(100), json!({ "k".repeat(500): vec![0; 5_000] })] {
            let (meta, _, truncated) = clean(&limits, meta);
            assert!(meta.is_ok() && truncated);
        }
    }

    #[test]
    fn no_part_of_a_secret_is_left_where_a_text_is_cut() {
        let jwt = format!("eyJhbGciOiJIUzI1NiJ9.{}.dBjftJeZ4CVP", "c2Vj".repeat(4_000));
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}", "MIIE\n".repeat(4_000));
        let secrets = [
            ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_l"),
            ("4111 1111 1111 1111", "411"),
            ("password=hunter2hunter2hunter2", "hunt"),
            ("https://app:hunter2hunter2@db/x", "hunt"),
            (&jwt, "eyJ"),
            (&key, "MII"),
        ];
        for (secret, part) in secrets {
            for before in 16..64 {
                let limits = Limits::default()
                    .with_oversize(Oversize::Truncate)
                    .with_meta_bytes(64);
                let text = format!("{} {secret} {}", "x".repeat(before), "y ".repeat(50_000));
                let (meta, redacted, truncated) = clean(&limits, json!({ "a": text }));
                let meta = meta.unwrap().to_string();
                assert!(!meta.contains(part), "{before}: {meta}");
                assert!(
                    redacted && truncated && meta.len() < 100,
                    "{before}: {meta}"
                );

                let redaction = Redaction::new();
                let mut sanitizer = Sanitizer::new(&limits, &redaction);
                let short = sanitizer.text(&text, Place::Text, 64);
                assert!(
                    !short.contains(part) && short.len() <= 64,
                    "{before}: {short}"
                );
            }
        }
    }

    #[test]
    fn a_key_is_judged_by_what_is_cut_off_of_it_too() {
        let limits = Limits::default().with_oversize(Oversize::Truncate);
        for key in ["k".repeat(200), "k".repeat(10 << 20)] {
            let (meta, redacted, _) =
                clean(&limits, json!({ format!("{key}_password"): "hunter2" }));
            let meta = meta.unwrap().to_string();
            assert!(redacted && !meta.contains("hunter2"), "{meta}");
        }
    }

    #[test]
    fn a_nul_is_made_visible() {
        let (meta, _, truncated) = clean(&Limits::default(), json!({ "a\0": ["b\0c"] }));
        assert_eq!(meta, Ok(json!({ "a␀": ["b␀c"] })));
        assert!(truncated);
    }
}
