-- Tenants take turns with their webhooks as they do with their work; what a legal hold protects is looked
-- at under the lock that the hold takes; and what gathers is swept.

SET LOCAL ROLE tenancy_definer;

-- A list of names holds names: one that can't be read as such would stand in the way of every tenant's
-- events, and nobody could be told of it.
DELETE FROM tenancy.webhook_events WHERE array_ndims(endpoints) > 1 OR array_position(endpoints, NULL) IS NOT NULL;

SET LOCAL ROLE tenancy_owner;

ALTER TABLE tenancy.webhook_events ADD CONSTRAINT webhook_events_names
    CHECK (coalesce(array_ndims(endpoints), 1) = 1 AND array_position(endpoints, NULL) IS NULL);
-- Every receiver is the platform's.
ALTER TABLE tenancy.webhook_events DROP COLUMN own;

-- Tenant by tenant, the oldest first.
DROP INDEX tenancy.webhook_events_due;
CREATE INDEX webhook_events_due ON tenancy.webhook_events (tenant_id, due_at, id) WHERE parked_at IS NULL;
DROP INDEX tenancy.webhook_events_parked;
CREATE INDEX webhook_events_parked ON tenancy.webhook_events (id, tenant_id) WHERE parked_at IS NOT NULL;

CREATE INDEX webhook_refusals_old ON tenancy.webhook_refusals (last_at);
SELECT tenancy.admit_definer('tenancy.webhook_refusals');

SET LOCAL ROLE tenancy_definer;

-- Gives out what is due of these tenants, at most p_share of each and p_limit in all, for p_lease_ms:
-- whoever does not settle it by then leaves it to others. Nothing of a tenant that is not active. The
-- first of each tenant, then the second of each; of one tenant in the order in which it was due.
CREATE OR REPLACE FUNCTION tenancy.outbox_claim(p_tenants uuid[], p_share integer, p_limit integer, p_lease_ms bigint)
    RETURNS TABLE (
        tenant_id uuid, id uuid, request_id uuid, attempt integer, kind text, idempotency_key text,
        payload jsonb, principal jsonb, max_attempts integer, timeout_ms bigint, priority smallint
    )
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        SELECT turn.n, mine.tenant_id, mine.id, mine.due_at
        FROM unnest(p_tenants) WITH ORDINALITY AS turn (tenant_id, n)
        JOIN tenancy.tenants t ON t.id = turn.tenant_id AND t.status = 'active'
        CROSS JOIN LATERAL (
            SELECT w.tenant_id, w.id, w.due_at FROM tenancy.outbox w
            WHERE w.tenant_id = turn.tenant_id AND w.delivered_at IS NULL AND w.due_at <= clock_timestamp()
            ORDER BY w.due_at, w.id
            LIMIT p_share
            FOR UPDATE OF w SKIP LOCKED
        ) mine
        ORDER BY turn.n
        LIMIT p_limit
    ), claimed AS (
        UPDATE tenancy.outbox o
        SET attempt = o.attempt + 1, due_at = clock_timestamp() + p_lease_ms * interval '1 millisecond'
        FROM due
        WHERE o.tenant_id = due.tenant_id AND o.id = due.id
        RETURNING o.*
    )
    SELECT c.tenant_id, c.id, c.request_id, c.attempt, c.kind, c.idempotency_key,
        c.payload, c.principal, c.max_attempts, c.timeout_ms, c.priority
    FROM claimed c
    JOIN (
        SELECT d.*, row_number() OVER (PARTITION BY d.n ORDER BY d.due_at, d.id) AS place FROM due d
    ) d ON d.tenant_id = c.tenant_id AND d.id = c.id
    ORDER BY d.place, d.n
$$;

