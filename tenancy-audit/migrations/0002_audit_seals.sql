-- Seals: signed batches of entries, in the order in which their transactions became final; and removals,
-- which say what was taken out of sealed batches on purpose. The signing key is not in the database.

SET LOCAL ROLE tenancy_owner;

-- What a sealer asks for: everything that transactions from this one on have written.
CREATE INDEX audit_logs_txid ON tenancy.audit_logs (txid);

CREATE TABLE tenancy.audit_seals (
    tenant_id uuid NOT NULL,
    -- Both from 1 and without a gap: the seal among the tenant's, its first entry among all of them.
    number bigint NOT NULL CHECK (number > 0),
    first_entry bigint NOT NULL CHECK (first_entry > 0),
    entries integer NOT NULL CHECK (entries BETWEEN 1 AND 1024),
    -- Ids (16 bytes each) and hashes (32 bytes each) of the entries, in their order. They stay when the
    -- entries go, so that what is left can still be verified.
    ids bytea NOT NULL CHECK (octet_length(ids) = entries * 16),
    leaves bytea NOT NULL CHECK (octet_length(leaves) = entries * 32),
    id_min uuid NOT NULL,
    id_max uuid NOT NULL,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    ids_hash bytea NOT NULL CHECK (octet_length(ids_hash) = 32),
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    -- The seal's own hash, and the peaks of the tree over all seals up to this one.
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    frontier bytea NOT NULL CHECK (octet_length(frontier) BETWEEN 32 AND 2048),
    log_root bytea NOT NULL CHECK (octet_length(log_root) = 32),
    sealed_at timestamptz NOT NULL,
    key_name text NOT NULL CHECK (octet_length(key_name) BETWEEN 1 AND 64),
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    PRIMARY KEY (tenant_id, number)
);
-- Hashes can't be compressed.
ALTER TABLE tenancy.audit_seals ALTER COLUMN ids SET STORAGE EXTERNAL, ALTER COLUMN leaves SET STORAGE EXTERNAL;
-- Which seal holds an entry: the first one whose largest id is not below the entry's is the likeliest.
CREATE INDEX audit_seals_ids ON tenancy.audit_seals (tenant_id, id_max);
-- Seals side by side with the entries, to find entries that are in none.
CREATE INDEX audit_seals_starts ON tenancy.audit_seals (tenant_id, id_min, number);

CREATE TABLE tenancy.audit_removals (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    -- First and last place of each stretch, in pairs.
    ranges bigint[] NOT NULL CHECK (cardinality(ranges) <= 20000 AND cardinality(ranges) % 2 = 0),
    reason text NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 512),
    removed_at timestamptz NOT NULL,
    key_name text NOT NULL CHECK (octet_length(key_name) BETWEEN 1 AND 64),
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    PRIMARY KEY (tenant_id, id)
);

-- Legal holds on logs of tenants that are gone, where core keeps none. While one stands, nothing is removed.
CREATE TABLE tenancy.audit_holds (
    tenant_id uuid NOT NULL,
    reference text NOT NULL CHECK (char_length(reference) BETWEEN 1 AND 200),
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, reference)
);

-- How far the sealer has come: up to this entry, by transaction, tenant and id. One row.
CREATE TABLE tenancy.audit_sealer (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    at_txid xid8 NOT NULL DEFAULT '0',
    at_tenant uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    at_entry uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- What is added to the numbers of transactions since a log came into another cluster, which counts anew.
    ahead bigint NOT NULL DEFAULT 0 CHECK (ahead >= 0),
    -- The cluster whose transactions are counted: after a restore into another one the numbers of
    -- entries that were not sealed mean nothing.
    cluster bigint NOT NULL DEFAULT (pg_control_system()).system_identifier
);
INSERT INTO tenancy.audit_sealer DEFAULT VALUES;

