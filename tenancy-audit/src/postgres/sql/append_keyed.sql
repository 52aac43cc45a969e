-- role: app
-- Appends entries of one tenant and one actor; of those with a key only the ones whose key is free, in the same
-- statement that takes it. Answers the ids of what was written. Keys are taken in order, so that two batches
-- wait for each other and never in a circle.
-- Parameters: tenant, actor (user id, kind, id, on behalf of), then one array a column, hashes of keys and of
-- contents last.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(
        $6::uuid[], $7::text[], $8::text[], $9::text[], $10::jsonb[], $11::jsonb[], $12::jsonb[],
        $13::jsonb[], $14::uuid[], $15::jsonb[], $16::boolean[], $17::boolean[], $18::smallint[],
        $19::bytea[], $20::bytea[], $21::bytea[]
    ) AS e (
        id, action, resource, outcome, targets, context, personal, commitments, request_id, meta,
        redacted, truncated, schema_version, content_hash, key_hash, key_content
    )
), taken AS (
    INSERT INTO tenancy.audit_keys (tenant_id, key_hash, entry_id, content_hash)
    SELECT $1, g.key_hash, g.id, g.key_content FROM given g
    WHERE g.key_hash IS NOT NULL ORDER BY g.key_hash, g.id
    ON CONFLICT DO NOTHING
    RETURNING entry_id
)
INSERT INTO tenancy.audit_logs (
    tenant_id, actor_user_id, actor_kind, actor_id, on_behalf_of, id, action, resource, outcome,
    targets, context, personal, commitments, request_id, meta, redacted, truncated,
    schema_version, content_hash
)
SELECT $1, $2, $3, $4, $5, g.id, g.action, g.resource, g.outcome, g.targets, g.context, g.personal,
       g.commitments, g.request_id, g.meta, g.redacted, g.truncated, g.schema_version, g.content_hash
FROM given g
WHERE g.key_hash IS NULL OR g.id IN (SELECT t.entry_id FROM taken t)
RETURNING id