-- The next tenants behind p_after that have events, p_limit of them, and whether one of these is due.
-- Steps from tenant to tenant along the index, however much one of them has.
CREATE FUNCTION tenancy.webhook_event_tenants(p_after uuid, p_limit integer)
    RETURNS TABLE (tenant_id uuid, ready boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE step (tenant_id, n) AS (
        (SELECT w.tenant_id, 1 FROM tenancy.webhook_events w
        WHERE w.parked_at IS NULL AND w.tenant_id > p_after ORDER BY w.tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT w.tenant_id FROM tenancy.webhook_events w
            WHERE w.parked_at IS NULL AND w.tenant_id > s.tenant_id ORDER BY w.tenant_id LIMIT 1), s.n + 1
        FROM step s WHERE s.n < p_limit AND s.tenant_id IS NOT NULL
    )
    SELECT s.tenant_id,
        EXISTS (SELECT FROM tenancy.webhook_events w
            WHERE w.tenant_id = s.tenant_id AND w.parked_at IS NULL AND w.due_at <= clock_timestamp())
    FROM step s WHERE s.tenant_id IS NOT NULL ORDER BY s.n
$$;

-- Gives out the oldest events of these tenants, at most p_share of each and p_limit in all, for
-- p_lease_ms: whoever does not settle one by then leaves it to others. Whatever became of the tenant: that
-- it is closed or gone is news. The first of each tenant, then the second of each.
DROP FUNCTION tenancy.webhook_events_claim(integer, bigint);
CREATE FUNCTION tenancy.webhook_events_claim(p_tenants uuid[], p_share integer, p_limit integer, p_lease_ms bigint)
    RETURNS TABLE (tenant_id uuid, id uuid, attempt integer, endpoints text[], body text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        SELECT turn.n, mine.tenant_id, mine.id, mine.due_at
        FROM unnest(p_tenants) WITH ORDINALITY AS turn (tenant_id, n)
        CROSS JOIN LATERAL (
            SELECT w.tenant_id, w.id, w.due_at FROM tenancy.webhook_events w
            WHERE w.tenant_id = turn.tenant_id AND w.parked_at IS NULL AND w.due_at <= clock_timestamp()
            ORDER BY w.due_at, w.id
            LIMIT p_share
            FOR UPDATE OF w SKIP LOCKED
        ) mine
        ORDER BY turn.n
        LIMIT p_limit
    ), claimed AS (
        UPDATE tenancy.webhook_events e
        SET attempt = e.attempt + 1, due_at = clock_timestamp() + p_lease_ms * interval '1 millisecond'
        FROM due
        WHERE e.tenant_id = due.tenant_id AND e.id = due.id
        RETURNING e.tenant_id, e.id, e.attempt, e.endpoints, e.body
    )
    SELECT c.tenant_id, c.id, c.attempt, c.endpoints, c.body
    FROM claimed c
    JOIN (
        SELECT d.*, row_number() OVER (PARTITION BY d.n ORDER BY d.due_at, d.id) AS place FROM due d
    ) d ON d.tenant_id = c.tenant_id AND d.id = c.id
    ORDER BY d.place, d.n
$$;

-- Ends claims: p_what is 'told', and the event is gone; 'parked', with why; or 'back', and it is due again
-- at once, before what came after it. What was given to somebody else since is left alone. Answers how
-- many were settled.
CREATE OR REPLACE FUNCTION tenancy.webhook_events_settle(
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
            due_at = e.recorded_at
        FROM verdict v
        WHERE e.tenant_id = v.tenant_id AND e.id = v.id AND e.attempt = v.attempt AND e.parked_at IS NULL
          AND v.what IN ('parked', 'back')
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM kept)
$$;

-- A page of what is parked, over all tenants, behind this event: whoever stores an event chooses its id,
-- so only the tenant and the id are one event.
DROP FUNCTION tenancy.webhook_events_parked(uuid, integer);
CREATE FUNCTION tenancy.webhook_events_parked(p_after_tenant uuid, p_after uuid, p_limit integer)
    RETURNS TABLE (
        tenant_id uuid, id uuid, recorded_at timestamptz, parked_at timestamptz, endpoints text[],
        error_code text, error text
    )
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.tenant_id, w.id, w.recorded_at, w.parked_at, w.endpoints, w.error_code, w.error
    FROM tenancy.webhook_events w
    WHERE w.parked_at IS NOT NULL AND (p_after IS NULL OR (w.id, w.tenant_id) > (p_after, p_after_tenant))
    ORDER BY w.id, w.tenant_id LIMIT least(p_limit, 1000)
$$;

-- Takes parked events up again, or drops them; answers how many.
DROP FUNCTION tenancy.webhook_events_release(uuid[], boolean);
CREATE FUNCTION tenancy.webhook_events_release(p_tenants uuid[], p_ids uuid[], p_drop boolean) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH named AS MATERIALIZED (
        SELECT DISTINCT n.tenant_id, n.id FROM unnest(p_tenants, p_ids) AS n (tenant_id, id)
    ), gone AS (
        DELETE FROM tenancy.webhook_events e USING named n
        WHERE p_drop AND e.parked_at IS NOT NULL AND e.tenant_id = n.tenant_id AND e.id = n.id RETURNING 1
    ), up AS (
        UPDATE tenancy.webhook_events e
        SET parked_at = NULL, error_code = NULL, error = NULL, due_at = clock_timestamp()
        FROM named n
        WHERE NOT p_drop AND e.parked_at IS NOT NULL AND e.tenant_id = n.tenant_id AND e.id = n.id RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM up)
$$;

-- Takes the details out of a purged tenant's events that nobody was told of yet, p_limit of them behind
-- p_after: what happened, when and to which tenant is left, and that it is not all. What can't be read as
-- an event goes. How the purge ended is news of its own. Answers the last one it looked at, while there
-- may be more.
CREATE FUNCTION tenancy.webhook_events_strip(p_after uuid, p_limit integer) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    state text;
    event record;
    bare jsonb;
    seen integer := 0;
BEGIN
    -- A hold stands before or after this batch, not within it.
    SELECT t.status INTO state FROM tenancy.tenants t
    WHERE t.id = this_tenant AND t.status IN ('purging', 'deleted') FOR NO KEY UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = this_tenant) THEN
        RETURN NULL;
    END IF;
    FOR event IN
        SELECT w.id, w.body FROM tenancy.webhook_events w
        WHERE w.tenant_id = this_tenant AND (p_after IS NULL OR w.id > p_after)
        ORDER BY w.id LIMIT p_limit FOR UPDATE
    LOOP
        seen := seen + 1;
        bare := NULL;
        BEGIN
            SELECT jsonb_build_object('type', said -> 'type', 'timestamp', said -> 'timestamp',
                    'data', jsonb_build_object('tenant_id', this_tenant, 'truncated', true)) INTO bare
            FROM (SELECT event.body::jsonb AS said) read
            WHERE char_length(said ->> 'type') <= 200 AND char_length(said ->> 'timestamp') <= 40;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            NULL;
        END;
        IF bare IS NULL THEN
            DELETE FROM tenancy.webhook_events w WHERE w.tenant_id = this_tenant AND w.id = event.id;
        ELSIF state = 'purging' OR bare ->> 'type' <> 'tenant.purged' THEN
            UPDATE tenancy.webhook_events w SET body = bare::text
            WHERE w.tenant_id = this_tenant AND w.id = event.id AND w.body <> bare::text;
        END IF;
    END LOOP;
    RETURN CASE WHEN seen = p_limit THEN event.id END;
