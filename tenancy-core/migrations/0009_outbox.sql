-- Work that is stored with a change, for a host whose queue is somewhere else; and the rule that
-- nobody stores work in another's name.

SET LOCAL ROLE tenancy_owner;

-- Whether a stored principal is the one of the running transaction. A service or an API key may
-- leave permissions out, and brings none along that the context lacks. For the INSERT policies of
-- tables that keep a principal; plain SQL, so that it is inlined.
CREATE FUNCTION tenancy.is_current_principal(p_principal jsonb) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (p_principal #>> '{actor,kind}') = util.current_actor_kind()
        AND (p_principal -> 'actor' ->> CASE p_principal #>> '{actor,kind}' WHEN 'service' THEN 'key' ELSE 'id' END)
            = util.current_actor_id()
        AND (p_principal ->> 'on_behalf_of') IS NOT DISTINCT FROM util.current_on_behalf_of()::text
        AND (util.current_actor_kind() = 'user'
            OR jsonb_typeof(p_principal #> '{actor,permissions}') = 'array'
            AND (p_principal #> '{actor,permissions}') <@ to_jsonb(coalesce(util.current_permissions(), '{}'::text[])));

-- Rows are deleted when they are handed over; one with an idempotency key stays for a while
-- without its payload, so that the key is known. No foreign key to tenants: it would lock the
-- tenant's row at every enqueue.
CREATE TABLE tenancy.outbox (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    request_id uuid,
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Not before: the time that was asked for, the end of somebody's lease, or the next try.
    due_at timestamptz NOT NULL,
    delivered_at timestamptz,
    timeout_ms bigint CHECK (timeout_ms > 0),
    -- Counts the times it was given out, and fences what comes back.
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    max_attempts integer CHECK (max_attempts >= 1),
    priority smallint NOT NULL DEFAULT 0,
    kind text COLLATE "C" NOT NULL CHECK (octet_length(kind) BETWEEN 1 AND 127),
    idempotency_key text COLLATE "C" CHECK (octet_length(idempotency_key) BETWEEN 1 AND 512),
    payload jsonb NOT NULL,
    -- Who enqueued it, and as whom it is to be done.
    principal jsonb NOT NULL,
    -- Why it could not be handed over the last time.
    error text CHECK (char_length(error) <= 2000),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX outbox_key ON tenancy.outbox (tenant_id, kind, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- What is to be handed over, tenant by tenant.
CREATE INDEX outbox_due ON tenancy.outbox (tenant_id, due_at, id) WHERE delivered_at IS NULL;
CREATE INDEX outbox_delivered ON tenancy.outbox (delivered_at) WHERE delivered_at IS NOT NULL;

SELECT tenancy.protect_table('tenancy.outbox', '{select,insert}');
REVOKE INSERT ON tenancy.outbox FROM tenancy_app;
GRANT INSERT (
    tenant_id, id, request_id, due_at, timeout_ms, max_attempts, priority, kind, idempotency_key, payload, principal
) ON tenancy.outbox TO tenancy_app;
DROP POLICY tenant_insert ON tenancy.outbox;
CREATE POLICY tenant_insert ON tenancy.outbox FOR INSERT TO tenancy_app WITH CHECK (
    tenant_id = util.current_tenant()
    AND request_id IS NOT DISTINCT FROM util.current_request_id()
    AND tenancy.is_current_principal(principal)
);
SELECT tenancy.admit_definer('tenancy.outbox');

SET LOCAL ROLE tenancy_definer;

-- The next tenants behind p_after that have work, p_limit of them, and whether some of it can be given
-- out: it is due, and the tenant is active. Steps from tenant to tenant along the index, however much
-- one of them has.
CREATE FUNCTION tenancy.outbox_tenants(p_after uuid, p_limit integer)
    RETURNS TABLE (tenant_id uuid, ready boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE step (tenant_id, n) AS (
        (SELECT w.tenant_id, 1 FROM tenancy.outbox w
        WHERE w.delivered_at IS NULL AND w.tenant_id > p_after ORDER BY w.tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT w.tenant_id FROM tenancy.outbox w
            WHERE w.delivered_at IS NULL AND w.tenant_id > s.tenant_id ORDER BY w.tenant_id LIMIT 1), s.n + 1
        FROM step s WHERE s.n < p_limit AND s.tenant_id IS NOT NULL
    )
    SELECT s.tenant_id,
        EXISTS (SELECT FROM tenancy.outbox w
            WHERE w.tenant_id = s.tenant_id AND w.delivered_at IS NULL AND w.due_at <= clock_timestamp())
        AND EXISTS (SELECT FROM tenancy.tenants t WHERE t.id = s.tenant_id AND t.status = 'active')
    FROM step s WHERE s.tenant_id IS NOT NULL ORDER BY s.n
$$;

-- Gives out what is due of these tenants, at most p_share of each and p_limit in all, for p_lease_ms:
-- whoever does not settle it by then leaves it to others. Nothing of a tenant that is not active.
CREATE FUNCTION tenancy.outbox_claim(p_tenants uuid[], p_share integer, p_limit integer, p_lease_ms bigint)
    RETURNS TABLE (
        tenant_id uuid, id uuid, request_id uuid, attempt integer, kind text, idempotency_key text,
        payload jsonb, principal jsonb, max_attempts integer, timeout_ms bigint, priority smallint
    )
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        SELECT mine.tenant_id, mine.id
        FROM unnest(p_tenants) WITH ORDINALITY AS turn (tenant_id, n)
        JOIN tenancy.tenants t ON t.id = turn.tenant_id AND t.status = 'active'
        CROSS JOIN LATERAL (
            SELECT w.tenant_id, w.id FROM tenancy.outbox w
            WHERE w.tenant_id = turn.tenant_id AND w.delivered_at IS NULL AND w.due_at <= clock_timestamp()
            ORDER BY w.due_at, w.id
            LIMIT p_share
            FOR UPDATE OF w SKIP LOCKED
        ) mine
        ORDER BY turn.n
        LIMIT p_limit
    )
    UPDATE tenancy.outbox o
    SET attempt = o.attempt + 1, due_at = clock_timestamp() + p_lease_ms * interval '1 millisecond'
    FROM due
    WHERE o.tenant_id = due.tenant_id AND o.id = due.id
    RETURNING o.tenant_id, o.id, o.request_id, o.attempt, o.kind, o.idempotency_key,
        o.payload, o.principal, o.max_attempts, o.timeout_ms, o.priority
$$;

-- Ends a hand-over: for each, NULL where it went well, or why not and when to try again. What was
-- given to somebody else since is left alone. Answers how many were settled.
CREATE FUNCTION tenancy.outbox_settle(
    p_tenants uuid[], p_ids uuid[], p_attempts integer[], p_errors text[], p_delays_ms bigint[]
) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH verdict AS MATERIALIZED (
        SELECT * FROM unnest(p_tenants, p_ids, p_attempts, p_errors, p_delays_ms)
            AS v (tenant_id, id, attempt, error, delay_ms)
    ), gone AS (
        DELETE FROM tenancy.outbox o USING verdict v
        WHERE o.tenant_id = v.tenant_id AND o.id = v.id AND o.attempt = v.attempt AND o.delivered_at IS NULL
          AND v.error IS NULL AND o.idempotency_key IS NULL
        RETURNING 1
    ), kept AS (
        UPDATE tenancy.outbox o
        SET delivered_at = CASE WHEN v.error IS NULL THEN clock_timestamp() END,
            payload = CASE WHEN v.error IS NULL THEN 'null'::jsonb ELSE o.payload END,
            due_at = CASE WHEN v.error IS NULL THEN o.due_at
                ELSE clock_timestamp() + v.delay_ms * interval '1 millisecond' END,
            error = v.error
        FROM verdict v
        WHERE o.tenant_id = v.tenant_id AND o.id = v.id AND o.attempt = v.attempt AND o.delivered_at IS NULL
          AND (v.error IS NOT NULL OR o.idempotency_key IS NOT NULL)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM kept)
$$;

-- Forgets the keys of what was handed over this many seconds ago.
CREATE FUNCTION tenancy.outbox_purge(p_keep_seconds bigint, p_limit integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH old AS MATERIALIZED (
        SELECT w.tenant_id, w.id FROM tenancy.outbox w
        WHERE w.delivered_at <= clock_timestamp() - p_keep_seconds * interval '1 second'
        ORDER BY w.delivered_at LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM tenancy.outbox o USING old WHERE o.tenant_id = old.tenant_id AND o.id = old.id RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.outbox_tenants(uuid, integer),
    tenancy.outbox_claim(uuid[], integer, integer, bigint),
    tenancy.outbox_settle(uuid[], uuid[], integer[], text[], bigint[]),
    tenancy.outbox_purge(bigint, integer)
TO tenancy_worker;

SET LOCAL ROLE NONE;
