-- role: app
-- A page of invitations, newest first. $1 tenant, $2 behind this id (or NULL), $3 state (or NULL),
-- $4 limit. Index: primary key of invitations (ids sort by time).
SELECT id, email, role_keys, expires_at, shown.status
FROM tenancy.invitations i
CROSS JOIN LATERAL (
    SELECT CASE WHEN i.status = 'pending' AND i.expires_at <= clock_timestamp() THEN 'expired' ELSE i.status END
) AS shown (status)
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ($3::text IS NULL OR shown.status = $3)
ORDER BY id DESC
LIMIT $4
