-- role: operator (tenancy_owner)
-- Keeps everybody from changing a month's partition. Parameters: the month's first day.
SELECT tenancy.audit_lock_month($1)
