use serde_json::Value;

use crate::TenantDb;

/// What [`run`](super::run) looks at, and how.
///
/// ```
/// use tenancy_core::doctor::Options;
///
/// let options = Options::default()
///     .with_tenant_column("org_id")
///     .with_accepted(["TEN302 public.invoices_pkey"]);
/// assert!(options.attack);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The app's own connections. With them the attack is carried out by the login that serves
    /// requests as well, and not by `tenancy_app` alone.
    pub app: Option<TenantDb>,
    /// Whether to attack; true by default. Without it only the catalog is read.
    pub attack: bool,
    /// Names of columns that tell tenants apart, the best first; `tenant_id` by default. A column
    /// that a policy compares with `util.current_tenant()`, or the only one that refers to
    /// `tenancy.tenants`, is found without being named.
    pub tenant_columns: Vec<String>,
    /// Values for tables whose constraints the attack can't satisfy by itself: the qualified name
    /// of a table, and an object with some of its columns.
    pub samples: Vec<(String, Value)>,
    /// Findings that are known and accepted: whatever a rule finds at an object, such as
    /// `TEN302 public.invoices_pkey`, or exactly one finding, with the hash of its detail behind.
    pub accepted: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            app: None,
            attack: true,
            tenant_columns: vec!["tenant_id".to_owned()],
            samples: Vec::new(),
            accepted: Vec::new(),
        }
    }
}

impl Options {
    /// Lets the app's login attack as well.
    pub fn with_app(mut self, app: &TenantDb) -> Self {
        self.app = Some(app.clone());
        self
    }

    /// Says whether to attack.
    pub fn with_attack(mut self, attack: bool) -> Self {
        self.attack = attack;
        self
    }

    /// Names one more tenant column.
    pub fn with_tenant_column(mut self, name: impl Into<String>) -> Self {
        self.tenant_columns.push(name.into());
        self
    }

    /// Gives values for some columns of a table, such as `public.invoices`.
    pub fn with_sample(mut self, table: impl Into<String>, columns: Value) -> Self {
        self.samples.push((table.into(), columns));
        self
    }

    /// Accepts findings: a report leaves them out and counts them. Takes the lines of a baseline
    /// file as [`Report::to_baseline`](super::Report::to_baseline) writes it; empty lines and those
    /// that begin with `#` are skipped.
    pub fn with_accepted<I, S>(mut self, lines: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let lines = lines.into_iter().map(|line| line.into().trim().to_owned());
        self.accepted
            .extend(lines.filter(|line| !line.is_empty() && !line.starts_with('#')));
        self
    }
}
