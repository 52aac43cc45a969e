-- Tokens of accounts that were disconnected and that the provider has not yet taken back.

SET LOCAL ROLE tenancy_owner;

-- A token that no connection has any more, still sealed for the row that it was. It goes when the
-- provider has taken it back, or when that was tried for long enough.
CREATE TABLE tenancy.oauth_revocations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    provider text COLLATE "C" NOT NULL CHECK (provider ~ '^[a-z][a-z0-9_]{0,62}$'),
    secret_id uuid NOT NULL,
    field text COLLATE "C" NOT NULL CHECK (field IN ('access_token', 'refresh_token')),
    version bigint NOT NULL CHECK (version >= 1),
    encrypted jsonb NOT NULL,
    key_id uuid NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- When it is tried next; also the end of the lease of who is trying.
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES tenancy.oauth_connections (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenancy.tenant_data_keys (tenant_id, key_id) ON DELETE CASCADE
);
CREATE INDEX oauth_revocations_due ON tenancy.oauth_revocations (due_at);
CREATE INDEX oauth_revocations_key ON tenancy.oauth_revocations (tenant_id, key_id);
CREATE INDEX oauth_revocations_connection ON tenancy.oauth_revocations (tenant_id, connection_id);
SELECT tenancy.protect_table('tenancy.oauth_revocations');
SELECT tenancy.admit_definer('tenancy.oauth_revocations');

SET LOCAL ROLE tenancy_definer;

-- Gives out what is due, without any token, for as long as the lease; what belongs to a tenant that
-- can't be entered waits.
CREATE FUNCTION tenancy.due_oauth_revocations(p_limit integer, p_lease interval)
    RETURNS TABLE (tenant_id uuid, id uuid)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        SELECT d.tenant_id, d.id
        FROM tenancy.oauth_revocations d
        JOIN tenancy.tenants t ON t.id = d.tenant_id
        WHERE d.due_at <= clock_timestamp() AND t.status IN ('active', 'suspended_read_only')
        ORDER BY d.due_at
        LIMIT p_limit
        FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE tenancy.oauth_revocations r SET due_at = clock_timestamp() + p_lease
    FROM due
    WHERE r.tenant_id = due.tenant_id AND r.id = due.id
    RETURNING r.tenant_id, r.id
$$;

GRANT EXECUTE ON FUNCTION tenancy.due_oauth_revocations(integer, interval) TO tenancy_worker;

SET LOCAL ROLE NONE;
