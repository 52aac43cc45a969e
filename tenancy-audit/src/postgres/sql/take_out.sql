-- role: operator (tenancy_owner)
-- Takes entries of a tenant that were sealed out of the log. Parameters: tenant; action, or `prefix%`, or NULL
-- for all; older than; from when on only what no stream waits for; how many at most.
SELECT tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
       targets, context, personal, commitments, request_id, meta, redacted, truncated,
       schema_version, content_hash, created_at, txid::text AS txid
FROM tenancy.audit_take_told($1, $2, $3, $4, $5)
