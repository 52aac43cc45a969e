-- role: operator (tenancy_owner)
-- Drops the partition of a month. Parameters: the month's first day.
SELECT tenancy.audit_drop_month($1)
