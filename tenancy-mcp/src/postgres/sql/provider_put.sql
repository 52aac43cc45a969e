-- role: operator
-- Enters a provider in the catalog, or changes it. $1 key, $2 name, $3 transport, $4 endpoint,
-- $5 auth, $6 header, $7 rejects before work, $8 allowed. Index: primary key of mcp_providers.
INSERT INTO tenancy.mcp_providers AS p
    (key, name, transport, endpoint, auth, auth_header, rejects_before_work, allowed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (key) DO UPDATE
SET name = excluded.name, transport = excluded.transport, endpoint = excluded.endpoint,
    auth = excluded.auth, auth_header = excluded.auth_header,
    rejects_before_work = excluded.rejects_before_work, allowed = excluded.allowed,
    updated_at = clock_timestamp()
