-- The catalog of MCP providers, and per tenant: connections, tools, and calls made once.
--
-- The app role reads these tables and writes none of them: every state change is a function that
-- holds the arrows of its state machine, so that no statement of the host can skip one. Each
-- function works as SECURITY INVOKER as well, where the app role is granted the writes.

SET LOCAL ROLE tenancy_owner;

-- What can be connected. Belongs to the host's operator, not to a tenant.
CREATE TABLE tenancy.mcp_providers (
    key text COLLATE "C" PRIMARY KEY CHECK (char_length(key) <= 63 AND key ~ '^[a-z][a-z0-9_]*$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    transport text NOT NULL CHECK (transport IN ('http', 'stdio')),
    endpoint text NOT NULL CHECK (char_length(endpoint) BETWEEN 1 AND 2048),
    auth text NOT NULL CHECK (auth IN ('none', 'bearer', 'header')),
    auth_header text CHECK (char_length(auth_header) BETWEEN 1 AND 100),
    rejects_before_work boolean NOT NULL DEFAULT false,
    allowed boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((auth = 'header') = (auth_header IS NOT NULL))
);
GRANT SELECT ON tenancy.mcp_providers TO tenancy_app, tenancy_definer;

CREATE TABLE tenancy.mcp_connections (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    key text COLLATE "C" NOT NULL CHECK (char_length(key) <= 63 AND key ~ '^[a-z][a-z0-9_]*$'),
    provider text COLLATE "C" NOT NULL REFERENCES tenancy.mcp_providers (key) ON DELETE RESTRICT,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'connected', 'degraded', 'needs_reauth', 'disconnected')),
    status_reason text CHECK (char_length(status_reason) BETWEEN 1 AND 500),
    status_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    credential_id uuid,
    -- Counts up with each connecting, so that news of an older session change nothing.
    generation bigint NOT NULL DEFAULT 1 CHECK (generation >= 1),
    protocol text CHECK (char_length(protocol) <= 40),
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, key),
    CHECK (status IN ('pending', 'connected') OR status_reason IS NOT NULL)
);
SELECT tenancy.protect_table('tenancy.mcp_connections', '{select}');
SELECT tenancy.admit_definer('tenancy.mcp_connections');

CREATE TABLE tenancy.mcp_tools (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL CHECK (name ~ '^[A-Za-z0-9_.-]{1,128}$'),
    title text,
    description text,
    input_schema jsonb NOT NULL,
    output_schema jsonb,
    annotations jsonb,
    -- Of the columns above: what an approval is for.
    definition_hash bytea NOT NULL CHECK (octet_length(definition_hash) = 32),
    -- What the server offers now, where that is not what was approved.
    offered jsonb,
    offered_hash bytea CHECK (octet_length(offered_hash) = 32),
    effect_class text NOT NULL DEFAULT 'unsafe'
        CHECK (effect_class IN ('read', 'idempotent', 'upstream_key', 'unsafe')),
    key_place text CHECK (key_place IN ('argument', 'meta')),
    key_name text CHECK (char_length(key_name) BETWEEN 1 AND 128),
    status text NOT NULL DEFAULT 'proposed'
        CHECK (status IN ('proposed', 'approved', 'changed', 'removed', 'revoked')),
    approved_by uuid,
    approved_at timestamptz,
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, connection_id, name),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES tenancy.mcp_connections (tenant_id, id) ON DELETE CASCADE,
    CHECK (status NOT IN ('approved', 'changed') OR approved_at IS NOT NULL),
    CHECK ((offered IS NULL) = (offered_hash IS NULL)),
    CHECK (status <> 'changed' OR offered IS NOT NULL),
    CHECK (status <> 'approved' OR offered IS NULL),
    CHECK ((effect_class = 'upstream_key') = (key_name IS NOT NULL)),
    CHECK ((key_place IS NULL) = (key_name IS NULL))
);
SELECT tenancy.protect_table('tenancy.mcp_tools', '{select}');
SELECT tenancy.admit_definer('tenancy.mcp_tools');

