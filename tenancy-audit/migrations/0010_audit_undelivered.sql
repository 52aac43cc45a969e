-- Entries that a stream has not told of yet are not removed.

SET LOCAL ROLE tenancy_definer;

-- As audit_take_out, but of what lies at or behind `p_waits` only what no stream waits for.
CREATE FUNCTION tenancy.audit_take_told(
    p_tenant uuid, p_action text, p_before timestamptz, p_waits timestamptz, p_rows integer
) RETURNS SETOF tenancy.audit_logs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tenancy.audit_is_held(p_tenant) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH past AS (
        SELECT l.id FROM tenancy.audit_logs l, tenancy.audit_sealer s
        WHERE l.tenant_id = p_tenant AND l.id < tenancy.uuid_v7_floor(p_before)
          AND (p_action IS NULL OR l.action = p_action
               OR (right(p_action, 1) = '%' AND starts_with(l.action, left(p_action, -1))))
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

-- Which streams have yet to tell of entries of a tenant, or of anybody's, of such an action and with ids from one to
-- before another, and of how many; of 100,000 where there are more.
CREATE FUNCTION tenancy.audit_untold(p_tenant uuid, p_action text, p_from uuid, p_to uuid)
    RETURNS TABLE (stream text, entries bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT t.name, w.entries
    FROM tenancy.audit_streams t CROSS JOIN LATERAL (
        SELECT count(*) AS entries FROM (
            SELECT FROM tenancy.audit_logs l
            WHERE l.id >= p_from AND l.id < p_to
              AND (l.txid, l.tenant_id, l.id) > (t.at_txid, t.at_tenant, t.at_entry)
              AND (p_tenant IS NULL OR l.tenant_id = p_tenant)
              AND (t.only_tenant IS NULL OR l.tenant_id = t.only_tenant)
              AND (p_action IS NULL OR l.action = p_action
                   OR (right(p_action, 1) = '%' AND starts_with(l.action, left(p_action, -1))))
            LIMIT 100000
        ) untold
    ) w
    WHERE w.entries > 0
    ORDER BY t.name;
    END;

REVOKE EXECUTE ON FUNCTION
    tenancy.audit_take_told(uuid, text, timestamptz, timestamptz, integer),
    tenancy.audit_untold(uuid, text, uuid, uuid)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_take_told(uuid, text, timestamptz, timestamptz, integer),
    tenancy.audit_untold(uuid, text, uuid, uuid)
TO tenancy_owner;

-- What programs of the version before call.
CREATE OR REPLACE FUNCTION tenancy.audit_take_out(p_tenant uuid, p_action text, p_before timestamptz, p_rows integer)
    RETURNS SETOF tenancy.audit_logs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT * FROM tenancy.audit_take_told(p_tenant, p_action, p_before, p_before - interval '30 days', p_rows);
END
$$;

SET LOCAL ROLE NONE;
