-- role: app
-- Whether an active member is an owner; no row for anybody else. $1 tenant, $2 user.
-- Index: primary key of memberships.
SELECT is_owner FROM tenancy.memberships
WHERE tenant_id = $1 AND user_id = $2 AND status = 'active'
