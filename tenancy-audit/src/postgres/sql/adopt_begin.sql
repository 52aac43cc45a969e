-- role: operator (tenancy_owner)
-- Every tenant's entries that no seal holds, and where its seals end. No parameters.
SELECT state, tenant_id, records, seals, entries, hash, frontier, at_txid FROM tenancy.audit_adopt_begin()
