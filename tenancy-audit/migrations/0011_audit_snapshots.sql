-- What readers compare entries' transactions with, in the numbers that entries bear; and looks that end.

SET LOCAL ROLE tenancy_owner;

-- Sealers and streams walk the log in this order, from where they are: all entries of one transaction are no step.
CREATE INDEX audit_logs_order ON tenancy.audit_logs (txid, tenant_id, id);
DROP INDEX tenancy.audit_logs_txid;

SET LOCAL ROLE tenancy_definer;

-- What is committed, as a snapshot in the numbers that entries bear: those of this cluster, with what was added to
-- them when the log was adopted. Everything that compares a reader's snapshot with entries takes it from here. Fails
-- (TA001) while the log is in a cluster that has not adopted it: its numbers and the cluster's mean different things.
CREATE FUNCTION tenancy.audit_snapshot() RETURNS pg_snapshot
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted record;
    seen pg_snapshot := pg_current_snapshot();
    running text;
BEGIN
    SELECT s.cluster, s.ahead INTO STRICT counted FROM tenancy.audit_sealer s;
    IF counted.cluster <> (pg_control_system()).system_identifier THEN
        RAISE EXCEPTION 'the audit log came into another cluster and is not adopted'
            USING ERRCODE = 'TA001', HINT = 'Have it adopted: tenancy audit adopt';
    END IF;
    IF counted.ahead = 0 THEN
        RETURN seen;
    END IF;
    SELECT string_agg((x.xid::text::bigint + counted.ahead)::text, ',' ORDER BY x.xid) INTO running
    FROM pg_snapshot_xip(seen) AS x (xid);
    RETURN format('%s:%s:%s', pg_snapshot_xmin(seen)::text::bigint + counted.ahead,
        pg_snapshot_xmax(seen)::text::bigint + counted.ahead, running)::pg_snapshot;
END
$$;

