-- What is kept for longer is not removed by what is kept for less: policies don't contradict each other, no time is
-- taken for another one, and entries that lie in no month are found. And a log of any size is adopted.

SET LOCAL ROLE tenancy_owner;

-- As before. A time before 1970 or thousands of years ahead has no such uuid: it gets the first or the last one. Cut
-- off, its digits would be those of another time, and all of a log could lie before it.
CREATE OR REPLACE FUNCTION tenancy.uuid_v7_floor(p_at timestamptz) RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN p_at IS NOT NULL THEN
        (lpad(to_hex(least(greatest(extract(epoch FROM p_at) * 1000, 0), 281474976710655)::bigint), 12, '0')
            || repeat('0', 20))::uuid
    END;

SET LOCAL ROLE tenancy_definer;

-- Whether a policy is about everything that another one is about. Actions are one action, all that begin like this
-- (`login.%`), or, as an empty text, all; the nil uuid stands for every tenant.
CREATE FUNCTION tenancy.audit_policy_covers(p_tenant uuid, p_action text, p_other_tenant uuid, p_other_action text)
    RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN p_tenant IN ('00000000-0000-0000-0000-000000000000', p_other_tenant)
        AND (p_action IN ('', p_other_action)
             OR (right(p_action, 1) = '%' AND starts_with(p_other_action, left(p_action, -1))));

-- The policies that such a one contradicts, up to six: first narrower ones that keep for longer, which it would leave
-- without effect, then wider ones that keep for less, so that it would do nothing.
CREATE FUNCTION tenancy.audit_policies_against(p_tenant uuid, p_action text, p_days integer)
    RETURNS SETOF tenancy.audit_policies
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT a.* FROM (
        SELECT w.* FROM tenancy.audit_policies w
        WHERE w.tenant_id IN ('00000000-0000-0000-0000-000000000000', p_tenant) AND w.keep_days < p_days
          AND tenancy.audit_policy_covers(w.tenant_id, w.action, p_tenant, p_action)
        UNION ALL
        SELECT n.* FROM tenancy.audit_policies n
        WHERE n.tenant_id BETWEEN p_tenant AND CASE
                WHEN p_tenant = '00000000-0000-0000-0000-000000000000' THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                ELSE p_tenant END
          AND n.keep_days > p_days AND tenancy.audit_policy_covers(p_tenant, p_action, n.tenant_id, n.action)
    ) a
    WHERE (a.tenant_id, a.action) <> (p_tenant, p_action)
    ORDER BY a.keep_days < p_days, a.tenant_id, a.action LIMIT 6;
    END;

-- Sets a policy: 'ok', or 'longer' if it or another one would then keep for longer than a wider one does. One is set
-- at a time: of two that contradict each other the second one sees the first.
CREATE OR REPLACE FUNCTION tenancy.audit_set_policy(p_tenant uuid, p_action text, p_days integer, p_reason text)
    RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE tenancy.audit_policies IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM tenancy.audit_policies_against(p_tenant, p_action, p_days)) THEN
        RETURN 'longer';
    END IF;
    INSERT INTO tenancy.audit_policies AS p (tenant_id, action, keep_days, reason)
    VALUES (p_tenant, p_action, p_days, p_reason)
    ON CONFLICT (tenant_id, action) DO UPDATE
        SET keep_days = excluded.keep_days, reason = excluded.reason, set_at = clock_timestamp();
    RETURN 'ok';
END
$$;

-- The next tenants behind one with entries of before a time that lie in the partition of no month. Of the months it
-- asks the catalog and reads what lies between them, which is the default partition, and what was attached by hand.
CREATE FUNCTION tenancy.audit_stray_tenants(p_before timestamptz, p_after uuid, p_tenants integer) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    past CONSTANT uuid := tenancy.uuid_v7_floor(p_before);
    most CONSTANT integer := least(greatest(p_tenants, 1), 1000);
    strays uuid[] := '{}';
    gap record;
BEGIN
    FOR gap IN
        SELECT g.first, g.beyond FROM (
            SELECT m.ends AS first, least(lead(m.starts) OVER (ORDER BY m.starts), past) AS beyond FROM (
                SELECT nobody AS starts, nobody AS ends
                UNION ALL
                SELECT tenancy.uuid_v7_floor(c.month::timestamp AT TIME ZONE 'UTC'),
                    tenancy.uuid_v7_floor((c.month::timestamp + interval '1 month') AT TIME ZONE 'UTC')
                FROM (
                    SELECT to_date(substring(r.relname::text FROM '^audit_logs_y([0-9]{4}m(?:0[1-9]|1[0-2]))$'),
                        'YYYY"m"MM') AS month
                    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class r ON r.oid = i.inhrelid
                    WHERE i.inhparent = 'tenancy.audit_logs'::regclass
                ) c
                WHERE c.month IS NOT NULL
            ) m
        ) g
        WHERE g.first < g.beyond
    LOOP
        strays := strays || ARRAY(
            SELECT DISTINCT l.tenant_id FROM tenancy.audit_logs l
            WHERE l.id >= gap.first AND l.id < gap.beyond AND l.tenant_id > p_after
            ORDER BY l.tenant_id LIMIT most);
    END LOOP;
    RETURN QUERY SELECT DISTINCT s FROM unnest(strays) AS s ORDER BY s LIMIT most;
