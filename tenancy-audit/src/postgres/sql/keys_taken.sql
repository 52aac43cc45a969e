-- role: app
-- What was recorded under these keys: entries that were written after their key was taken. A key that points
-- elsewhere stands for nothing.
-- Parameters: tenant, hashes of keys. Indexes: both primary keys.
SELECT k.key_hash, l.tenant_id, l.id, l.actor_user_id, l.actor_kind, l.actor_id, l.on_behalf_of, l.action, l.resource,
       l.outcome, l.targets, l.context, l.personal, l.commitments, l.request_id, l.meta, l.redacted, l.truncated,
       l.schema_version, l.content_hash, l.created_at
FROM tenancy.audit_keys k
JOIN tenancy.audit_logs l ON l.tenant_id = k.tenant_id AND l.id = k.entry_id AND l.created_at >= k.created_at
WHERE k.tenant_id = $1 AND k.key_hash = ANY ($2)
