//! What an export of a tenant leaves out of the parts' tables.

use tenancy_core::ExportOptions;

/// Leaves out what is sealed for this installation: it is of no use to anybody else, and a file is
/// a bad place for it.
pub fn export_options() -> ExportOptions {
    const WHY: &str = "sealed under keys that do not leave this installation";
    ExportOptions::default()
        .without("tenancy.integration_secrets", Some("encrypted"), WHY)
        .without("tenancy.tenant_data_keys", None, WHY)
}
