-- role: app
-- A page of the tenants a user is an active member of, by name. $1 user, $2 and $3 behind this name and
-- id (or NULL), $4 limit. Index: memberships_user.
SELECT id, slug, name, status, created_at, is_owner FROM tenancy.tenants_of($1, $2, $3, $4)
