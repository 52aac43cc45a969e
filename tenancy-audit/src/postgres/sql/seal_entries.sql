-- role: app
-- The entries of a seal that are left, in its order. Parameters: tenant, ids, the least and the largest of them.
-- Index: primary key.
SELECT l.tenant_id, l.id, l.actor_user_id, l.actor_kind, l.actor_id, l.on_behalf_of, l.action, l.resource, l.outcome,
       l.targets, l.context, l.personal, l.commitments, l.request_id, l.meta, l.redacted, l.truncated,
       l.schema_version, l.content_hash, l.created_at, l.txid::text AS txid
FROM tenancy.audit_logs l
JOIN unnest($2::uuid[]) WITH ORDINALITY AS s (id, at) ON s.id = l.id
WHERE l.tenant_id = $1 AND l.id BETWEEN $3 AND $4
ORDER BY s.at
