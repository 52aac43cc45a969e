-- role: app
-- One member. $1 tenant, $2 user. Index: primary key of memberships.
SELECT user_id, status, is_owner, joined_at
FROM tenancy.memberships
WHERE tenant_id = $1 AND user_id = $2
