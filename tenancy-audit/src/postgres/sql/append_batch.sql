-- role: app
-- Appends entries of one tenant and one actor; the database adds txid and created_at.
-- Parameters: tenant, actor (user id, kind, id, on behalf of), then one array a column; NULL stands for an object
-- without keys, which costs nothing to read.
INSERT INTO tenancy.audit_logs (
    tenant_id, actor_user_id, actor_kind, actor_id, on_behalf_of, id, action, resource, outcome,
    targets, context, personal, commitments, request_id, meta, redacted, truncated,
    schema_version, content_hash
)
SELECT $1, $2, $3, $4, $5, e.id, e.action, e.resource, e.outcome, e.targets,
       coalesce(e.context, '{}'), coalesce(e.personal, '{}'), coalesce(e.commitments, '{}'),
       e.request_id, coalesce(e.meta, '{}'), e.redacted, e.truncated, e.schema_version, e.content_hash
FROM unnest(
    $6::uuid[], $7::text[], $8::text[], $9::text[], $10::jsonb[], $11::jsonb[], $12::jsonb[],
    $13::jsonb[], $14::uuid[], $15::jsonb[], $16::boolean[], $17::boolean[], $18::smallint[],
    $19::bytea[]
) AS e (
    id, action, resource, outcome, targets, context, personal, commitments, request_id, meta,
    redacted, truncated, schema_version, content_hash
)
