-- role: worker
-- The next entries to seal, tenant by tenant, and where each tenant's seals end.
-- Parameters: the most entries. Index: audit_logs_order.
SELECT state, tenant_id, records, seals, entries, hash, frontier, at_txid FROM tenancy.audit_seal_begin($1)
