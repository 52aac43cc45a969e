-- role: app
-- Whether a user may enter a tenant: the states of the tenant and of the membership.
-- $1 tenant, $2 user. Index: primary key of memberships.
SELECT tenant_status, member_status FROM tenancy.enter($1, $2)
