-- Streams: how far systems outside have been told of the log. A stream's place is an entry, by transaction,
-- tenant and id, as the sealer's: only what is final is told, so that nothing can be committed behind it.

SET LOCAL ROLE tenancy_owner;

CREATE TABLE tenancy.audit_streams (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    -- Whose entries; everybody's, if NULL.
    only_tenant uuid,
    at_txid xid8 NOT NULL,
    at_tenant uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    at_entry uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- The cluster whose transactions are counted.
    cluster bigint NOT NULL DEFAULT (pg_control_system()).system_identifier,
    -- Who works on it, and until when unless he says so again.
    fence bigint NOT NULL DEFAULT 1,
    leased_until timestamptz,
    -- Failures in a row, the last one's code, when to try again, and since when it is not tried any more.
    failures integer NOT NULL DEFAULT 0,
    code text CHECK (octet_length(code) BETWEEN 1 AND 64),
    retry_at timestamptz,
    parked_at timestamptz,
    delivered bigint NOT NULL DEFAULT 0,
    delivered_at timestamptz
);
SELECT tenancy.admit_definer('tenancy.audit_streams');

SET LOCAL ROLE tenancy_definer;

-- Makes a stream that begins with the first entry of all, or with what is not final yet. 'made', 'there',
-- or 'other' if there is one of this name for another tenant.
CREATE FUNCTION tenancy.audit_stream_open(p_name text, p_tenant uuid, p_from_start boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    there record;
BEGIN
    INSERT INTO tenancy.audit_streams (name, only_tenant, at_txid)
    VALUES (p_name, p_tenant, CASE WHEN p_from_start THEN '0'::xid8 ELSE pg_snapshot_xmin(pg_current_snapshot()) END)
    ON CONFLICT (name) DO NOTHING;
    IF FOUND THEN
        RETURN 'made';
    END IF;
    SELECT s.only_tenant INTO STRICT there FROM tenancy.audit_streams s WHERE s.name = p_name;
    RETURN CASE WHEN there.only_tenant IS NOT DISTINCT FROM p_tenant THEN 'there' ELSE 'other' END;
END
$$;

-- Takes a stream for so many seconds, or keeps it: whoever holds it names its fence, anybody else 0. The state is 'held',
-- 'busy' (somebody else has it), 'waiting' (it is not time to try again), 'parked', 'restored' (this is
-- another cluster) or 'unknown'. Everything below the transaction answered is final.
CREATE FUNCTION tenancy.audit_stream_hold(p_name text, p_fence bigint, p_seconds integer)
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
    below := pg_snapshot_xmin(pg_current_snapshot())::text;
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

-- The next entries of a stream that this holder holds, of all tenants or of the stream's, up to the
-- transaction given, in their order.
CREATE FUNCTION tenancy.audit_stream_read(p_name text, p_fence bigint, p_below text, p_rows integer)
    RETURNS TABLE (
        tenant_id uuid, id uuid, actor_user_id uuid, actor_kind text, actor_id text, on_behalf_of uuid, action text,
        resource text, outcome text, targets jsonb, context jsonb, personal jsonb, commitments jsonb,
        request_id uuid, meta jsonb, redacted boolean, truncated boolean, schema_version smallint,
        content_hash bytea, created_at timestamptz, txid text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
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
    WHERE (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry) AND l.txid < p_below::xid8
      AND (s.only_tenant IS NULL OR l.tenant_id = s.only_tenant)
    ORDER BY l.txid, l.tenant_id, l.id
    LIMIT least(greatest(p_rows, 1), 10000);
END
$$;

-- Goes on behind an entry, and keeps the stream for so many seconds more. 'done', or 'lost' if another holder has the stream or it is there already.
CREATE FUNCTION tenancy.audit_stream_advance(
    p_name text, p_fence bigint, p_txid text, p_tenant uuid, p_entry uuid, p_delivered bigint, p_seconds integer
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tenancy.audit_streams s
    SET at_txid = p_txid::xid8, at_tenant = p_tenant, at_entry = p_entry, failures = 0, code = NULL, retry_at = NULL,
        leased_until = clock_timestamp() + make_interval(secs => least(greatest(p_seconds, 1), 3600)),
        delivered = s.delivered + greatest(p_delivered, 0),
        delivered_at = CASE WHEN p_delivered > 0 THEN clock_timestamp() ELSE s.delivered_at END
    WHERE s.name = p_name AND s.fence = p_fence
      AND (s.at_txid, s.at_tenant, s.at_entry) < (p_txid::xid8, p_tenant, p_entry);
    RETURN CASE WHEN FOUND THEN 'done' ELSE 'lost' END;
END
$$;

-- Notes a failure, and when to try again, or that it is not tried any more. 'done' or 'lost'.
CREATE FUNCTION tenancy.audit_stream_fail(p_name text, p_fence bigint, p_code text, p_wait_ms bigint, p_park boolean)
    RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tenancy.audit_streams s
    SET failures = s.failures + 1, code = p_code,
        retry_at = clock_timestamp() + make_interval(secs => least(greatest(p_wait_ms, 0), 86400000) / 1000.0),
        parked_at = CASE WHEN p_park THEN clock_timestamp() END
    WHERE s.name = p_name AND s.fence = p_fence;
    RETURN CASE WHEN FOUND THEN 'done' ELSE 'lost' END;
END
$$;

-- Gives a stream back before the time is over.
CREATE FUNCTION tenancy.audit_stream_release(p_name text, p_fence bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    UPDATE tenancy.audit_streams s SET leased_until = NULL WHERE s.name = p_name AND s.fence = p_fence;
    END;

-- Tries a parked stream again. Whether there is one.
CREATE FUNCTION tenancy.audit_stream_resume(p_name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tenancy.audit_streams s SET failures = 0, retry_at = NULL, parked_at = NULL WHERE s.name = p_name;
    RETURN FOUND;
END
$$;

-- Forgets a stream. Whether there was one.
CREATE FUNCTION tenancy.audit_stream_drop(p_name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tenancy.audit_streams s WHERE s.name = p_name;
    RETURN FOUND;
END
$$;

-- Each stream, and since when its next entry waits, final or not.
CREATE FUNCTION tenancy.audit_stream_list() RETURNS TABLE (
        name text, tenant uuid, delivered bigint, delivered_at timestamptz, failures integer, code text,
        parked_at timestamptz, running boolean, restored boolean, waiting_since timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT s.name, s.only_tenant, s.delivered, s.delivered_at, s.failures, s.code, s.parked_at,
        coalesce(s.leased_until > clock_timestamp(), false),
        s.cluster <> (pg_control_system()).system_identifier,
        -- A time that somebody has put in may be no time at all.
        (SELECT least(greatest(l.created_at, 'epoch'), clock_timestamp()) FROM tenancy.audit_logs l
         WHERE (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry)
           AND (s.only_tenant IS NULL OR l.tenant_id = s.only_tenant)
         ORDER BY l.txid LIMIT 1)
    FROM tenancy.audit_streams s ORDER BY s.name;
    END;

REVOKE EXECUTE ON FUNCTION
    tenancy.audit_stream_open(text, uuid, boolean),
    tenancy.audit_stream_hold(text, bigint, integer),
    tenancy.audit_stream_read(text, bigint, text, integer),
    tenancy.audit_stream_advance(text, bigint, text, uuid, uuid, bigint, integer),
    tenancy.audit_stream_fail(text, bigint, text, bigint, boolean),
    tenancy.audit_stream_release(text, bigint),
    tenancy.audit_stream_resume(text),
    tenancy.audit_stream_drop(text),
    tenancy.audit_stream_list()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_stream_open(text, uuid, boolean),
    tenancy.audit_stream_hold(text, bigint, integer),
    tenancy.audit_stream_read(text, bigint, text, integer),
    tenancy.audit_stream_advance(text, bigint, text, uuid, uuid, bigint, integer),
    tenancy.audit_stream_fail(text, bigint, text, bigint, boolean),
    tenancy.audit_stream_release(text, bigint),
    tenancy.audit_stream_resume(text),
    tenancy.audit_stream_drop(text),
    tenancy.audit_stream_list()
TO tenancy_worker;

SET LOCAL ROLE NONE;
