-- role: app
-- One entry. Parameters: tenant, id. Index: primary key.
SELECT tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
       targets, context, personal, commitments, request_id, meta, redacted, truncated,
       schema_version, content_hash, created_at
FROM tenancy.audit_logs
WHERE tenant_id = $1 AND id = $2
