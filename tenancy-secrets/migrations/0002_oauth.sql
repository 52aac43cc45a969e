-- OAuth connections and the states of those that are being made.

SET LOCAL ROLE tenancy_owner;

-- One account at a provider. Its tokens are rows of integration_secrets, named after it.
CREATE TABLE tenancy.oauth_connections (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    provider text COLLATE "C" NOT NULL CHECK (provider ~ '^[a-z][a-z0-9_]{0,62}$'),
    status text NOT NULL CHECK (status IN ('connected', 'needs_reauth', 'disconnected')),
    status_reason text CHECK (char_length(status_reason) <= 200),
    -- NULL where the provider does not tell.
    external_account_id text COLLATE "C" CHECK (char_length(external_account_id) BETWEEN 1 AND 512),
    account_label text CHECK (char_length(account_label) <= 320),
    requested_scopes text[] NOT NULL,
    granted_scopes text[] NOT NULL,
    -- Counts the tokens it has had; a refresh replaces one generation by the next, once.
    generation bigint NOT NULL DEFAULT 1 CHECK (generation >= 1),
    access_obtained_at timestamptz,
    -- NULL where the token does not expire.
    access_expires_at timestamptz,
    -- Who may call the provider, until when, and the number that his commit has to show.
    lease_owner uuid,
    lease_until timestamptz,
    fence bigint NOT NULL DEFAULT 0,
    -- Refreshes of this generation that were sent and whose answer nobody knows.
    open_attempts integer NOT NULL DEFAULT 0,
    -- Refreshes of this generation that failed in a row, and when to try again.
    failures integer NOT NULL DEFAULT 0,
    retry_at timestamptz,
    connected_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX oauth_connections_account
    ON tenancy.oauth_connections (tenant_id, provider, external_account_id);
-- Finds other tenants' connections of the same account, before a grant they share is revoked.
CREATE INDEX oauth_connections_shared ON tenancy.oauth_connections (provider, external_account_id)
    WHERE status IN ('connected', 'needs_reauth');
SELECT tenancy.protect_table('tenancy.oauth_connections', '{select,insert,update}');
SELECT tenancy.admit_definer('tenancy.oauth_connections');

-- Keyed across tenants by the hash of what only the browser and the provider were given.
CREATE TABLE tenancy.oauth_states (
    state_hash bytea PRIMARY KEY CHECK (octet_length(state_hash) = 32),
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    provider text COLLATE "C" NOT NULL CHECK (provider ~ '^[a-z][a-z0-9_]{0,62}$'),
    scopes text[] NOT NULL,
    return_to text NOT NULL CHECK (char_length(return_to) <= 2048),
    browser_hash bytea NOT NULL CHECK (octet_length(browser_hash) = 32),
    -- Set where an existing connection is connected again.
    connection_id uuid,
    -- The sealed PKCE verifier.
    verifier jsonb NOT NULL,
    key_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenancy.tenant_data_keys (tenant_id, key_id) ON DELETE CASCADE
);
CREATE INDEX oauth_states_key ON tenancy.oauth_states (tenant_id, key_id);
CREATE INDEX oauth_states_expiry ON tenancy.oauth_states (expires_at);
SELECT tenancy.admit_definer('tenancy.oauth_states');

SET LOCAL ROLE tenancy_definer;

-- Remembers a state, and forgets some that have expired. 'ok', 'key_retired' or 'too_many'.
CREATE FUNCTION tenancy.open_oauth_state(
    p_hash bytea, p_id uuid, p_provider text, p_scopes text[], p_return_to text, p_browser_hash bytea,
    p_connection uuid, p_verifier jsonb, p_key uuid, p_valid_for interval, p_limit integer
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    IF NOT tenancy.hold_data_key(this_tenant, p_key) THEN
        RETURN 'key_retired';
    END IF;
    DELETE FROM tenancy.oauth_states WHERE state_hash IN (
        SELECT state_hash FROM tenancy.oauth_states
        WHERE expires_at < clock_timestamp()
        ORDER BY expires_at LIMIT 20 FOR UPDATE SKIP LOCKED
    );
    IF (SELECT count(*) FROM tenancy.oauth_states
        WHERE tenant_id = this_tenant AND user_id = util.current_user_id()
          AND expires_at > clock_timestamp()) >= p_limit
    THEN
        RETURN 'too_many';
    END IF;
    INSERT INTO tenancy.oauth_states
        (state_hash, tenant_id, id, user_id, provider, scopes, return_to, browser_hash, connection_id, verifier,
         key_id, expires_at)
    VALUES (p_hash, this_tenant, p_id, util.current_user_id(), p_provider, p_scopes, p_return_to, p_browser_hash,
        p_connection, p_verifier, p_key, clock_timestamp() + p_valid_for);
    RETURN 'ok';
END
$$;

-- Gives a state out once. Keyed by a secret: no tenant is entered yet when the provider calls back.
CREATE FUNCTION tenancy.take_oauth_state(p_hash bytea)
    RETURNS TABLE (
        tenant_id uuid, id uuid, user_id uuid, provider text, scopes text[], return_to text, browser_hash bytea,
        connection_id uuid, verifier jsonb, expired boolean
    )
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM tenancy.oauth_states s WHERE s.state_hash = p_hash
    RETURNING s.tenant_id, s.id, s.user_id, s.provider, s.scopes, s.return_to, s.browser_hash, s.connection_id,
        s.verifier, s.expires_at <= clock_timestamp()
$$;

-- Ends a refresh: the new tokens and the connection's next generation, or nothing. p_refresh is
-- NULL where the provider sent none and the old one stays. 'ok', 'key_retired' or 'stale'.
CREATE FUNCTION tenancy.commit_oauth_refresh(
    p_connection uuid, p_fence bigint, p_generation bigint, p_expires_in interval, p_granted text[], p_key uuid,
    p_access_id uuid, p_access_version bigint, p_access jsonb,
    p_refresh_id uuid, p_refresh_version bigint, p_refresh jsonb
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    IF NOT tenancy.hold_data_key(this_tenant, p_key) THEN
        RETURN 'key_retired';
    END IF;
    UPDATE tenancy.oauth_connections
    SET generation = generation + 1, status_reason = NULL, granted_scopes = coalesce(p_granted, granted_scopes),
        access_obtained_at = clock_timestamp(), access_expires_at = clock_timestamp() + p_expires_in,
        lease_owner = NULL, lease_until = NULL, open_attempts = 0, failures = 0, retry_at = NULL,
        updated_at = clock_timestamp()
    WHERE tenant_id = this_tenant AND id = p_connection AND status = 'connected'
      AND fence = p_fence AND generation = p_generation;
    IF NOT FOUND THEN
        RETURN 'stale';
    END IF;
    UPDATE tenancy.integration_secrets s
    SET encrypted = t.encrypted, key_id = p_key, version = t.version, generation = s.generation + 1,
        updated_at = clock_timestamp()
    FROM (VALUES (p_access_id, p_access_version, p_access), (p_refresh_id, p_refresh_version, p_refresh))
        AS t (id, version, encrypted)
    WHERE s.tenant_id = this_tenant AND s.id = t.id AND s.connection_id = p_connection AND t.encrypted IS NOT NULL;
    RETURN 'ok';
END
$$;

-- Whether a connection, of whatever tenant, lives on the same account's grant: another one, or this
-- one, if it was connected again since.
CREATE FUNCTION tenancy.oauth_account_shared(p_connection uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM tenancy.oauth_connections mine
        JOIN tenancy.oauth_connections other
          ON other.provider = mine.provider AND other.external_account_id = mine.external_account_id
        WHERE mine.tenant_id = util.current_tenant() AND mine.id = p_connection
          AND other.status IN ('connected', 'needs_reauth')
    )
$$;

-- Destroys keys that were retired this long ago and under which nothing is left. Answers how many.
CREATE FUNCTION tenancy.destroy_retired_keys(p_tenant uuid, p_grace interval) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    destroyed bigint;
BEGIN
    DELETE FROM tenancy.oauth_states WHERE tenant_id = p_tenant AND expires_at < clock_timestamp();
    UPDATE tenancy.tenant_data_keys k
    SET state = 'destroyed', wrapped = NULL, destroyed_at = clock_timestamp()
    WHERE k.tenant_id = p_tenant AND k.state = 'decrypt_only' AND k.retired_at <= clock_timestamp() - p_grace
      AND NOT EXISTS (
        SELECT FROM tenancy.integration_secrets s WHERE s.tenant_id = k.tenant_id AND s.key_id = k.key_id)
      AND NOT EXISTS (
        SELECT FROM tenancy.oauth_states s WHERE s.tenant_id = k.tenant_id AND s.key_id = k.key_id)
      AND NOT EXISTS (
        SELECT FROM tenancy.oauth_revocations r WHERE r.tenant_id = k.tenant_id AND r.key_id = k.key_id)
      AND NOT EXISTS (
        SELECT FROM tenancy.subject_keys s WHERE s.tenant_id = k.tenant_id AND s.key_id = k.key_id);
    GET DIAGNOSTICS destroyed = ROW_COUNT;
    RETURN destroyed;
END
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.open_oauth_state(bytea, uuid, text, text[], text, bytea, uuid, jsonb, uuid, interval, integer),
    tenancy.take_oauth_state(bytea),
    tenancy.commit_oauth_refresh(uuid, bigint, bigint, interval, text[], uuid, uuid, bigint, jsonb, uuid, bigint, jsonb),
    tenancy.oauth_account_shared(uuid)
TO tenancy_app;

GRANT EXECUTE ON FUNCTION tenancy.destroy_retired_keys(uuid, interval) TO tenancy_worker;

SET LOCAL ROLE NONE;
