-- role: app
-- Every step that ran. No parameters. A few dozen rows.
SELECT component, version, checksum, compatible_from FROM tenancy.schema_migrations
