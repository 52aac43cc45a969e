-- role: operator
-- A page of what happened outside of every tenant, newest first. Index: primary key.
-- $1 before this entry (or NULL), $2 not older than (or NULL), $3 kind (or NULL), $4 limit.
SELECT id, kind, code, tenant_named, actor, host(address) AS address, count, first_at, last_at
FROM tenancy.platform_log
WHERE ($1::bigint IS NULL OR id < $1)
  AND ($2::timestamptz IS NULL OR last_at >= $2)
  AND ($3::text IS NULL OR kind = $3)
ORDER BY id DESC
LIMIT $4
