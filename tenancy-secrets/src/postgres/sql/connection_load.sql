-- role: app
-- A connection with its tokens, its tenant's state, and its times as seconds from now by the
-- database's clock.
-- $1 tenant, $2 connection. Index: primary key; integration_secrets_path.
SELECT c.id, c.provider, c.status, c.status_reason, c.external_account_id, c.account_label, c.requested_scopes,
    c.granted_scopes, c.generation, c.access_expires_at, c.connected_by, c.created_at, c.updated_at,
    (SELECT t.status FROM tenancy.tenants t WHERE t.id = c.tenant_id) AS tenant_status,
    extract(epoch FROM c.access_expires_at - clock_timestamp())::float8 AS expires_in,
    extract(epoch FROM c.access_expires_at - c.access_obtained_at)::float8 AS lifetime,
    extract(epoch FROM c.retry_at - clock_timestamp())::float8 AS retry_in,
    a.id AS access_id, a.version AS access_version, a.encrypted AS access,
    r.id AS refresh_id, r.version AS refresh_version, r.encrypted AS refresh
FROM tenancy.oauth_connections c
LEFT JOIN tenancy.integration_secrets a
    ON a.tenant_id = c.tenant_id AND a.provider = c.provider AND a.name = c.id::text AND a.field = 'access_token'
LEFT JOIN tenancy.integration_secrets r
    ON r.tenant_id = c.tenant_id AND r.provider = c.provider AND r.name = c.id::text AND r.field = 'refresh_token'
WHERE c.tenant_id = $1 AND c.id = $2