END
$$;

-- Begins to adopt the log: whether anything of it was ever sealed. Entries without a seal are looked for from two days
-- before the newest seal on (`recent`), and among those that the sealer has not come to, the first of which may be
-- older (`oldest`). Others were put in later, and stay without. Nothing is read of a log that was never sealed. What
-- was just restored has no statistics: with none, every month would be read from end to end.
CREATE FUNCTION tenancy.audit_adopt_start()
    RETURNS TABLE (begun boolean, oldest uuid, recent uuid, at_txid text, at_tenant uuid, at_entry uuid)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    place record;
    last uuid := nobody;
    sealed timestamptz;
    newest timestamptz;
BEGIN
    SELECT s.at_txid, s.at_tenant, s.at_entry INTO STRICT place FROM tenancy.audit_sealer s FOR UPDATE;
    LOOP
        SELECT max(t.id::text COLLATE "C")::uuid, max(h.sealed_at) INTO last, sealed
        FROM tenancy.audit_sealed_tenants(last, 1000) AS t (id)
        CROSS JOIN LATERAL (
            SELECT s.sealed_at FROM tenancy.audit_seals s WHERE s.tenant_id = t.id ORDER BY s.number DESC LIMIT 1
        ) h;
        EXIT WHEN last IS NULL;
        newest := greatest(newest, sealed);
    END LOOP;
    at_txid := place.at_txid::text;
    at_tenant := place.at_tenant;
    at_entry := place.at_entry;
    begun := place.at_txid <> '0'::xid8 OR newest IS NOT NULL;
    recent := coalesce(tenancy.uuid_v7_floor(newest - interval '2 days'), nobody);
    oldest := recent;
    IF newest IS NOT NULL THEN
        SELECT least(recent, min(l.id::text COLLATE "C")::uuid) INTO oldest FROM tenancy.audit_logs l
        WHERE (l.txid, l.tenant_id, l.id) > (place.at_txid, place.at_tenant, place.at_entry);
    END IF;
    RETURN NEXT;
END
$$;

