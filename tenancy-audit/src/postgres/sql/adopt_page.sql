-- role: operator (tenancy_owner)
-- Of the next entries those that no seal holds, tenant by tenant, and behind which entry to go on. Parameters: the
-- first id that is looked at, and the one below which all have to be, if there is one; transaction, tenant and id of the
-- entry behind which to go on; how many entries are looked at. Indexes: audit_logs_order, audit_seals_ids.
SELECT to_txid, to_tenant, to_entry, tenant_id, records, seals, entries, hash, frontier
FROM tenancy.audit_adopt_page($1, $2, $3, $4, $5, $6)
