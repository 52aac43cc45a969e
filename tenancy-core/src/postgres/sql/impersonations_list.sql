-- role: app
-- A page of sessions, newest first. $1 tenant, $2 behind this id (or NULL), $3 limit.
-- Index: primary key of impersonations (ids sort by time).
SELECT id, support_user, member, reason, started_at, expires_at, ended_at
FROM tenancy.impersonations
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3
