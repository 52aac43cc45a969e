-- What takes out by action, and what lists streams, reads so much and no more, however large the log is.

SET LOCAL ROLE tenancy_definer;

-- As before. Actions are compared as a range of their index, and planned for the values at hand: a plan for any values
-- reads a tenant's log from its beginning for each batch of a rare action. What goes is looked up entry by entry: the
-- planner does not see that an id leads to one partition, and would read whole ones to find a few.
CREATE OR REPLACE FUNCTION tenancy.audit_take_told(
    p_tenant uuid, p_action text, p_before timestamptz, p_waits timestamptz, p_rows integer
) RETURNS SETOF tenancy.audit_logs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    prefix boolean := right(p_action, 1) = '%';
    word text := CASE WHEN prefix THEN left(p_action, -1) ELSE p_action END;
    -- Behind everything that begins like this: a prefix is in ASCII.
    beyond text := left(word, -1) || chr(ascii(right(word, 1)) + 1);
    s record;
BEGIN
    IF tenancy.audit_is_held(p_tenant) THEN
        RETURN;
    END IF;
    -- On its own: of a table of one row the planner expects a thousand, and to find enough entries wherever it looks.
    SELECT r.at_txid, r.at_tenant, r.at_entry INTO STRICT s FROM tenancy.audit_sealer r;
    RETURN QUERY
    WITH past AS (
        SELECT l.id FROM tenancy.audit_logs l
        WHERE l.tenant_id = p_tenant AND l.id < tenancy.uuid_v7_floor(p_before)
          AND (p_action IS NULL OR (NOT prefix AND l.action = word)
               OR (prefix AND l.action >= word AND l.action < beyond))
          AND (l.txid, l.tenant_id, l.id) <= (s.at_txid, s.at_tenant, s.at_entry)
          AND (l.id < tenancy.uuid_v7_floor(p_waits) OR NOT EXISTS (
              SELECT FROM tenancy.audit_streams t
              WHERE (t.only_tenant IS NULL OR t.only_tenant = l.tenant_id)
                AND (t.at_txid, t.at_tenant, t.at_entry) < (l.txid, l.tenant_id, l.id)))
        ORDER BY l.id
        LIMIT least(greatest(p_rows, 1), 10000)
    )
    DELETE FROM tenancy.audit_logs l USING past p WHERE l.tenant_id = p_tenant AND l.id = p.id RETURNING l.*;
END
$$;

-- As before, and as above; stream by stream, so that each is planned for its place.
CREATE OR REPLACE FUNCTION tenancy.audit_untold(p_tenant uuid, p_action text, p_from uuid, p_to uuid)
    RETURNS TABLE (stream text, entries bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    prefix boolean := right(p_action, 1) = '%';
    word text := CASE WHEN prefix THEN left(p_action, -1) ELSE p_action END;
    beyond text := left(word, -1) || chr(ascii(right(word, 1)) + 1);
    t record;
BEGIN
    FOR t IN
        SELECT s.name, s.only_tenant, s.at_txid, s.at_tenant, s.at_entry FROM tenancy.audit_streams s ORDER BY s.name
    LOOP
        SELECT t.name, count(*) INTO stream, entries FROM (
            SELECT FROM tenancy.audit_logs l
            WHERE l.id >= p_from AND l.id < p_to
              AND (l.txid, l.tenant_id, l.id) > (t.at_txid, t.at_tenant, t.at_entry)
              AND (p_tenant IS NULL OR l.tenant_id = p_tenant)
              AND (t.only_tenant IS NULL OR l.tenant_id = t.only_tenant)
              AND (p_action IS NULL OR (NOT prefix AND l.action = word)
                   OR (prefix AND l.action >= word AND l.action < beyond))
            LIMIT 100000
        ) untold;
        IF entries > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

-- As before; a stream of one tenant is looked for among 10,000 entries, as one of its own looks does. Where all of
-- these are others', the last of them is what it has to get past.
CREATE OR REPLACE FUNCTION tenancy.audit_stream_list() RETURNS TABLE (
        name text, tenant uuid, delivered bigint, delivered_at timestamptz, failures integer, code text,
        parked_at timestamptz, running boolean, restored boolean, waiting_since timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_sort = off
    BEGIN ATOMIC
    SELECT s.name, s.only_tenant, s.delivered, s.delivered_at, s.failures, s.code, s.parked_at,
        coalesce(s.leased_until > clock_timestamp(), false),
        s.cluster <> (pg_control_system()).system_identifier OR k.cluster <> (pg_control_system()).system_identifier,
        -- A time that somebody has put in may be no time at all.
        (SELECT least(greatest(e.created_at, 'epoch'), clock_timestamp()) FROM tenancy.audit_logs e
         WHERE e.tenant_id = coalesce(own.tenant_id, last.tenant_id) AND e.id = coalesce(own.id, last.id))
    FROM tenancy.audit_streams s CROSS JOIN tenancy.audit_sealer k
    LEFT JOIN LATERAL (
        SELECT w.tenant_id, w.id FROM (
            SELECT l.tenant_id, l.id FROM tenancy.audit_logs l
            WHERE (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry)
            ORDER BY l.txid, l.tenant_id, l.id LIMIT 10000) w
        WHERE s.only_tenant IS NULL OR w.tenant_id = s.only_tenant
        LIMIT 1) own ON true
    LEFT JOIN LATERAL (
        SELECT l.tenant_id, l.id FROM tenancy.audit_logs l
        WHERE own.id IS NULL AND (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry)
        ORDER BY l.txid, l.tenant_id, l.id OFFSET 9999 LIMIT 1) last ON true
    ORDER BY s.name;
    END;

SET LOCAL ROLE NONE;