-- The tenant reads its seals; nobody changes or removes one.
SELECT tenancy.protect_table('tenancy.audit_seals', '{select}');
SELECT tenancy.protect_table('tenancy.audit_removals', '{select}');
CREATE POLICY definer_select ON tenancy.audit_seals FOR SELECT TO tenancy_definer USING (true);
CREATE POLICY definer_insert ON tenancy.audit_seals FOR INSERT TO tenancy_definer WITH CHECK (true);
CREATE POLICY definer_select ON tenancy.audit_removals FOR SELECT TO tenancy_definer USING (true);
CREATE POLICY definer_insert ON tenancy.audit_removals FOR INSERT TO tenancy_definer WITH CHECK (true);
GRANT SELECT, INSERT ON tenancy.audit_seals, tenancy.audit_removals TO tenancy_definer;
SELECT tenancy.admit_definer('tenancy.audit_sealer');
SELECT tenancy.protect_table('tenancy.audit_holds', '{select}');
SELECT tenancy.admit_definer('tenancy.audit_holds');
-- The functions below read entries of all tenants, take out what is past its time, and erase details.
CREATE POLICY definer_select ON tenancy.audit_logs FOR SELECT TO tenancy_definer USING (true);
CREATE POLICY definer_delete ON tenancy.audit_logs FOR DELETE TO tenancy_definer USING (true);
CREATE POLICY definer_update ON tenancy.audit_logs FOR UPDATE TO tenancy_definer USING (true) WITH CHECK (true);
GRANT SELECT, DELETE, UPDATE (personal) ON tenancy.audit_logs TO tenancy_definer;

SET LOCAL ROLE tenancy_definer;

-- Everything that transactions below this one wrote is final, in the numbers that entries bear.
CREATE FUNCTION tenancy.audit_final_below(p_ahead bigint) RETURNS xid8
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT ((pg_snapshot_xmin(pg_current_snapshot())::text::bigint + p_ahead)::text)::xid8;
    END;
REVOKE EXECUTE ON FUNCTION tenancy.audit_final_below(bigint) FROM PUBLIC;

