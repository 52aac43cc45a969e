-- role: app
-- The state of a tenant in which somebody acts for a member, if his session runs; no row otherwise.
-- $1 tenant, $2 who acts, $3 for whom. Index: impersonations_open.
SELECT tenant_status, may_write FROM tenancy.enter_impersonating($1, $2, $3)
