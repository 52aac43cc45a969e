-- role: worker
-- Gives out revocations that are due. $1 how many, $2 for how long. Index: oauth_revocations_due.
SELECT tenant_id, id FROM tenancy.due_oauth_revocations($1, $2)
