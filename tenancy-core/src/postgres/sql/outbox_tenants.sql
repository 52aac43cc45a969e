-- role: worker
-- Tenants with work, and whether some of it can be given out. $1 behind which, $2 how many. Index:
-- outbox_due.
SELECT tenant_id, ready FROM tenancy.outbox_tenants($1, $2)
