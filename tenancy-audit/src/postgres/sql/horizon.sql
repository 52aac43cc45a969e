-- role: app
-- Below which transaction everything is sealed. No parameters.
SELECT tenancy.audit_horizon()