-- Of the next entries behind one, at most so many, of those whose ids are not below the first, and below the second if
-- there is one: those that no seal holds, tenant by tenant, and where each tenant's seals end now; behind which entry to
-- go on, also where all of them are sealed. Nothing at the end. The log is not sorted: each page would read all of the
-- rest.
CREATE FUNCTION tenancy.audit_adopt_page(
    p_first uuid, p_beyond uuid, p_txid text, p_tenant uuid, p_entry uuid, p_rows integer
) RETURNS TABLE (
        to_txid text, to_tenant uuid, to_entry uuid,
        tenant_id uuid, records bytea, seals bigint, entries bigint, hash bytea, frontier bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_sort = off
    SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    WITH page AS MATERIALIZED (
        SELECT l.tenant_id, l.id, l.txid, l.created_at, l.content_hash
        FROM tenancy.audit_logs l
        WHERE (l.txid, l.tenant_id, l.id) > (p_txid::xid8, p_tenant, p_entry)
          AND l.id >= p_first AND (p_beyond IS NULL OR l.id < p_beyond)
        ORDER BY l.txid, l.tenant_id, l.id
        LIMIT least(greatest(p_rows, 1), 100000)
    ), reach AS (
        SELECT p.tenant_id, min(p.id::text COLLATE "C")::uuid AS first, max(p.id::text COLLATE "C")::uuid AS last
        FROM page p GROUP BY p.tenant_id
    ), held AS MATERIALIZED (
        SELECT s.tenant_id, substr(s.ids, n * 16 + 1, 16) AS id
        FROM reach r
        JOIN tenancy.audit_seals s ON s.tenant_id = r.tenant_id AND s.id_max >= r.first AND s.id_min <= r.last
        CROSS JOIN LATERAL generate_series(0, s.entries - 1) AS n
    ), grouped AS (
        SELECT p.tenant_id,
            string_agg(uuid_send(p.id) || p.content_hash || timestamptz_send(p.created_at) || xid8send(p.txid), ''::bytea
                ORDER BY p.txid, p.id) AS records
        FROM page p
        LEFT JOIN held h ON h.tenant_id = p.tenant_id AND h.id = uuid_send(p.id)
        WHERE h.id IS NULL
        GROUP BY p.tenant_id
    ), reached AS (
        SELECT p.txid, p.tenant_id, p.id FROM page p ORDER BY p.txid DESC, p.tenant_id DESC, p.id DESC LIMIT 1
    )
    SELECT e.txid::text, e.tenant_id, e.id, g.tenant_id, g.records, h.number, h.first_entry + h.entries - 1, h.hash, h.frontier
    FROM reached e
    LEFT JOIN grouped g ON true
    LEFT JOIN LATERAL (
        SELECT s.number, s.first_entry, s.entries, s.hash, s.frontier
        FROM tenancy.audit_seals s WHERE s.tenant_id = g.tenant_id ORDER BY s.number DESC LIMIT 1
    ) h ON true;
END
$$;
DROP FUNCTION tenancy.audit_adopt_begin();

-- Of seals by tenant, number and hash those that are not there: their places in these arrays, from 1 on. Each is looked
-- for by its key: no number of them makes it read all seals.
CREATE FUNCTION tenancy.audit_seals_missing(p_tenants uuid[], p_numbers bigint[], p_hashes bytea[]) RETURNS SETOF bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    BEGIN ATOMIC
    SELECT a.place FROM unnest(p_tenants, p_numbers, p_hashes) WITH ORDINALITY AS a (tenant_id, number, hash, place)
    WHERE NOT EXISTS (
        SELECT FROM tenancy.audit_seals s WHERE s.tenant_id = a.tenant_id AND s.number = a.number AND s.hash = a.hash);
    END;

-- The next tenants behind one with seals: how many, how many entries these hold, and when something was signed for it
-- last, by whatever clock: of one that runs far ahead no more than ten days.
CREATE FUNCTION tenancy.audit_adopt_tenants(p_after uuid, p_tenants integer)
    RETURNS TABLE (tenant_id uuid, seals bigint, entries bigint, signed_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT t.tenant_id, h.number, h.first_entry + h.entries - 1,
        CASE WHEN s.at > now() THEN least(s.at, now() + interval '10 days') ELSE s.at END
    FROM tenancy.audit_sealed_tenants(p_after, p_tenants) AS t (tenant_id)
    CROSS JOIN LATERAL (
        SELECT s.number, s.first_entry, s.entries
        FROM tenancy.audit_seals s WHERE s.tenant_id = t.tenant_id ORDER BY s.number DESC LIMIT 1
    ) h
    CROSS JOIN LATERAL (
        SELECT greatest(
            (SELECT a.adopted_at FROM tenancy.audit_adoptions a
             WHERE a.tenant_id = t.tenant_id ORDER BY a.id DESC LIMIT 1),
            (SELECT r.removed_at FROM tenancy.audit_removals r
             WHERE r.tenant_id = t.tenant_id ORDER BY r.id DESC LIMIT 1)) AS at
    ) s
    ORDER BY t.tenant_id;
    END;

-- Goes on behind everything that is there, in this cluster. What is added to transactions' numbers from now on. In a log
-- of which nothing was ever sealed the sealer is still to begin, with the first entry: all of them lie below.
CREATE OR REPLACE FUNCTION tenancy.audit_adopt() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most bigint;
BEGIN
    SELECT greatest(s.at_txid::text::bigint,
        coalesce((SELECT max(l.txid)::text::bigint FROM tenancy.audit_logs l), 0))
    INTO STRICT most FROM tenancy.audit_sealer s;
    UPDATE tenancy.audit_sealer s SET ahead = most, cluster = (pg_control_system()).system_identifier;
    UPDATE tenancy.audit_sealer s SET
        at_txid = most::text::xid8, at_tenant = 'ffffffff-ffff-ffff-ffff-ffffffffffff',
        at_entry = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
    WHERE s.at_txid <> '0'::xid8 OR EXISTS (SELECT FROM tenancy.audit_seals);
    RETURN most;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.audit_policy_covers(uuid, text, uuid, text),
    tenancy.audit_policies_against(uuid, text, integer),
    tenancy.audit_stray_tenants(timestamptz, uuid, integer),
    tenancy.audit_adopt_start(),
    tenancy.audit_adopt_page(uuid, uuid, text, uuid, uuid, integer),
    tenancy.audit_adopt_tenants(uuid, integer),
    tenancy.audit_seals_missing(uuid[], bigint[], bytea[])
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_policies_against(uuid, text, integer),
    tenancy.audit_stray_tenants(timestamptz, uuid, integer),
    tenancy.audit_adopt_start(),
    tenancy.audit_adopt_page(uuid, uuid, text, uuid, uuid, integer),
    tenancy.audit_adopt_tenants(uuid, integer),
    tenancy.audit_seals_missing(uuid[], bigint[], bytea[])
TO tenancy_owner;

SET LOCAL ROLE NONE;
