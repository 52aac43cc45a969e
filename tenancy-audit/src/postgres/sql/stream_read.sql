-- role: worker
-- The next entries of a stream. Parameters: name; fence; the transaction, tenant and id up to which to read; how many.
-- Index: audit_logs_order.
SELECT tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
       targets, context, personal, commitments, request_id, meta, redacted, truncated,
       schema_version, content_hash, created_at, txid
FROM tenancy.audit_stream_read($1, $2, $3, $4, $5, $6)
