-- role: operator (tenancy_owner)
-- Adds to the numbers of transactions from now on. Parameters: how much.
SELECT tenancy.audit_count_from($1)
