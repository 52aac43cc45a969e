//! What a handler adds to the entry of its request.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value, json};
use tenancy_core::{Subject, Target};

/// A handler's side of the entry that [`AuditLayer`](super::AuditLayer) writes for its request: an
/// extension of the request, and with the feature `axum` an extractor.
///
/// A request that is only read (`GET`, `HEAD`, `OPTIONS`, `TRACE`) leaves no entry, and what is said of it goes nowhere:
/// one handler may serve `GET` and `POST`. Where no note can be had, because the layer is missing or stands outside of
/// the one that makes the context, the extractor answers 500 `audit_layer_missing`; one of `Option<AuditNote>` is
/// `None`.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # mod host {
/// use tenancy_audit::http::AuditNote;
///
/// async fn rename(note: AuditNote) {
///     note.action("template.renamed")
///         .target("template", 7)
///         .change("name", "old", "new");
/// }
///
/// /// Of a router that some hosts use without a log.
/// async fn archive(note: Option<AuditNote>) {
///     if let Some(note) = note {
///         note.action("template.archived");
///     }
/// }
/// # }
/// ```
///
/// Everything said through it is redacted and limited as any event is. What is too much makes the
/// entry smaller: it is then written without `meta` of the handler's, and says so.
#[derive(Clone, Default)]
pub struct AuditNote(Arc<Mutex<Noted>>);

#[derive(Clone, Default)]
pub(super) struct Noted {
    pub(super) action: Option<String>,
    pub(super) targets: Vec<Target>,
    pub(super) changes: Map<String, Value>,
    pub(super) meta: Map<String, Value>,
    pub(super) personal: Map<String, Value>,
    pub(super) personal_changes: Map<String, Value>,
    pub(super) about: Option<Subject>,
    pub(super) is_recorded: bool,
}

impl AuditNote {
    /// Names what was done, such as `template.renamed`, instead of `http.post`.
    pub fn action(&self, action: impl Into<String>) -> &Self {
        self.locked().action = Some(action.into());
        self
    }

    /// Adds what was acted on; the first one is the entry's resource.
    pub fn target(&self, kind: impl Into<String>, id: impl ToString) -> &Self {
        self.locked().targets.push(Target::new(kind, id));
        self
    }

    /// Adds a field that was changed, with its value before and after. What says something about a person belongs
    /// to [`personal_change`](Self::personal_change): this can't be erased.
    pub fn change(
        &self,
        field: impl Into<String>,
        before: impl Into<Value>,
        after: impl Into<Value>,
    ) -> &Self {
        let change = changed(&before.into(), &after.into());
        self.locked().changes.insert(field.into(), change);
        self
    }

    /// The same for a field that says something about a person, such as a name: kept apart, so that it can be erased.
    pub fn personal_change(
        &self,
        field: impl Into<String>,
        before: impl Into<Value>,
        after: impl Into<Value>,
    ) -> &Self {
        let change = changed(&before.into(), &after.into());
        self.locked().personal_changes.insert(field.into(), change);
        self
    }

    /// Adds the fields in which two JSON objects differ. It keeps all of them for good: leave out those about a
    /// person.
    pub fn before_after(&self, before: &Value, after: &Value) -> &Self {
        let empty = Map::new();
        let (old, new) = (
            before.as_object().unwrap_or(&empty),
            after.as_object().unwrap_or(&empty),
        );
        let added = new.keys().filter(|key| !old.contains_key(*key));
        for field in old.keys().chain(added) {
            let (before, after) = (old.get(field), new.get(field));
            if before != after {
                self.change(field, before.cloned(), after.cloned());
            }
        }
        self
    }

    /// Adds a detail.
    pub fn meta(&self, key: impl Into<String>, value: impl Into<Value>) -> &Self {
        self.locked().meta.insert(key.into(), value.into());
        self
    }

    /// Adds a detail about a person, kept apart so that it can be erased.
    pub fn personal(&self, key: impl Into<String>, value: impl Into<Value>) -> &Self {
        self.locked().personal.insert(key.into(), value.into());
        self
    }

    /// Says whom the personal details are about, where that is not who acts: they can be erased with that person.
    pub fn about(&self, subject: impl Into<Subject>) -> &Self {
        self.locked().about = Some(subject.into());
        self
    }

    /// Says that the handler has recorded the request itself, in its own transaction: the layer
    /// writes nothing. Say so after the commit.
    pub fn recorded(&self) -> &Self {
        self.locked().is_recorded = true;
        self
    }

    pub(super) fn take(&self) -> Noted {
        std::mem::take(&mut *self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AuditNote {
    /// Nothing of what was said, which was not redacted yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditNote").finish_non_exhaustive()
    }
}

fn changed(before: &Value, after: &Value) -> Value {
    json!({ "before": before, "after": after })
}

#[cfg(feature = "axum")]
impl<S: Send + Sync> axum::extract::FromRequestParts<S> for AuditNote {
    type Rejection = tenancy_core::http::Problem;

    /// Takes the note of a request that passed an [`AuditLayer`](super::AuditLayer).
    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Self::Rejection::new(
                http::StatusCode::INTERNAL_SERVER_ERROR,
                "audit_layer_missing",
                "this route is not under the audit layer, or that stands outside of the tenant's",
            )
        })
    }
}

#[cfg(feature = "axum")]
impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for AuditNote {
    type Rejection = std::convert::Infallible;

    /// `None` where nothing would hear the note.
    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_and_after_are_reduced_to_what_differs() {
        let note = AuditNote::default();
        note.before_after(
            &json!({ "a": 1, "b": 2, "c": 3 }),
            &json!({ "a": 1, "b": 5, "d": 4 }),
        );
        let expected = json!({
            "b": { "before": 2, "after": 5 },
            "c": { "before": 3, "after": null },
            "d": { "before": null, "after": 4 },
        });
        assert_eq!(Value::Object(note.take().changes), expected);
    }
}
