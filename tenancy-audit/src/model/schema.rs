//! Which shape the entries of an action have.

use std::{collections::HashMap, fmt, sync::Arc};

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value, json};
use tenancy_core::{ActionKey, InvalidInput, Outcome, Target};

use super::entry::targets_json;
use crate::Error;

/// How much memory a compiled pattern may take.
const MAX_PATTERN: usize = 1 << 20;

/// The JSON Schemas of a host's actions, compiled once.
///
/// A schema describes an entry as it is kept, after redaction:
///
/// ```json
/// { "outcome": "allowed", "targets": [{ "kind": "template", "id": "7" }], "meta": {}, "personal": {} }
/// ```
///
/// An event that does not fit is refused before any SQL is sent, with the place that does not. The version is
/// kept in the entry's context as `schema`, so that a reader of old entries knows which one they were held to.
/// Actions without a schema are recorded as ever.
///
/// Patterns are matched in linear time, references outside the schema are not followed.
///
/// ```
/// use serde_json::json;
/// use tenancy_audit::EventSchemas;
///
/// let schemas = EventSchemas::new().with_action("template.renamed", 2, &json!({
///     "properties": { "meta": {
///         "type": "object",
///         "required": ["name"],
///         "properties": { "name": { "type": "string" } },
///         "additionalProperties": false,
///     } },
/// }))?;
/// # Ok::<(), tenancy_audit::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct EventSchemas(Arc<HashMap<String, Schema>>);

#[derive(Clone)]
struct Schema {
    version: u32,
    validator: Arc<Validator>,
}

impl EventSchemas {
    /// No schema for any action.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds the events of an action to a schema, in place of an earlier one.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if this is no action, or `audit_schema_invalid` if
    /// this is no schema or it refers to another document.
    pub fn with_action(
        mut self,
        action: impl Into<String>,
        version: u32,
        schema: &Value,
    ) -> Result<Self, Error> {
        let action = ActionKey::parse(action.into())?;
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN))
            .build(schema)
            .map_err(|error| {
                let why: String = error.to_string().chars().take(200).collect();
                let message = format!("the schema of `{action}` can't be used: {why}");
                Error::invalid("audit_schema_invalid", message)
            })?;
        let schema = Schema {
            version,
            validator: Arc::new(validator),
        };
        Arc::make_mut(&mut self.0).insert(action.into(), schema);
        Ok(self)
    }

    /// Whether there is one for this action.
    pub(crate) fn knows(&self, action: &str) -> bool {
        self.0.contains_key(action)
    }

    /// The version of the schema that the event fits; `None` if its action has no schema.
    pub(crate) fn check(&self, action: &str, event: &Value) -> Result<Option<u32>, Error> {
        let Some(schema) = self.0.get(action) else {
            return Ok(None);
        };
        // Neither message nor instance: they repeat values, which may be secret.
        let Some(error) = schema.validator.iter_errors(event).next() else {
            return Ok(Some(schema.version));
        };
        let place = error.instance_path().to_string();
        let (place, keyword) = (InvalidInput::quote(&place), error.kind().keyword());
        let version = schema.version;
        let message = format!(
            "the event does not fit version {version} of the schema of `{action}`: `{place}` breaks `{keyword}`"
        );
        Err(Error::invalid("audit_schema_violated", message))
    }
}

/// What a schema describes.
pub(crate) fn described(
    outcome: Outcome,
    targets: &[Target],
    meta: &Map<String, Value>,
    personal: &Map<String, Value>,
) -> Value {
    json!({
        "outcome": outcome.as_str(), "targets": targets_json(targets), "meta": meta, "personal": personal,
    })
}

impl fmt::Debug for EventSchemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = self
            .0
            .iter()
            .map(|(action, schema)| (action, schema.version));
        f.debug_map().entries(versions).finish()
    }
}