-- The next entries to seal, tenant by tenant, and where each tenant's seals end; none if there is nothing.
-- The state is 'ready', 'busy' (another sealer is at it) or 'restored' (this is another cluster than the
-- one whose transactions were counted). The row's lock is held until the caller's transaction ends.
--
-- Only what lies below the oldest running transaction is taken: it is final, and nothing can be
-- committed behind it.
CREATE FUNCTION tenancy.audit_seal_begin(p_rows integer) RETURNS TABLE (
        state text, tenant_id uuid, records bytea, seals bigint, entries bigint, hash bytea, frontier bytea,
        at_txid text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reached record;
    below xid8;
BEGIN
    BEGIN
        SELECT s.at_txid, s.at_tenant, s.at_entry, s.cluster, s.ahead INTO STRICT reached
        FROM tenancy.audit_sealer s FOR UPDATE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN QUERY SELECT 'busy', NULL::uuid, NULL::bytea, NULL::bigint, NULL::bigint, NULL::bytea, NULL::bytea, NULL::text;
        RETURN;
    END;
    IF reached.cluster <> (pg_control_system()).system_identifier THEN
        RETURN QUERY SELECT 'restored', NULL::uuid, NULL::bytea, NULL::bigint, NULL::bigint, NULL::bytea, NULL::bytea, NULL::text;
        RETURN;
    END IF;
    -- Taken before the entries are read, so that what was running then counts as running.
    below := tenancy.audit_final_below(reached.ahead);
    RETURN QUERY
    WITH unsealed AS MATERIALIZED (
        SELECT l.tenant_id, l.id, l.txid, l.created_at, l.content_hash
        FROM tenancy.audit_logs l
        WHERE (l.txid, l.tenant_id, l.id) > (reached.at_txid, reached.at_tenant, reached.at_entry) AND l.txid < below
        ORDER BY l.txid, l.tenant_id, l.id
        LIMIT least(greatest(p_rows, 1), 100000)
    ), grouped AS (
        SELECT u.tenant_id,
            string_agg(uuid_send(u.id) || u.content_hash || timestamptz_send(u.created_at) || xid8send(u.txid), ''::bytea
                ORDER BY u.txid, u.id) AS records
        FROM unsealed u GROUP BY u.tenant_id
    )
    SELECT 'ready', g.tenant_id, g.records, h.number, h.first_entry + h.entries - 1, h.hash, h.frontier, reached.at_txid::text
    FROM grouped g
    LEFT JOIN LATERAL (
        SELECT s.number, s.first_entry, s.entries, s.hash, s.frontier
        FROM tenancy.audit_seals s WHERE s.tenant_id = g.tenant_id ORDER BY s.number DESC LIMIT 1
    ) h ON true;
END
$$;

-- Stores seals and goes on to this entry. 'done', 'moved' if the sealer is not where it was when the
-- entries were read, or 'unfit' if the seals do not hold exactly what is final up to there: what the sealer
-- has passed without a seal would never get one.
CREATE FUNCTION tenancy.audit_seal_store(
    p_from text, p_txid text, p_tenant uuid, p_entry uuid,
    p_tenants uuid[], p_numbers bigint[], p_firsts bigint[], p_entries integer[], p_ids bytea[], p_leaves bytea[],
    p_mins uuid[], p_maxes uuid[], p_roots bytea[], p_ids_hashes bytea[], p_previous bytea[], p_hashes bytea[],
    p_frontiers bytea[], p_log_roots bytea[], p_at timestamptz, p_key text, p_signatures bytea[]
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reached record;
BEGIN
    SELECT s.at_txid, s.at_tenant, s.at_entry, s.cluster, s.ahead INTO STRICT reached
    FROM tenancy.audit_sealer s FOR UPDATE;
    IF reached.at_txid <> p_from::xid8 OR reached.cluster <> (pg_control_system()).system_identifier
        OR (p_txid::xid8, p_tenant, p_entry) <= (reached.at_txid, reached.at_tenant, reached.at_entry)
    THEN
        RETURN 'moved';
    END IF;
    IF p_txid::xid8 >= tenancy.audit_final_below(reached.ahead) OR EXISTS (
        SELECT FROM (
            SELECT l.tenant_id, string_agg(uuid_send(l.id), ''::bytea ORDER BY l.txid, l.id) AS ids
            FROM tenancy.audit_logs l
            WHERE (l.txid, l.tenant_id, l.id) > (reached.at_txid, reached.at_tenant, reached.at_entry)
              AND (l.txid, l.tenant_id, l.id) <= (p_txid::xid8, p_tenant, p_entry)
            GROUP BY l.tenant_id
        ) kept FULL JOIN (
            SELECT s.tenant_id, string_agg(s.ids, ''::bytea ORDER BY s.first_entry) AS ids
            FROM unnest(p_tenants, p_firsts, p_ids) AS s (tenant_id, first_entry, ids)
            GROUP BY s.tenant_id
        ) sealed USING (tenant_id)
        WHERE kept.ids IS DISTINCT FROM sealed.ids
    ) THEN
        RETURN 'unfit';
    END IF;
    UPDATE tenancy.audit_sealer s SET at_txid = p_txid::xid8, at_tenant = p_tenant, at_entry = p_entry;
    INSERT INTO tenancy.audit_seals (
        tenant_id, number, first_entry, entries, ids, leaves, id_min, id_max, root, ids_hash, previous, hash,
        frontier, log_root, sealed_at, key_name, signature)
    SELECT s.tenant_id, s.number, s.first_entry, s.entries, s.ids, s.leaves, s.id_min, s.id_max, s.root, s.ids_hash,
        s.previous, s.hash, s.frontier, s.log_root, p_at, p_key, s.signature
    FROM unnest(p_tenants, p_numbers, p_firsts, p_entries, p_ids, p_leaves, p_mins, p_maxes, p_roots, p_ids_hashes,
        p_previous, p_hashes, p_frontiers, p_log_roots, p_signatures) AS s (
        tenant_id, number, first_entry, entries, ids, leaves, id_min, id_max, root, ids_hash, previous, hash,
        frontier, log_root, signature);
    RETURN 'done';
END
$$;

-- How the log is: since when an entry waits for its seal, whether the sealer has begun at all, whether
-- this is another cluster than the one it counted in, and whether the default partition has been used.
CREATE FUNCTION tenancy.audit_seal_health()
    RETURNS TABLE (waiting_since timestamptz, begun boolean, restored boolean, stray_entries boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT (SELECT l.created_at FROM tenancy.audit_logs l
            WHERE (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry)
            ORDER BY l.txid LIMIT 1),
        s.at_txid <> '0'::xid8,
        s.cluster <> (pg_control_system()).system_identifier,
        pg_relation_size('tenancy.audit_logs_default'::regclass) > 0
    FROM tenancy.audit_sealer s;
    END;

-- Below which transaction everything is sealed. Says nothing about any tenant.
CREATE FUNCTION tenancy.audit_horizon() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT s.at_txid::text FROM tenancy.audit_sealer s;
    END;

-- Whether a tenant's log is under a legal hold. None can be placed until the caller's transaction ends: the
-- tenant's row is locked as placing a hold locks it, and so are the holds of tenants that are gone.
CREATE FUNCTION tenancy.audit_is_held(p_tenant uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM tenancy.tenants t WHERE t.id = p_tenant FOR NO KEY UPDATE;
    LOCK TABLE tenancy.audit_holds IN SHARE MODE;
    RETURN EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = p_tenant)
        OR EXISTS (SELECT FROM tenancy.audit_holds h WHERE h.tenant_id = p_tenant);
END
$$;

-- Places or lifts a hold on the log of a tenant that is gone: 'ok', 'unchanged', or 'not_gone' (core holds a
-- tenant that is there).
CREATE FUNCTION tenancy.audit_hold(p_tenant uuid, p_reference text, p_place boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT p_place THEN
        DELETE FROM tenancy.audit_holds h WHERE h.tenant_id = p_tenant AND h.reference = p_reference;
    ELSIF EXISTS (SELECT FROM tenancy.tenants t WHERE t.id = p_tenant AND t.status <> 'deleted') THEN
        RETURN 'not_gone';
    ELSE
        INSERT INTO tenancy.audit_holds (tenant_id, reference) VALUES (p_tenant, p_reference) ON CONFLICT DO NOTHING;
    END IF;
    RETURN CASE WHEN FOUND THEN 'ok' ELSE 'unchanged' END;
END
$$;

-- Takes entries of a tenant out of the log that the sealer has passed: those older than the time given, of
-- one action, of all whose action begins like this (`billing.%`), or all; nothing under a legal hold. They are
-- answered as they were, for the caller to prove them against their seals, or to roll back.
CREATE FUNCTION tenancy.audit_take_out(p_tenant uuid, p_action text, p_before timestamptz, p_rows integer)
    RETURNS SETOF tenancy.audit_logs
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
        ORDER BY l.id
        LIMIT least(greatest(p_rows, 1), 10000)
    )
    DELETE FROM tenancy.audit_logs l USING past p WHERE l.tenant_id = p_tenant AND l.id = p.id RETURNING l.*;
END
$$;

-- Erases details of entries: puts what is left of `personal` in the place of what was there, if it is as it was
-- read and nothing is added but what says that it was erased. How many entries it did this to; none under a
-- legal hold.
CREATE FUNCTION tenancy.audit_erase_details(p_tenant uuid, p_ids uuid[], p_before jsonb[], p_after jsonb[])
    RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    erased bigint;
BEGIN
    IF tenancy.audit_is_held(p_tenant) THEN
        RETURN 0;
    END IF;
    UPDATE tenancy.audit_logs l SET personal = e.after
    FROM unnest(p_ids, p_before, p_after) AS e (id, before, after)
    WHERE l.tenant_id = p_tenant AND l.id = e.id AND l.personal = e.before
      AND e.before - '*erased' @> e.after - '*erased';
    GET DIAGNOSTICS erased = ROW_COUNT;
    RETURN erased;
END
$$;

CREATE FUNCTION tenancy.audit_removal_store(
    p_tenant uuid, p_id uuid, p_ranges bigint[], p_reason text, p_at timestamptz, p_key text, p_signature bytea
) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    INSERT INTO tenancy.audit_removals (tenant_id, id, ranges, reason, removed_at, key_name, signature)
    VALUES (p_tenant, p_id, p_ranges, p_reason, p_at, p_key, p_signature);
    END;

-- Whose entries a stretch of ids holds: how many of each tenant, how many of them are not sealed, and
-- whether the tenant is under a legal hold, which can't be placed until the caller's transaction ends.
CREATE FUNCTION tenancy.audit_month_tenants(p_from uuid, p_to uuid)
    RETURNS TABLE (tenant_id uuid, entries bigint, unsealed bigint, held boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM tenancy.tenants t
    WHERE EXISTS (SELECT FROM tenancy.audit_logs l WHERE l.tenant_id = t.id AND l.id >= p_from AND l.id < p_to)
    ORDER BY t.id FOR NO KEY UPDATE;
    LOCK TABLE tenancy.audit_holds IN SHARE MODE;
    RETURN QUERY
    SELECT l.tenant_id, count(*),
        count(*) FILTER (WHERE (l.txid, l.tenant_id, l.id) > (s.at_txid, s.at_tenant, s.at_entry)),
        EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = l.tenant_id)
            OR EXISTS (SELECT FROM tenancy.audit_holds h WHERE h.tenant_id = l.tenant_id)
    FROM tenancy.audit_logs l CROSS JOIN tenancy.audit_sealer s
    WHERE l.id >= p_from AND l.id < p_to
    GROUP BY l.tenant_id;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.audit_seal_begin(integer),
    tenancy.audit_seal_store(text, text, uuid, uuid, uuid[], bigint[], bigint[], integer[], bytea[], bytea[], uuid[],
        uuid[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz, text, bytea[]),
    tenancy.audit_seal_health(),
    tenancy.audit_take_out(uuid, text, timestamptz, integer),
    tenancy.audit_horizon(),
    tenancy.audit_is_held(uuid),
    tenancy.audit_hold(uuid, text, boolean),
    tenancy.audit_erase_details(uuid, uuid[], jsonb[], jsonb[]),
    tenancy.audit_removal_store(uuid, uuid, bigint[], text, timestamptz, text, bytea),
    tenancy.audit_month_tenants(uuid, uuid)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_seal_begin(integer),
    tenancy.audit_seal_store(text, text, uuid, uuid, uuid[], bigint[], bigint[], integer[], bytea[], bytea[], uuid[],
        uuid[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz, text, bytea[]),
    tenancy.audit_seal_health()
TO tenancy_worker;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_seal_health(),
    tenancy.audit_take_out(uuid, text, timestamptz, integer),
    tenancy.audit_horizon(),
    tenancy.audit_is_held(uuid),
    tenancy.audit_hold(uuid, text, boolean),
    tenancy.audit_erase_details(uuid, uuid[], jsonb[], jsonb[]),
    tenancy.audit_removal_store(uuid, uuid, bigint[], text, timestamptz, text, bytea),
    tenancy.audit_month_tenants(uuid, uuid)
TO tenancy_owner;
GRANT EXECUTE ON FUNCTION tenancy.audit_horizon() TO tenancy_app;

SET LOCAL ROLE tenancy_owner;
GRANT EXECUTE ON FUNCTION tenancy.uuid_v7_floor(timestamptz) TO tenancy_definer;

-- Keeps everybody from changing a month's partition until the caller's transaction ends, so that it is dropped as
-- it was looked at. 'locked', 'unknown' or 'busy'. Runs as its caller: only the owner of the table can do this.
CREATE FUNCTION tenancy.audit_lock_month(p_month date) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '3s'
AS $$
DECLARE
    name text := 'audit_logs_' || to_char(p_month, '"y"YYYY"m"MM');
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits i
        WHERE i.inhparent = 'tenancy.audit_logs'::regclass AND i.inhrelid = to_regclass(format('tenancy.%I', name))
    ) THEN
        RETURN 'unknown';
    END IF;
    EXECUTE format('LOCK TABLE tenancy.%I IN SHARE ROW EXCLUSIVE MODE', name);
    RETURN 'locked';
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN RETURN 'busy';
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.audit_lock_month(date) FROM PUBLIC;

-- Takes the partition of a month off the log and drops it. 'dropped', 'unknown', 'recent' (this month
-- and the one before it stay) or 'busy'. Runs as its caller: only the owner of the table can do this.
CREATE FUNCTION tenancy.audit_drop_month(p_month date) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '3s'
AS $$
DECLARE
    name text := 'audit_logs_' || to_char(p_month, '"y"YYYY"m"MM');
BEGIN
    IF p_month >= date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') - interval '1 month' THEN
        RETURN 'recent';
    ELSIF NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits i
        WHERE i.inhparent = 'tenancy.audit_logs'::regclass AND i.inhrelid = to_regclass(format('tenancy.%I', name))
    ) THEN
        RETURN 'unknown';
    END IF;
    EXECUTE format('ALTER TABLE tenancy.audit_logs DETACH PARTITION tenancy.%I', name);
    EXECUTE format('DROP TABLE tenancy.%I', name);
    RETURN 'dropped';
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN RETURN 'busy';
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.audit_drop_month(date) FROM PUBLIC;

SET LOCAL ROLE NONE;