END
$$;

-- Forgets refusals of messages that nobody refused for this many seconds: their jobs ended in another
-- way. A month at least, so that nothing is forgotten that is still tried. Answers how many.
CREATE FUNCTION tenancy.webhook_refusals_purge(p_keep_seconds bigint, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_kept timestamptz := clock_timestamp() - greatest(p_keep_seconds, 2592000) * interval '1 second';
    old record;
    gone bigint := 0;
BEGIN
    -- One by one, by the whole key: that is what several nodes take.
    FOR old IN
        SELECT r.tenant_id, r.endpoint, r.message FROM tenancy.webhook_refusals r
        WHERE r.last_at < last_kept ORDER BY r.last_at LIMIT least(p_limit, 10000)
    LOOP
        DELETE FROM tenancy.webhook_refusals r
        WHERE r.tenant_id = old.tenant_id AND r.endpoint = old.endpoint AND r.message = old.message
          AND r.last_at < last_kept;
        gone := gone + CASE WHEN FOUND THEN 1 ELSE 0 END;
    END LOOP;
    RETURN gone;
END
$$;

-- Gives a slug to the context's tenant: a new one, one of its own former ones, or one that is free
-- again. Of two that claim one slug, one waits at the primary key and gets false. Where it runs with
-- the app's rights, policies show it no slug of others: what is free again is so when the worker has
-- seen to it (free_slugs).
CREATE OR REPLACE FUNCTION tenancy.claim_slug(p_slug text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    former record;
    may_go boolean;
BEGIN
    IF this_tenant IS NULL THEN
        RETURN false;
    END IF;
    SELECT s.tenant_id, s.former_until INTO former FROM tenancy.tenant_slugs s WHERE s.slug = p_slug;
    may_go := former.tenant_id = this_tenant AND former.former_until IS NOT NULL;
    IF former.tenant_id <> this_tenant AND former.former_until <= clock_timestamp() THEN
        -- Whoever places a hold locks this row: it stands before the next statement looks, or waits for
        -- this transaction to end.
        PERFORM FROM tenancy.tenants t WHERE t.id = former.tenant_id FOR SHARE;
        may_go := NOT EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = former.tenant_id);
    END IF;
    IF may_go THEN
        -- As it was read: somebody else may have claimed it, or its tenant taken it back.
        DELETE FROM tenancy.tenant_slugs s
        WHERE s.slug = p_slug AND s.tenant_id = former.tenant_id AND s.former_until = former.former_until;
    END IF;
    INSERT INTO tenancy.tenant_slugs (slug, tenant_id) VALUES (p_slug, this_tenant) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

-- Forgets slugs that are nobody's any more, p_limit of them; answers how many. A tenant that somebody is
-- changing at this moment, or placing a hold on, keeps his until the next time.
CREATE OR REPLACE FUNCTION tenancy.free_slugs(p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    over record;
    gone bigint := 0;
BEGIN
    -- One by one: a hold is looked for under the lock that it takes, by a statement that began behind it.
    FOR over IN
        SELECT s.slug, s.tenant_id FROM tenancy.tenant_slugs s
        WHERE s.former_until <= clock_timestamp()
          AND NOT EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = s.tenant_id)
        ORDER BY s.former_until LIMIT least(p_limit, 10000)
    LOOP
        BEGIN
            PERFORM FROM tenancy.tenants t WHERE t.id = over.tenant_id FOR SHARE NOWAIT;
        EXCEPTION WHEN lock_not_available THEN
            CONTINUE;
        END;
        CONTINUE WHEN EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = over.tenant_id);
        -- One that was claimed since is a tenant's again.
        DELETE FROM tenancy.tenant_slugs s
        WHERE s.slug = over.slug AND s.tenant_id = over.tenant_id AND s.former_until <= clock_timestamp();
        gone := gone + CASE WHEN FOUND THEN 1 ELSE 0 END;
    END LOOP;
    RETURN gone;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.webhook_event_tenants(uuid, integer),
    tenancy.webhook_events_claim(uuid[], integer, integer, bigint),
    tenancy.webhook_events_parked(uuid, uuid, integer),
    tenancy.webhook_events_release(uuid[], uuid[], boolean),
    tenancy.webhook_events_strip(uuid, integer),
    tenancy.webhook_refusals_purge(bigint, integer)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.webhook_event_tenants(uuid, integer),
    tenancy.webhook_events_claim(uuid[], integer, integer, bigint),
    tenancy.webhook_events_parked(uuid, uuid, integer),
    tenancy.webhook_events_release(uuid[], uuid[], boolean),
    tenancy.webhook_refusals_purge(bigint, integer)
TO tenancy_worker;
GRANT EXECUTE ON FUNCTION tenancy.webhook_events_strip(uuid, integer) TO tenancy_owner;

SET LOCAL ROLE NONE;
