-- role: app
-- A page of members. $1 tenant, $2 after this user (or NULL), $3 limit.
-- Index: primary key of memberships.
SELECT user_id, status, is_owner, joined_at
FROM tenancy.memberships
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR user_id > $2)
ORDER BY user_id
LIMIT $3
