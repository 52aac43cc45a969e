-- role: app
-- A page of entries, oldest first. Planned for the values at hand (sent as an unnamed statement), so
-- that a filter that is NULL disappears and the best index is taken:
-- primary key, audit_logs_action, _actor, _resource, _request, _not_allowed.
-- Parameters: tenant; ids from (inclusive) and to (exclusive); actor kind and id; action; action
-- from and to; resource; resource from and to; a target; outcome; request; how many.
SELECT tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
       targets, context, personal, commitments, request_id, meta, redacted, truncated,
       schema_version, content_hash, created_at
FROM tenancy.audit_logs
WHERE tenant_id = $1
  AND id >= $2
  AND id < $3
  AND ($4::text IS NULL OR actor_kind = $4)
  AND ($5::text IS NULL OR actor_id = $5)
  AND ($6::text IS NULL OR action = $6)
  AND ($7::text IS NULL OR action >= $7)
  AND ($8::text IS NULL OR action < $8)
  AND ($9::text IS NULL OR resource = $9)
  AND ($10::text IS NULL OR resource >= $10)
  AND ($11::text IS NULL OR resource < $11)
  AND ($12::jsonb IS NULL OR targets @> $12)
  AND ($13::text IS NULL OR outcome = $13)
  AND ($14::uuid IS NULL OR request_id = $14)
ORDER BY id ASC
LIMIT $15
