-- role: app
-- A page of entries by one filter, planned once for any value: the filter takes the place of `true`, and ASC that of
-- DESC. With one filter it is clear which index is the best, and planning for each of the months of an old log takes
-- longer than reading them.
-- Parameters: tenant; ids from (inclusive) and to (exclusive); how many; a snapshot; those of the filter.
SELECT tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
       targets, context, personal, commitments, request_id, meta, redacted, truncated,
       schema_version, content_hash, created_at
FROM tenancy.audit_logs
WHERE tenant_id = $1
  AND id >= $2
  AND id < $3
  AND ($5::text IS NULL OR pg_visible_in_snapshot(txid, $5::text::pg_snapshot))
  AND true
ORDER BY id DESC
LIMIT $4
