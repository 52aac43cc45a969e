-- role: app
-- Appends one entry; the database adds txid and created_at.
-- Parameters: the columns in the order named; NULL stands for an object without keys. Policy: actor and tenant
-- are the context's.
INSERT INTO tenancy.audit_logs (
    tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
    targets, context, personal, commitments, request_id, meta, redacted, truncated,
    schema_version, content_hash
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
    coalesce($11::jsonb, '{}'), coalesce($12::jsonb, '{}'), coalesce($13::jsonb, '{}'), $14, coalesce($15::jsonb, '{}'),
    $16, $17, $18, $19
)
