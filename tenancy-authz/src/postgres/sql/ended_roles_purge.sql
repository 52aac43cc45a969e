-- role: worker
-- Deletes assignments that ended long enough ago, over all tenants. $1 seconds, $2 how many at most.
-- Index: member_roles_ends.
SELECT tenancy.purge_ended_roles($1, $2)
