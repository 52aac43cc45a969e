-- role: operator
-- Keeps that a step ran. Parameters: component, version, name, checksum, breaking.
INSERT INTO tenancy.schema_migrations (component, version, name, checksum, breaking)
VALUES ($1, $2, $3, $4, $5)
