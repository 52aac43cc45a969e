//! JSON Schemas of tools, compiled once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::{
    DefinitionHash, Error, Tool,
    model::{canonical, depth},
};

/// Compiled schemas by definition. The hash covers the schema, so an entry is never stale.
#[derive(Default)]
pub(crate) struct Validators(Mutex<HashMap<DefinitionHash, Arc<Validator>>>);

impl Validators {
    /// Checks parameters against the approved schema of a tool.
    pub(crate) fn check(&self, tool: &Tool, params: &Value) -> Result<(), Error> {
        let validator = self.compiled(tool)?;
        let wrong: Vec<String> = validator
            .iter_errors(params)
            .take(SHOWN)
            .map(|error| {
                // Masked: the message goes into logs, the parameters do not.
                let place = error.instance_path().to_string();
                let text: String = error.masked().to_string().chars().take(200).collect();
                format!("`{}`: {text}", if place.is_empty() { "/" } else { &place })
            })
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the parameters break the tool's schema: {}",
            wrong.join("; ")
        );
        Err(Error::invalid("params_invalid", message))
    }

    fn compiled(&self, tool: &Tool) -> Result<Arc<Validator>, Error> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache.get(&tool.hash) {
            return Ok(known.clone());
        }
        let fresh = Arc::new(compile(&tool.definition.input_schema)?);
        if cache.len() >= KEPT {
            cache.clear();
        }
        cache.insert(tool.hash, fresh.clone());
        Ok(fresh)
    }
}

/// Compiles a schema that came from outside: no fetching of references, and bounds on its size
/// and on the work of its patterns.
pub(crate) fn compile(schema: &Value) -> Result<Validator, Error> {
    let unusable = |why: String| Error::invalid("schema_unusable", why);
    if !schema.is_object() {
        return Err(unusable("the tool's schema is no object".to_owned()));
    }
    if depth(schema) > MAX_DEPTH || canonical(schema).len() > MAX_BYTES {
        let message = format!("the tool's schema is over {MAX_BYTES} bytes or {MAX_DEPTH} levels");
        return Err(unusable(message));
    }
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS))
        .build(schema)
        .map_err(|error| {
            let text: String = error.to_string().chars().take(200).collect();
            unusable(format!("the tool's schema can't be used: {text}"))
        })
}

/// How many things that are wrong a message names.
const SHOWN: usize = 5;
/// How many compiled schemas are kept.
const KEPT: usize = 1_024;
const MAX_BYTES: usize = 256 * 1024;
const MAX_DEPTH: usize = 64;
const BACKTRACKS: usize = 100_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_wants_to_fetch_or_is_too_deep_is_refused() {
        let mut deep = json!({"type": "string"});
        for _ in 0..40 {
            deep = json!({"type": "object", "properties": {"x": deep}});
        }
        let bad = [
            json!({"$ref": "https://evil.example/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"type": 7}),
            json!(true),
            deep,
        ];
        for schema in bad {
            let error = compile(&schema).unwrap_err();
            assert_eq!(error.code(), "schema_unusable", "{schema}");
        }
        assert!(compile(&json!({"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"})).is_ok());
    }
}