CREATE TABLE tenancy.mcp_invocations (
    tenant_id uuid NOT NULL,
    tool_id uuid NOT NULL,
    idem_key text COLLATE "C" NOT NULL CHECK (char_length(idem_key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    definition_hash bytea NOT NULL CHECK (octet_length(definition_hash) = 32),
    -- As it was at the first claim; a later change of the tool does not reach calls under way.
    effect_class text NOT NULL CHECK (effect_class IN ('read', 'idempotent', 'upstream_key', 'unsafe')),
    state text NOT NULL CHECK (state IN ('dispatched', 'retryable', 'succeeded', 'failed', 'unknown')),
    fence bigint NOT NULL CHECK (fence >= 1),
    attempt integer NOT NULL CHECK (attempt BETWEEN 1 AND 100),
    lease_owner uuid,
    lease_until timestamptz,
    next_attempt_at timestamptz,
    response text,
    response_hash bytea CHECK (octet_length(response_hash) = 32),
    response_size bigint CHECK (response_size >= 0),
    error jsonb,
    -- Whose try is, or was, under way: `user:<id>`, `service:<key>` or `api_key:<id>`.
    caller text CHECK (char_length(caller) <= 300),
    request_id uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at timestamptz,
    PRIMARY KEY (tenant_id, tool_id, idem_key),
    FOREIGN KEY (tenant_id, tool_id) REFERENCES tenancy.mcp_tools (tenant_id, id) ON DELETE CASCADE,
    CHECK ((state = 'dispatched') = (lease_owner IS NOT NULL)),
    CHECK ((state = 'dispatched') = (lease_until IS NOT NULL)),
    CHECK ((state = 'retryable') = (next_attempt_at IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed')) = (completed_at IS NOT NULL)),
    CHECK (state <> 'succeeded' OR response_hash IS NOT NULL),
    CHECK ((response_hash IS NULL) = (response_size IS NULL)),
    CHECK (response IS NULL OR response_hash IS NOT NULL),
    CHECK (state NOT IN ('failed', 'unknown', 'retryable') OR error IS NOT NULL)
);
CREATE INDEX mcp_invocations_open ON tenancy.mcp_invocations (tenant_id, created_at)
    WHERE state IN ('dispatched', 'unknown');
CREATE INDEX mcp_invocations_leased ON tenancy.mcp_invocations (lease_until)
    WHERE state = 'dispatched';
CREATE INDEX mcp_invocations_old ON tenancy.mcp_invocations ((coalesce(completed_at, next_attempt_at)))
    WHERE state IN ('succeeded', 'failed', 'retryable');
SELECT tenancy.protect_table('tenancy.mcp_invocations', '{select}');
SELECT tenancy.admit_definer('tenancy.mcp_invocations');

-- ---------------------------------------------------------------------------------------------
-- Connections. Each function answers with a word; the caller's transaction stays usable.
-- ---------------------------------------------------------------------------------------------

SET LOCAL ROLE tenancy_definer;

-- Makes a connection, or makes it anew: the id stays, so that its tools keep their approvals and
-- its idempotency keys keep their results.
CREATE FUNCTION tenancy.mcp_connect(p_id uuid, p_key text, p_provider text, p_credential uuid, p_most integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    made boolean;
    held record;
BEGIN
    IF this_tenant IS NULL THEN
        RETURN 'no_context';
    END IF;
    IF NOT EXISTS (SELECT FROM tenancy.tenants WHERE id = this_tenant AND status = 'active') THEN
        RETURN 'suspended';
    END IF;
    IF NOT EXISTS (SELECT FROM tenancy.mcp_providers WHERE key = p_provider AND allowed) THEN
        RETURN 'provider_closed';
    END IF;
    INSERT INTO tenancy.mcp_connections (tenant_id, id, key, provider, credential_id, created_by)
    VALUES (this_tenant, p_id, p_key, p_provider, p_credential, util.current_user_id())
    ON CONFLICT (tenant_id, key) DO NOTHING;
    made := FOUND;
    IF NOT made THEN
        SELECT provider, status INTO held FROM tenancy.mcp_connections
        WHERE tenant_id = this_tenant AND key = p_key FOR UPDATE;
        IF held.provider <> p_provider THEN
            RETURN 'other_provider';
        END IF;
        IF held.status IN ('connected', 'degraded') THEN
            RETURN 'open';
        END IF;
        UPDATE tenancy.mcp_connections
        SET status = 'pending', status_reason = NULL, status_at = clock_timestamp(),
            credential_id = p_credential, generation = generation + 1
        WHERE tenant_id = this_tenant AND key = p_key;
    END IF;
    -- Locks the row, so that of two new ones the second counts the first.
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    IF made AND (SELECT count(*) FROM tenancy.mcp_connections WHERE tenant_id = this_tenant) > p_most THEN
        RETURN 'limit';
    END IF;
    RETURN 'ok';
END
$$;

-- Moves a connection of this generation along one of the arrows; false if it stands elsewhere.
CREATE FUNCTION tenancy.mcp_set_connection_status(
    p_id uuid, p_generation bigint, p_to text, p_reason text, p_protocol text
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    UPDATE tenancy.mcp_connections c
    SET status = p_to,
        status_reason = CASE WHEN p_to IN ('pending', 'connected') THEN NULL ELSE p_reason END,
        status_at = clock_timestamp(),
        protocol = coalesce(p_protocol, c.protocol)
    WHERE c.tenant_id = this_tenant AND c.id = p_id AND c.generation = p_generation
      AND (c.status, p_to) IN (
          ('pending', 'connected'), ('pending', 'degraded'), ('pending', 'needs_reauth'),
          ('connected', 'degraded'), ('connected', 'needs_reauth'),
          ('degraded', 'connected'), ('degraded', 'needs_reauth'),
          ('pending', 'disconnected'), ('connected', 'disconnected'),
          ('degraded', 'disconnected'), ('needs_reauth', 'disconnected'));
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_to IN ('needs_reauth', 'disconnected') THEN
        UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    END IF;
    RETURN true;
END
$$;

-- ---------------------------------------------------------------------------------------------
-- Tools.
-- ---------------------------------------------------------------------------------------------

-- Compares a server's whole list with what is known; answers one row for each difference. The
-- four arrays run side by side. An approved tool whose definition is another one is blocked.
CREATE FUNCTION tenancy.mcp_observe_tools(
    p_connection uuid, p_generation bigint,
    p_ids uuid[], p_names text[], p_definitions jsonb[], p_hashes bytea[]
) RETURNS TABLE (tool_name text, change text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    news integer := 0;
    held record;
    seen record;
BEGIN
    PERFORM FROM tenancy.mcp_connections c
    WHERE c.tenant_id = this_tenant AND c.id = p_connection AND c.generation = p_generation
      AND c.status <> 'disconnected'
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    FOR seen IN
        SELECT * FROM unnest(p_ids, p_names, p_definitions, p_hashes) AS s (id, name, definition, hash)
    LOOP
        change := NULL;
        SELECT t.id, t.status, t.definition_hash, t.offered_hash, t.approved_at INTO held
        FROM tenancy.mcp_tools t
        WHERE t.tenant_id = this_tenant AND t.connection_id = p_connection AND t.name = seen.name;
        IF NOT FOUND THEN
            change := 'discovered';
            INSERT INTO tenancy.mcp_tools (tenant_id, id, connection_id, name, title, description,
                input_schema, output_schema, annotations, definition_hash)
            VALUES (this_tenant, seen.id, p_connection, seen.name, seen.definition ->> 'title',
                seen.definition ->> 'description', seen.definition -> 'inputSchema',
                seen.definition -> 'outputSchema', seen.definition -> 'annotations', seen.hash);
        ELSIF held.definition_hash = seen.hash THEN
            IF held.status IN ('changed', 'removed') THEN
                change := 'returned';
                UPDATE tenancy.mcp_tools t
                SET status = CASE WHEN held.approved_at IS NULL THEN 'proposed' ELSE 'approved' END,
                    offered = NULL, offered_hash = NULL
                WHERE t.tenant_id = this_tenant AND t.id = held.id;
            END IF;
        ELSIF held.approved_at IS NOT NULL AND held.status <> 'revoked' THEN
            IF held.status <> 'changed' OR held.offered_hash <> seen.hash THEN
                change := 'changed';
                UPDATE tenancy.mcp_tools t
                SET status = 'changed', offered = seen.definition, offered_hash = seen.hash
                WHERE t.tenant_id = this_tenant AND t.id = held.id;
            END IF;
        ELSE
            -- Nobody relies on the old definition.
            change := 'changed';
            UPDATE tenancy.mcp_tools t
            SET status = CASE WHEN held.status = 'removed' THEN 'proposed' ELSE held.status END,
                title = seen.definition ->> 'title', description = seen.definition ->> 'description',
                input_schema = seen.definition -> 'inputSchema',
                output_schema = seen.definition -> 'outputSchema',
                annotations = seen.definition -> 'annotations', definition_hash = seen.hash,
                offered = NULL, offered_hash = NULL
            WHERE t.tenant_id = this_tenant AND t.id = held.id;
        END IF;
        IF change IS NOT NULL THEN
            news := news + 1;
            tool_name := seen.name;
            RETURN NEXT;
        END IF;
    END LOOP;
    FOR tool_name IN
        UPDATE tenancy.mcp_tools t SET status = 'removed'
        WHERE t.tenant_id = this_tenant AND t.connection_id = p_connection
          AND t.status NOT IN ('removed', 'revoked') AND t.name <> ALL (p_names)
        RETURNING t.name
    LOOP
        news := news + 1;
        change := 'removed';
        RETURN NEXT;
    END LOOP;
    IF news > 0 THEN
        UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    END IF;
END
$$;

-- Approves what is offered now, if its hash is the one the approver saw.
CREATE FUNCTION tenancy.mcp_approve_tool(
    p_id uuid, p_seen bytea, p_effect text, p_key_place text, p_key_name text
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    held record;
BEGIN
    SELECT t.status, t.definition_hash, t.offered, t.offered_hash INTO held
    FROM tenancy.mcp_tools t WHERE t.tenant_id = this_tenant AND t.id = p_id FOR UPDATE;
    IF NOT FOUND OR held.status = 'removed' THEN
        RETURN 'gone';
    END IF;
    IF coalesce(held.offered_hash, held.definition_hash) <> p_seen THEN
        RETURN 'stale';
    END IF;
    IF held.offered IS NOT NULL THEN
        UPDATE tenancy.mcp_tools
        SET title = held.offered ->> 'title', description = held.offered ->> 'description',
            input_schema = held.offered -> 'inputSchema', output_schema = held.offered -> 'outputSchema',
            annotations = held.offered -> 'annotations', definition_hash = held.offered_hash
        WHERE tenant_id = this_tenant AND id = p_id;
    END IF;
    UPDATE tenancy.mcp_tools
    SET status = 'approved', offered = NULL, offered_hash = NULL,
        effect_class = p_effect, key_place = p_key_place, key_name = p_key_name,
        approved_by = util.current_user_id(), approved_at = clock_timestamp()
    WHERE tenant_id = this_tenant AND id = p_id;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    RETURN 'ok';
END
$$;

CREATE FUNCTION tenancy.mcp_revoke_tool(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    -- A definition that waited for approval becomes the one to approve.
    UPDATE tenancy.mcp_tools t
    SET status = 'revoked',
        title = CASE WHEN offered IS NULL THEN title ELSE offered ->> 'title' END,
        description = CASE WHEN offered IS NULL THEN description ELSE offered ->> 'description' END,
        input_schema = coalesce(offered -> 'inputSchema', input_schema),
        output_schema = CASE WHEN offered IS NULL THEN output_schema ELSE offered -> 'outputSchema' END,
        annotations = CASE WHEN offered IS NULL THEN annotations ELSE offered -> 'annotations' END,
        definition_hash = coalesce(offered_hash, definition_hash),
        offered = NULL, offered_hash = NULL
    WHERE tenant_id = this_tenant AND id = p_id AND status IN ('approved', 'changed');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    RETURN true;
END
$$;

-- ---------------------------------------------------------------------------------------------
-- Calls made once. The clock is the database's alone.
-- ---------------------------------------------------------------------------------------------

-- Hands the right to send a call to one caller. A call that must not be repeated is handed out
-- again only after proof that nothing was done. A try whose caller is gone is answered as `lost` and
-- left as it is: mcp_end_lost ends it, so that nobody forgets to record that.
CREATE FUNCTION tenancy.mcp_claim(
    p_tool uuid, p_key text, p_fingerprint bytea, p_definition bytea, p_owner uuid, p_lease interval
) RETURNS TABLE (verdict text, fence bigint, attempt integer, may_repeat boolean, wait_ms bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    this_moment timestamptz;
    tool_effect text;
    this_caller text := util.current_actor_kind() || ':' || util.current_actor_id();
    held tenancy.mcp_invocations;
BEGIN
    IF NOT EXISTS (SELECT FROM tenancy.tenants WHERE id = this_tenant AND status = 'active') THEN
        verdict := 'suspended';
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT t.effect_class INTO tool_effect
    FROM tenancy.mcp_tools t
    JOIN tenancy.mcp_connections c ON c.tenant_id = t.tenant_id AND c.id = t.connection_id
    JOIN tenancy.mcp_providers p ON p.key = c.provider
    WHERE t.tenant_id = this_tenant AND t.id = p_tool AND t.status = 'approved'
      AND t.definition_hash = p_definition AND p.allowed
      AND c.status IN ('pending', 'connected', 'degraded');
    IF tool_effect IS NOT NULL THEN
        INSERT INTO tenancy.mcp_invocations AS i (tenant_id, tool_id, idem_key, fingerprint,
            definition_hash, effect_class, state, fence, attempt, lease_owner, lease_until, caller,
            request_id)
        VALUES (this_tenant, p_tool, p_key, p_fingerprint, p_definition, tool_effect, 'dispatched',
            1, 1, p_owner, clock_timestamp() + p_lease, this_caller, util.current_request_id())
        ON CONFLICT (tenant_id, tool_id, idem_key) DO NOTHING;
        IF FOUND THEN
            RETURN QUERY SELECT 'execute', 1::bigint, 1, tool_effect <> 'unsafe', 0::bigint;
            RETURN;
        END IF;
    END IF;
    SELECT * INTO held FROM tenancy.mcp_invocations i
    WHERE i.tenant_id = this_tenant AND i.tool_id = p_tool AND i.idem_key = p_key
    FOR UPDATE;
    this_moment := clock_timestamp();
    fence := held.fence;
    attempt := held.attempt;
    may_repeat := held.effect_class <> 'unsafe';
    wait_ms := 0;
    verdict := CASE
        WHEN held.tenant_id IS NULL THEN 'blocked'
        WHEN held.fingerprint <> p_fingerprint THEN 'conflict'
        WHEN held.state IN ('succeeded', 'failed') THEN 'settled'
        WHEN held.state = 'unknown' THEN 'unknown'
        WHEN held.state = 'dispatched' AND held.lease_until > this_moment THEN 'in_flight'
        WHEN held.state = 'dispatched' THEN 'lost'
        WHEN held.state = 'retryable' AND held.next_attempt_at > this_moment THEN 'not_due'
        WHEN held.attempt >= 100 THEN 'spent'
        WHEN tool_effect IS NULL THEN 'blocked'
        ELSE 'execute'
    END;
    CASE verdict
    WHEN 'in_flight', 'not_due' THEN
        wait_ms := ceil(1000 * extract(epoch FROM
            coalesce(held.lease_until, held.next_attempt_at) - this_moment))::bigint;
    WHEN 'spent' THEN
        UPDATE tenancy.mcp_invocations i
        SET state = 'failed', completed_at = this_moment, lease_owner = NULL, lease_until = NULL,
            next_attempt_at = NULL,
            error = '{"code": "attempts_spent", "message": "the call was tried 100 times"}'
        WHERE i.tenant_id = this_tenant AND i.tool_id = p_tool AND i.idem_key = p_key;
    WHEN 'execute' THEN
        fence := held.fence + 1;
        attempt := held.attempt + 1;
        UPDATE tenancy.mcp_invocations i
        SET state = 'dispatched', fence = held.fence + 1, attempt = held.attempt + 1,
            lease_owner = p_owner, lease_until = this_moment + p_lease,
            next_attempt_at = NULL, error = NULL, definition_hash = p_definition,
            caller = this_caller, request_id = util.current_request_id()
        WHERE i.tenant_id = this_tenant AND i.tool_id = p_tool AND i.idem_key = p_key;
    ELSE
        NULL;
    END CASE;
    RETURN NEXT;
END
$$;

-- Ends the tries whose callers are gone, by the lease: what may be repeated waits for its next try,
-- anything else is unknown. One row for each, to be recorded in this transaction. Of one call, where
-- it is named, or of the tenant, oldest first. Rows that somebody else is at are left to him.
CREATE FUNCTION tenancy.mcp_end_lost(p_tool uuid, p_key text, p_limit integer)
    RETURNS TABLE (tool_id uuid, tool text, idem_key text, effect_class text, state text, attempt integer,
        caller text, request_id uuid)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    RETURN QUERY
    WITH lost AS (
        SELECT h.tool_id, h.idem_key FROM tenancy.mcp_invocations h
        WHERE h.tenant_id = this_tenant AND h.state = 'dispatched' AND h.lease_until <= clock_timestamp()
          AND (p_key IS NULL OR (h.tool_id = p_tool AND h.idem_key = p_key))
        ORDER BY h.lease_until
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE tenancy.mcp_invocations i
        SET state = CASE WHEN i.effect_class = 'unsafe' THEN 'unknown' ELSE 'retryable' END,
            next_attempt_at = CASE WHEN i.effect_class <> 'unsafe' THEN clock_timestamp() END,
            lease_owner = NULL, lease_until = NULL,
            error = '{"code": "owner_lost", "message": "whoever made the call is gone, and its outcome with him"}'
        FROM lost l
        WHERE i.tenant_id = this_tenant AND i.tool_id = l.tool_id AND i.idem_key = l.idem_key
        RETURNING i.tool_id, i.idem_key, i.effect_class, i.state, i.attempt, i.caller, i.request_id
    )
    SELECT e.tool_id, c.key || '.' || t.name, e.idem_key, e.effect_class, e.state, e.attempt, e.caller,
        e.request_id
    FROM ended e
    JOIN tenancy.mcp_tools t ON t.tenant_id = this_tenant AND t.id = e.tool_id
    JOIN tenancy.mcp_connections c ON c.tenant_id = this_tenant AND c.id = t.connection_id;
END
$$;

-- Across tenants: those with tries whose callers are gone, the longest waiting first. A tenant that is
-- suspended waits until it is resumed.
CREATE FUNCTION tenancy.mcp_tenants_with_lost(p_limit integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.tenant_id
    FROM tenancy.mcp_invocations i
    JOIN tenancy.tenants t ON t.id = i.tenant_id AND t.status = 'active'
    WHERE i.state = 'dispatched' AND i.lease_until <= clock_timestamp()
    GROUP BY i.tenant_id
    ORDER BY min(i.lease_until), i.tenant_id
    LIMIT p_limit
$$;

-- Ends a call. Only the newest claim's fence counts; a late answer still settles a call whose caller
-- was thought gone, if nobody claimed it since. Answers the new state, or NULL where the outcome came too late.
CREATE FUNCTION tenancy.mcp_complete(
    p_tool uuid, p_key text, p_fence bigint, p_outcome text,
    p_response text, p_response_hash bytea, p_response_size bigint, p_error jsonb, p_retry_in interval
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_state text;
BEGIN
    UPDATE tenancy.mcp_invocations i
    SET state = n.state,
        lease_owner = NULL, lease_until = NULL,
        completed_at = CASE WHEN n.state IN ('succeeded', 'failed') THEN clock_timestamp() END,
        next_attempt_at = CASE WHEN n.state = 'retryable' THEN clock_timestamp() + p_retry_in END,
        response = p_response, response_hash = p_response_hash, response_size = p_response_size,
        error = p_error
    FROM (
        SELECT h.idem_key, CASE
            WHEN p_outcome IN ('succeeded', 'failed') THEN p_outcome
            WHEN p_outcome = 'not_executed' THEN 'retryable'
            WHEN p_outcome = 'ambiguous' AND h.effect_class <> 'unsafe' THEN 'retryable'
            ELSE 'unknown'
        END AS state
        FROM tenancy.mcp_invocations h
        WHERE h.tenant_id = util.current_tenant() AND h.tool_id = p_tool AND h.idem_key = p_key
    ) n
    WHERE i.tenant_id = util.current_tenant() AND i.tool_id = p_tool AND i.idem_key = p_key
      AND i.fence = p_fence
      AND (i.state = 'dispatched'
           OR (p_outcome IN ('succeeded', 'failed')
               AND (i.state = 'unknown' OR (i.state = 'retryable' AND i.error ->> 'code' = 'owner_lost'))))
    RETURNING i.state INTO new_state;
    RETURN new_state;
END
$$;

-- Settles a call whose outcome is unknown.
CREATE FUNCTION tenancy.mcp_resolve(
    p_tool uuid, p_key text, p_to text, p_response text, p_response_hash bytea, p_response_size bigint,
    p_error jsonb
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_to NOT IN ('succeeded', 'failed') THEN
        RETURN false;
    END IF;
    UPDATE tenancy.mcp_invocations
    SET state = p_to, completed_at = clock_timestamp(), lease_owner = NULL, lease_until = NULL,
        -- Whoever still waits for an answer comes too late now.
        fence = fence + 1,
        response = p_response, response_hash = p_response_hash, response_size = p_response_size,
        error = p_error
    WHERE tenant_id = util.current_tenant() AND tool_id = p_tool AND idem_key = p_key
      AND state = 'unknown';
    RETURN FOUND;
END
$$;

-- Deletes calls of all tenants that were settled, or left for a next try that never came, longer ago
-- than p_keep, which is a day at least. What is unknown or under way is never deleted.
CREATE FUNCTION tenancy.mcp_purge(p_keep interval, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    DELETE FROM tenancy.mcp_invocations d
    USING (
        SELECT i.tenant_id, i.tool_id, i.idem_key FROM tenancy.mcp_invocations i
        WHERE i.state IN ('succeeded', 'failed', 'retryable')
          AND coalesce(i.completed_at, i.next_attempt_at)
              < clock_timestamp() - greatest(p_keep, interval '1 day')
        ORDER BY coalesce(i.completed_at, i.next_attempt_at)
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ) old
    WHERE d.tenant_id = old.tenant_id AND d.tool_id = old.tool_id AND d.idem_key = old.idem_key;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.mcp_connect(uuid, text, text, uuid, integer),
    tenancy.mcp_set_connection_status(uuid, bigint, text, text, text),
    tenancy.mcp_observe_tools(uuid, bigint, uuid[], text[], jsonb[], bytea[]),
    tenancy.mcp_approve_tool(uuid, bytea, text, text, text),
    tenancy.mcp_revoke_tool(uuid),
    tenancy.mcp_claim(uuid, text, bytea, bytea, uuid, interval),
    tenancy.mcp_end_lost(uuid, text, integer),
    tenancy.mcp_complete(uuid, text, bigint, text, text, bytea, bigint, jsonb, interval),
    tenancy.mcp_resolve(uuid, text, text, text, bytea, bigint, jsonb)
TO tenancy_app;
GRANT EXECUTE ON FUNCTION
    tenancy.mcp_purge(interval, integer),
    tenancy.mcp_tenants_with_lost(integer)
TO tenancy_worker;

SET LOCAL ROLE NONE;