-- Where a look of a tail ends that goes on behind a transaction and an entry of the open tenant, from what one snapshot
-- sees to what a later one does, which is the current one if none is given: behind so many entries, whoever they
-- belong to, or at the end. In numbers and ids that are the tenant's own. Nothing is sorted here and below: the planner
-- takes one long transaction for little, and would read all of it.
CREATE FUNCTION tenancy.audit_look(p_base text, p_until text, p_txid text, p_entry uuid, p_entries integer)
    RETURNS TABLE (until text, to_txid text, to_entry uuid, more boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_sort = off
AS $$
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    own uuid := util.current_tenant();
    begins xid8 := pg_snapshot_xmax(p_base::pg_snapshot);
    ends xid8;
    -- What began before is asked for transaction by transaction: it is no part of the stretch.
    within boolean := p_txid::xid8 >= begins;
    from_txid xid8 := CASE WHEN within THEN p_txid::xid8 ELSE begins END;
    from_tenant uuid := CASE WHEN within THEN own ELSE nobody END;
    from_entry uuid := CASE WHEN within THEN p_entry ELSE nobody END;
    last record;
BEGIN
    until := coalesce(p_until, tenancy.audit_snapshot()::text);
    ends := pg_snapshot_xmax(until::pg_snapshot);
    SELECT l.txid, l.tenant_id, l.id INTO last FROM tenancy.audit_logs l
    WHERE (l.txid, l.tenant_id, l.id) > (from_txid, from_tenant, from_entry) AND l.txid < ends
    ORDER BY l.txid, l.tenant_id, l.id OFFSET least(greatest(p_entries, 1), 100000) - 1 LIMIT 1;
    more := last.txid IS NOT NULL;
    -- Behind the tenant's own entries of a transaction nothing of it is left to look for.
    to_txid := CASE
        WHEN last.tenant_id > own THEN last.txid::text::bigint + 1
        ELSE coalesce(last.txid, ends)::text::bigint
    END::text;
    to_entry := CASE WHEN last.tenant_id = own THEN last.id ELSE nobody END;
    RETURN NEXT;
END
$$;

-- As before, with the snapshot above: in the numbers that entries bear.
CREATE OR REPLACE FUNCTION tenancy.audit_stream_open(p_name text, p_tenant uuid, p_from_start boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    there record;
    final xid8 := pg_snapshot_xmin(tenancy.audit_snapshot());
BEGIN
    INSERT INTO tenancy.audit_streams (name, only_tenant, at_txid)
    VALUES (p_name, p_tenant, CASE WHEN p_from_start THEN '0'::xid8 ELSE final END)
    ON CONFLICT (name) DO NOTHING;
    IF FOUND THEN
        RETURN 'made';
    END IF;
    SELECT s.only_tenant INTO STRICT there FROM tenancy.audit_streams s WHERE s.name = p_name;
    RETURN CASE WHEN there.only_tenant IS NOT DISTINCT FROM p_tenant THEN 'there' ELSE 'other' END;
END
$$;

-- As before, with the snapshot above.
CREATE OR REPLACE FUNCTION tenancy.audit_stream_hold(p_name text, p_fence bigint, p_seconds integer)
    RETURNS TABLE (state text, fence bigint, failures integer, code text, wait_ms bigint, below text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at timestamptz := clock_timestamp();
    lease interval := make_interval(secs => least(greatest(p_seconds, 1), 3600));
    s record;
BEGIN
    SELECT t.* INTO s FROM tenancy.audit_streams t WHERE t.name = p_name;
    fence := s.fence;
    failures := s.failures;
    code := s.code;
    wait_ms := greatest(0, ceil(extract(epoch FROM s.retry_at - at) * 1000));
    below := pg_snapshot_xmin(tenancy.audit_snapshot())::text;
    state := CASE
        WHEN s.name IS NULL THEN 'unknown'
        WHEN s.cluster <> (pg_control_system()).system_identifier THEN 'restored'
        WHEN s.parked_at IS NOT NULL THEN 'parked'
        WHEN s.leased_until > at AND s.fence <> p_fence THEN 'busy'
        WHEN s.retry_at > at THEN 'waiting'
        ELSE 'held'
    END;
    -- Without a write while more than half of the time is left, so that watching costs no transaction.
    IF state = 'held' AND NOT coalesce(s.fence = p_fence AND s.leased_until > at + lease / 2, false) THEN
        UPDATE tenancy.audit_streams t
        SET fence = CASE WHEN t.fence = p_fence THEN t.fence ELSE t.fence + 1 END, leased_until = at + lease
        WHERE t.name = p_name AND t.fence = s.fence AND t.leased_until IS NOT DISTINCT FROM s.leased_until
        RETURNING t.fence INTO fence;
        IF NOT FOUND THEN
            state := 'busy';
        END IF;
    END IF;
    RETURN NEXT;
END
$$;

-- Where a look of a stream of one tenant ends: at the last one of so many entries, whoever they belong to. Nothing if
-- there are fewer below the transaction given, or if the stream is everybody's, or another one's now.
CREATE FUNCTION tenancy.audit_stream_look(p_name text, p_fence bigint, p_below text, p_entries integer)
    RETURNS TABLE (txid text, tenant_id uuid, id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_sort = off
AS $$
DECLARE
    s record;
BEGIN
    SELECT t.* INTO s FROM tenancy.audit_streams t
    WHERE t.name = p_name AND t.fence = p_fence AND t.only_tenant IS NOT NULL;
    RETURN QUERY
    SELECT l.txid::text, l.tenant_id, l.id FROM tenancy.audit_logs l
    WHERE (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry) AND l.txid < p_below::xid8
    ORDER BY l.txid, l.tenant_id, l.id OFFSET least(greatest(p_entries, 1), 100000) - 1 LIMIT 1;
END
$$;

-- The next entries of a stream that this holder holds, of all tenants or of the stream's, up to the place given, in
-- their order. Tenants are bounded from below and above so that the index is asked either way. (The one
-- with four parameters is what programs of the version before call.)
CREATE FUNCTION tenancy.audit_stream_read(
        p_name text, p_fence bigint, p_txid text, p_tenant uuid, p_entry uuid, p_rows integer)
    RETURNS TABLE (
        tenant_id uuid, id uuid, actor_user_id uuid, actor_kind text, actor_id text, on_behalf_of uuid, action text,
        resource text, outcome text, targets jsonb, context jsonb, personal jsonb, commitments jsonb,
        request_id uuid, meta jsonb, redacted boolean, truncated boolean, schema_version smallint,
        content_hash bytea, created_at timestamptz, txid text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_sort = off
AS $$
DECLARE
    s record;
BEGIN
    SELECT t.* INTO s FROM tenancy.audit_streams t WHERE t.name = p_name AND t.fence = p_fence;
    RETURN QUERY
    SELECT l.tenant_id, l.id, l.actor_user_id, l.actor_kind, l.actor_id, l.on_behalf_of, l.action, l.resource,
        l.outcome, l.targets, l.context, l.personal, l.commitments, l.request_id, l.meta, l.redacted, l.truncated,
        l.schema_version, l.content_hash, l.created_at, l.txid::text
    FROM tenancy.audit_logs l
    WHERE (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry)
      AND (l.txid, l.tenant_id, l.id) <= (p_txid::xid8, p_tenant, p_entry)
      AND l.tenant_id >= coalesce(s.only_tenant, '00000000-0000-0000-0000-000000000000')
      AND l.tenant_id <= coalesce(s.only_tenant, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY l.txid, l.tenant_id, l.id
    LIMIT least(greatest(p_rows, 1), 10000);
END
$$;

-- As before; a stream can't go on either while the log is not adopted.
CREATE OR REPLACE FUNCTION tenancy.audit_stream_list() RETURNS TABLE (
        name text, tenant uuid, delivered bigint, delivered_at timestamptz, failures integer, code text,
        parked_at timestamptz, running boolean, restored boolean, waiting_since timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT s.name, s.only_tenant, s.delivered, s.delivered_at, s.failures, s.code, s.parked_at,
        coalesce(s.leased_until > clock_timestamp(), false),
        s.cluster <> (pg_control_system()).system_identifier OR k.cluster <> (pg_control_system()).system_identifier,
        -- A time that somebody has put in may be no time at all.
        (SELECT least(greatest(l.created_at, 'epoch'), clock_timestamp()) FROM tenancy.audit_logs l
         WHERE (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry)
           AND l.tenant_id >= coalesce(s.only_tenant, '00000000-0000-0000-0000-000000000000')
           AND l.tenant_id <= coalesce(s.only_tenant, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
         ORDER BY l.txid, l.tenant_id, l.id LIMIT 1)
    FROM tenancy.audit_streams s, tenancy.audit_sealer k ORDER BY s.name;
    END;

REVOKE EXECUTE ON FUNCTION
    tenancy.audit_snapshot(),
    tenancy.audit_look(text, text, text, uuid, integer),
    tenancy.audit_stream_look(text, bigint, text, integer),
    tenancy.audit_stream_read(text, bigint, text, uuid, uuid, integer)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_snapshot(),
    tenancy.audit_look(text, text, text, uuid, integer)
TO tenancy_app;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_stream_look(text, bigint, text, integer),
    tenancy.audit_stream_read(text, bigint, text, uuid, uuid, integer)
TO tenancy_worker;

SET LOCAL ROLE NONE;
