-- role: operator
-- Keeps that a step ran. Parameters: component, version, name, checksum, compatible_from.
INSERT INTO tenancy.schema_migrations (component, version, name, checksum, compatible_from)
VALUES ($1, $2, $3, $4, $5)
