//! The doctor, told what it can't guess of the parts' tables.

use tenancy_core::{
    Error, OperatorDb, TenantDb,
    doctor::{self, Options, Report},
};

/// Examines the database and attacks it, with a row in every table of every part.
///
/// With the application's own handle the attack runs as its login too.
///
/// # Errors
/// As [`tenancy_core::doctor::run`].
pub async fn doctor(operator: &OperatorDb, app: Option<&TenantDb>) -> Result<Report, Error> {
    let mut options = Options::default();
    if let Some(app) = app {
        options = options.with_app(app);
    }
    doctor_with(operator, options).await
}

/// The same with options: accepted findings, tenant columns by other names, sample values.
///
/// # Errors
/// As [`doctor()`].
pub async fn doctor_with(operator: &OperatorDb, options: Options) -> Result<Report, Error> {
    doctor::run(operator, &samples(patterns(options))).await
}

/// Nobody guesses what a wildcard looks like.
#[cfg(feature = "authz")]
fn patterns(options: Options) -> Options {
    options.with_sample(
        "tenancy.role_wildcards",
        serde_json::json!({ "pattern": "docs.*" }),
    )
}

#[cfg(not(feature = "authz"))]
fn patterns(options: Options) -> Options {
    options
}

/// A sealed secret names its key twice, in a column and in its bytes: nobody guesses such a row.
#[cfg(feature = "secrets")]
fn samples(options: Options) -> Options {
    const NIL: &str = "00000000-0000-0000-0000-000000000000";
    let envelope = "A".repeat(132);
    let secret = serde_json::json!({
        "key_id": NIL,
        "encrypted": { "v": 1, "envelope": envelope },
    });
    options
        .with_sample(
            "tenancy.tenant_data_keys",
            serde_json::json!({ "key_id": NIL }),
        )
        .with_sample("tenancy.integration_secrets", secret)
}

#[cfg(not(feature = "secrets"))]
fn samples(options: Options) -> Options {
    options
}
