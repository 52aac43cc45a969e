-- role: app
-- A page of entries by one filter, planned once for any value: planning for each of the months of an old log takes
-- longer than reading them. The filter takes the place of `true`, its column the first place in the order, and ASC that
-- of DESC. The filter is a range of one value: by an equality the order would be that of ids alone, which the primary
-- key has as well, and without a value the planner can't see how many entries it would walk over.
-- Within a month it is read from the first entry of its filter on: for pages that begin elsewhere use search.sql.
-- Run with enable_sort off, so that the index which is in this order is taken, whatever is estimated.
-- Parameters: tenant; ids from (inclusive) and to (exclusive); how many; a snapshot; those of the filter.
SELECT tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
       targets, context, personal, commitments, request_id, meta, redacted, truncated,
       schema_version, content_hash, created_at
FROM tenancy.audit_logs
WHERE tenant_id = $1
  AND id >= $2
  AND id < $3
  AND ($5::text IS NULL OR pg_visible_in_snapshot(txid, (SELECT $5::text::pg_snapshot)))
  AND true
ORDER BY id DESC
LIMIT $4
