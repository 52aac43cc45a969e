//! The one place where SQL is put together from values: index names and the predicate of a
//! partial index can't be parameters. Only hexadecimal digits and hyphens of a uuid go in.

use sqlx::AssertSqlSafe;
use tenancy_core::TenantId;

const PREFIX: &str = "kb_chunks_hnsw_";

/// The name of a tenant's index: 47 characters, as `standing.sql` makes it.
pub(super) fn index_name(tenant: TenantId) -> String {
    format!("{PREFIX}{}", tenant.as_uuid().simple())
}

/// The tenant that an index of this name belongs to.
pub(super) fn tenant_of(index: &str) -> Option<TenantId> {
    let digits = index
        .strip_prefix(PREFIX)
        .filter(|digits| digits.len() == 32)?;
    let mut uuid = String::with_capacity(36);
    for (at, digit) in digits.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            uuid.push('-');
        }
        uuid.push(digit);
    }
    uuid.parse().ok()
}

pub(super) fn create(tenant: TenantId) -> AssertSqlSafe<String> {
    let name = index_name(tenant);
    AssertSqlSafe(format!(
        "CREATE INDEX CONCURRENTLY {name} ON tenancy.kb_chunks \
         USING hnsw ((embedding::halfvec(1536)) halfvec_cosine_ops) WHERE tenant_id = '{tenant}'"
    ))
}

pub(super) fn drop(tenant: TenantId) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "DROP INDEX CONCURRENTLY IF EXISTS tenancy.{}",
        index_name(tenant)
    ))
}

/// Memory for the graph, in megabytes.
pub(super) fn memory(megabytes: u32) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("SET maintenance_work_mem = '{megabytes}MB'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_index_leads_back_to_its_tenant() {
        let tenant = TenantId::new();
        let name = index_name(tenant);
        assert!(name.len() < 63);
        assert_eq!(tenant_of(&name), Some(tenant));
        assert_eq!(tenant_of("kb_chunks_hnsw_global"), None);
    }
}
