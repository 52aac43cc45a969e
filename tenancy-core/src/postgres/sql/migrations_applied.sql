-- role: app
-- Every step that ran. No parameters. A few dozen rows.
SELECT component, version, checksum, breaking FROM tenancy.schema_migrations
