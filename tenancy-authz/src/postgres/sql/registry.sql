-- role: app
-- Every registered permission. No parameters. At most 65,536 rows, read when a key is not known yet.
SELECT key, description, bit FROM tenancy.permissions ORDER BY key
