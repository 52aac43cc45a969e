-- What receivers of the platform are told, from the change that it tells of to the queue.

SET LOCAL ROLE tenancy_owner;

-- Rows are short-lived: a relay takes them. They outlive their tenant, whose end is the last that is
-- told of it. No foreign key to tenants: it would lock the tenant's row at every event.
CREATE TABLE tenancy.webhook_events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whether those who are told are the tenant's own receivers, and not the platform's.
    own boolean NOT NULL DEFAULT false,
    -- Who is told, as the process that made the change knew it.
    endpoints text[] NOT NULL CHECK (cardinality(endpoints) <= 32),
    -- Text and not jsonb: its bytes are what is signed.
    body text NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 65536),
    -- Not before: the end of a relay's lease.
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Counts the times it was given out, and fences what comes back.
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    -- The queue does not take it as it is, and why: an operator has to see to it.
    parked_at timestamptz,
    error_code text COLLATE "C" CHECK (char_length(error_code) <= 63),
    error text CHECK (char_length(error) <= 2000),
    CHECK ((parked_at IS NULL) = (error_code IS NULL)),
    PRIMARY KEY (tenant_id, id)
);
-- Across tenants, the oldest first.
CREATE INDEX webhook_events_due ON tenancy.webhook_events (due_at, id) WHERE parked_at IS NULL;
CREATE INDEX webhook_events_parked ON tenancy.webhook_events (id) WHERE parked_at IS NOT NULL;

SELECT tenancy.protect_table('tenancy.webhook_events', '{insert}');
REVOKE INSERT ON tenancy.webhook_events FROM tenancy_app;
GRANT INSERT (tenant_id, id, own, endpoints, body) ON tenancy.webhook_events TO tenancy_app;
SELECT tenancy.admit_definer('tenancy.webhook_events');

-- Receivers that want no more, in the tenant that tells them.
CREATE TABLE tenancy.webhook_gone (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    endpoint text COLLATE "C" NOT NULL CHECK (char_length(endpoint) BETWEEN 1 AND 63),
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, endpoint)
);
SELECT tenancy.protect_table('tenancy.webhook_gone', '{select,insert,delete}');

-- How often a receiver refused a message that it has not taken since.
CREATE TABLE tenancy.webhook_refusals (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    endpoint text COLLATE "C" NOT NULL CHECK (char_length(endpoint) BETWEEN 1 AND 63),
    message text COLLATE "C" NOT NULL CHECK (char_length(message) BETWEEN 1 AND 128),
    refusals integer NOT NULL DEFAULT 1 CHECK (refusals > 0),
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, endpoint, message)
);
SELECT tenancy.protect_table('tenancy.webhook_refusals', '{select,insert,update,delete}');

SET LOCAL ROLE tenancy_definer;

-- Gives out the oldest events of all tenants, for p_lease_ms: whoever does not settle one by then
-- leaves it to others.
CREATE FUNCTION tenancy.webhook_events_claim(p_limit integer, p_lease_ms bigint)
    RETURNS TABLE (tenant_id uuid, id uuid, attempt integer, own boolean, endpoints text[], body text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH oldest AS MATERIALIZED (
        SELECT w.tenant_id, w.id FROM tenancy.webhook_events w
        WHERE w.parked_at IS NULL AND w.due_at <= clock_timestamp()
        ORDER BY w.due_at, w.id LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE tenancy.webhook_events e
        SET attempt = e.attempt + 1, due_at = clock_timestamp() + p_lease_ms * interval '1 millisecond'
        FROM oldest o
        WHERE e.tenant_id = o.tenant_id AND e.id = o.id
        RETURNING e.tenant_id, e.id, e.attempt, e.own, e.endpoints, e.body
    )
    SELECT c.tenant_id, c.id, c.attempt, c.own, c.endpoints, c.body FROM claimed c ORDER BY c.id
$$;

-- Ends claims: p_what is 'told', and the event is gone; 'parked', with why; 'back', and it is due again
-- at once; or 'later', in a minute. What was given to somebody else since is left alone. Answers how many were settled.
CREATE FUNCTION tenancy.webhook_events_settle(
    p_tenants uuid[], p_ids uuid[], p_attempts integer[], p_what text[], p_codes text[], p_errors text[]
) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH verdict AS MATERIALIZED (
        SELECT * FROM unnest(p_tenants, p_ids, p_attempts, p_what, p_codes, p_errors)
            AS v (tenant_id, id, attempt, what, code, error)
    ), gone AS (
        DELETE FROM tenancy.webhook_events e USING verdict v
        WHERE e.tenant_id = v.tenant_id AND e.id = v.id AND e.attempt = v.attempt AND e.parked_at IS NULL
          AND v.what = 'told'
        RETURNING 1
    ), kept AS (
        UPDATE tenancy.webhook_events e
        SET parked_at = CASE v.what WHEN 'parked' THEN clock_timestamp() END,
            error_code = CASE v.what WHEN 'parked' THEN v.code END,
            error = v.error,
            due_at = clock_timestamp() + CASE v.what WHEN 'later' THEN interval '1 minute' ELSE interval '0' END
        FROM verdict v
        WHERE e.tenant_id = v.tenant_id AND e.id = v.id AND e.attempt = v.attempt AND e.parked_at IS NULL
          AND v.what <> 'told'
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM kept)
$$;

-- A page of what is parked, over all tenants, behind this id.
CREATE FUNCTION tenancy.webhook_events_parked(p_after uuid, p_limit integer)
    RETURNS TABLE (
        tenant_id uuid, id uuid, recorded_at timestamptz, parked_at timestamptz, endpoints text[],
        error_code text, error text
    )
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.tenant_id, w.id, w.recorded_at, w.parked_at, w.endpoints, w.error_code, w.error
    FROM tenancy.webhook_events w
    WHERE w.parked_at IS NOT NULL AND (p_after IS NULL OR w.id > p_after)
    ORDER BY w.id LIMIT least(p_limit, 1000)
$$;

-- Takes parked events up again, or drops them; answers how many.
CREATE FUNCTION tenancy.webhook_events_release(p_ids uuid[], p_drop boolean) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM tenancy.webhook_events e
        WHERE p_drop AND e.parked_at IS NOT NULL AND e.id = ANY (p_ids) RETURNING 1
    ), up AS (
        UPDATE tenancy.webhook_events e
        SET parked_at = NULL, error_code = NULL, error = NULL, due_at = clock_timestamp()
        WHERE NOT p_drop AND e.parked_at IS NOT NULL AND e.id = ANY (p_ids) RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM up)
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.webhook_events_claim(integer, bigint),
    tenancy.webhook_events_settle(uuid[], uuid[], integer[], text[], text[], text[]),
    tenancy.webhook_events_parked(uuid, integer),
    tenancy.webhook_events_release(uuid[], boolean)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.webhook_events_claim(integer, bigint),
    tenancy.webhook_events_settle(uuid[], uuid[], integer[], text[], text[], text[]),
    tenancy.webhook_events_parked(uuid, integer),
    tenancy.webhook_events_release(uuid[], boolean)
TO tenancy_worker;

SET LOCAL ROLE NONE;
