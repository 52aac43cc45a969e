-- role: app
-- The tenants a user is an active member of, by name. $1 user. Index: memberships_user.
SELECT id, slug, name, status, created_at, is_owner FROM tenancy.tenants_of($1)
