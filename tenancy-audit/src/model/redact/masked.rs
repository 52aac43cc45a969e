//! Redaction that the compiler checks.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::REDACTED;

/// A field of a host's own type that is never recorded: it serialises and prints as `[redacted]`.
///
/// For what a host turns into `meta` or into before and after as a whole. A
/// [`SecretText`](tenancy_core::SecretText) does not serialise at all, and becomes `[redacted]` where it is
/// given to [`Event::meta`](tenancy_core::Event::meta).
///
/// ```
/// use serde::Serialize;
/// use tenancy_audit::Masked;
///
/// #[derive(Serialize)]
/// struct Mailbox {
///     host: &'static str,
///     login: Masked<&'static str>,
/// }
///
/// let mailbox = Mailbox { host: "mail.example", login: Masked::new("hunter2") };
/// let recorded = serde_json::to_value(&mailbox)?;
/// assert_eq!(recorded, serde_json::json!({ "host": "mail.example", "login": "[redacted]" }));
/// assert_eq!(*mailbox.login.expose(), "hunter2");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(transparent)]
pub struct Masked<T>(T);

impl<T> Masked<T> {
    /// Takes the value over.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> Serialize for Masked<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<T> fmt::Debug for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}
