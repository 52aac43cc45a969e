-- role: app
-- Appends entries of one tenant and one actor; of those with a key only the ones whose key is free, in the same
-- statement that takes it. Answers the ids of what was written, or which entries' keys are in the hands of a
-- transaction that has not ended: then nothing is written.
-- Parameters: tenant, actor (user id, kind, id, on behalf of), then one array a column (NULL stands for an object
-- without keys), hashes of keys and of contents last.
WITH answer AS MATERIALIZED (
    SELECT a.taken, a.busy FROM tenancy.audit_take_keys($1, $20::bytea[], $6::uuid[], $21::bytea[]) a
), written AS (
    INSERT INTO tenancy.audit_logs (
        tenant_id, actor_user_id, actor_kind, actor_id, on_behalf_of, id, action, resource, outcome,
        targets, context, personal, commitments, request_id, meta, redacted, truncated,
        schema_version, content_hash
    )
    SELECT $1, $2, $3, $4, $5, g.id, g.action, g.resource, g.outcome, g.targets,
           coalesce(g.context, '{}'), coalesce(g.personal, '{}'), coalesce(g.commitments, '{}'),
           g.request_id, coalesce(g.meta, '{}'), g.redacted, g.truncated, g.schema_version, g.content_hash
    FROM answer a, unnest(
        $6::uuid[], $7::text[], $8::text[], $9::text[], $10::jsonb[], $11::jsonb[], $12::jsonb[],
        $13::jsonb[], $14::uuid[], $15::jsonb[], $16::boolean[], $17::boolean[], $18::smallint[],
        $19::bytea[], $20::bytea[]
    ) AS g (
        id, action, resource, outcome, targets, context, personal, commitments, request_id, meta,
        redacted, truncated, schema_version, content_hash, key_hash
    )
    WHERE a.busy IS NULL AND (g.key_hash IS NULL OR g.id IN (SELECT unnest(t.taken) FROM answer t))
    RETURNING id
)
SELECT a.busy, ARRAY(SELECT w.id FROM written w) AS written FROM answer a
