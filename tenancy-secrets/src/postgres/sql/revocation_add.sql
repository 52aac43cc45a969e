-- role: app
-- Keeps a connection's token, as it is sealed, to be taken back; nothing if it has none of this field.
-- $1 tenant, $2 id, $3 connection, $4 provider, $5 name under which it is kept, $6 field, $7 seconds
-- until others may try. Index: integration_secrets_path.
INSERT INTO tenancy.oauth_revocations
    (tenant_id, id, connection_id, provider, secret_id, field, version, encrypted, key_id, due_at)
SELECT s.tenant_id, $2, $3, s.provider, s.id, s.field, s.version, s.encrypted, s.key_id,
    clock_timestamp() + make_interval(secs => $7)
FROM tenancy.integration_secrets s
WHERE s.tenant_id = $1 AND s.provider = $4 AND s.name = $5 AND s.connection_id = $3 AND s.field = $6
