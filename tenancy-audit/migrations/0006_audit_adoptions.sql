-- Adopting a log that came into another cluster, by a restore or an upgrade: transactions are counted anew there.

SET LOCAL ROLE tenancy_owner;

-- Signed, one for each tenant: what was sealed when its log was adopted, and which seals an anchor knew that did not
-- come along.
CREATE TABLE tenancy.audit_adoptions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    number bigint NOT NULL CHECK (number >= 0),
    entries bigint NOT NULL CHECK (entries >= 0),
    -- How many entries were sealed with it, whose order in time can't be told.
    loose bigint NOT NULL CHECK (loose >= 0),
    -- Numbers and hashes of the seals that are lost.
    lost_numbers bigint[] NOT NULL CHECK (cardinality(lost_numbers) <= 10000),
    lost_hashes bytea NOT NULL CHECK (octet_length(lost_hashes) = 32 * cardinality(lost_numbers)),
    reason text NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 512),
    adopted_at timestamptz NOT NULL,
    key_name text NOT NULL CHECK (octet_length(key_name) BETWEEN 1 AND 64),
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    PRIMARY KEY (tenant_id, id)
);
SELECT tenancy.protect_table('tenancy.audit_adoptions', '{select}');
CREATE POLICY definer_select ON tenancy.audit_adoptions FOR SELECT TO tenancy_definer USING (true);
CREATE POLICY definer_insert ON tenancy.audit_adoptions FOR INSERT TO tenancy_definer WITH CHECK (true);
GRANT SELECT, INSERT ON tenancy.audit_adoptions TO tenancy_definer;

-- Keeps everybody out of the log: who has written has committed then, and who comes later takes the new numbers.
-- Runs as its caller: only the owner of the table can do this.
CREATE FUNCTION tenancy.audit_lock_log() RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '3s'
AS $$
BEGIN
    LOCK TABLE tenancy.audit_logs IN ACCESS EXCLUSIVE MODE;
    RETURN 'locked';
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN RETURN 'busy';
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.audit_lock_log() FROM PUBLIC;

-- From now on entries bear the numbers of their transactions with so much added. As above.
CREATE FUNCTION tenancy.audit_count_from(p_ahead bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER TABLE tenancy.audit_logs ALTER COLUMN txid
        SET DEFAULT ((pg_current_xact_id()::text::bigint + %s)::text)::xid8', p_ahead);
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.audit_count_from(bigint) FROM PUBLIC;

SET LOCAL ROLE tenancy_definer;

-- Every tenant with seals or entries: the entries of it that no seal holds, and where its seals end. Only entries from
-- two days before the newest seal on are looked at: an older one was put in later, and stays without a seal.
CREATE FUNCTION tenancy.audit_adopt_begin() RETURNS TABLE (
        state text, tenant_id uuid, records bytea, seals bigint, entries bigint, hash bytea, frontier bytea, at_txid text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reached record;
    oldest uuid;
BEGIN
    SELECT s.at_txid INTO STRICT reached FROM tenancy.audit_sealer s FOR UPDATE;
    SELECT coalesce(tenancy.uuid_v7_floor(max(s.sealed_at) - interval '2 days'), '00000000-0000-0000-0000-000000000000')
    INTO oldest FROM tenancy.audit_seals s;
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT s.tenant_id, substr(s.ids, n * 16 + 1, 16) AS id
        FROM tenancy.audit_seals s, generate_series(0, s.entries - 1) AS n
        WHERE s.id_max >= oldest
    ), grouped AS (
        SELECT l.tenant_id,
            string_agg(uuid_send(l.id) || l.content_hash || timestamptz_send(l.created_at) || xid8send(l.txid), ''::bytea
                ORDER BY l.txid, l.id) AS records
        FROM tenancy.audit_logs l
        LEFT JOIN held h ON h.tenant_id = l.tenant_id AND h.id = uuid_send(l.id)
        WHERE l.id >= oldest AND h.id IS NULL
        GROUP BY l.tenant_id
    ), everybody AS (
        SELECT g.tenant_id FROM grouped g UNION SELECT s.tenant_id FROM tenancy.audit_seals s
    )
    SELECT 'ready', e.tenant_id, g.records, h.number, h.first_entry + h.entries - 1, h.hash, h.frontier,
        reached.at_txid::text
    FROM everybody e
    LEFT JOIN grouped g ON g.tenant_id = e.tenant_id
    LEFT JOIN LATERAL (
        SELECT s.number, s.first_entry, s.entries, s.hash, s.frontier
        FROM tenancy.audit_seals s WHERE s.tenant_id = e.tenant_id ORDER BY s.number DESC LIMIT 1
    ) h ON true;
END
$$;

-- Goes on behind everything that is there, in this cluster. What is added to transactions' numbers from now on.
CREATE FUNCTION tenancy.audit_adopt() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most bigint;
BEGIN
    SELECT greatest(s.at_txid::text::bigint,
        coalesce((SELECT max(l.txid)::text::bigint FROM tenancy.audit_logs l), 0))
    INTO STRICT most FROM tenancy.audit_sealer s;
    UPDATE tenancy.audit_sealer s SET
        at_txid = most::text::xid8, at_tenant = 'ffffffff-ffff-ffff-ffff-ffffffffffff',
        at_entry = 'ffffffff-ffff-ffff-ffff-ffffffffffff', ahead = most,
        cluster = (pg_control_system()).system_identifier;
    RETURN most;
END
$$;

-- Keeps seals of entries that were adopted, with no look at the order of transactions.
CREATE FUNCTION tenancy.audit_adopt_seals(
    p_tenants uuid[], p_numbers bigint[], p_firsts bigint[], p_entries integer[], p_ids bytea[], p_leaves bytea[],
    p_mins uuid[], p_maxes uuid[], p_roots bytea[], p_ids_hashes bytea[], p_previous bytea[], p_hashes bytea[],
    p_frontiers bytea[], p_log_roots bytea[], p_at timestamptz, p_key text, p_signatures bytea[]
) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    INSERT INTO tenancy.audit_seals (
        tenant_id, number, first_entry, entries, ids, leaves, id_min, id_max, root, ids_hash, previous, hash,
        frontier, log_root, sealed_at, key_name, signature)
    SELECT s.tenant_id, s.number, s.first_entry, s.entries, s.ids, s.leaves, s.id_min, s.id_max, s.root, s.ids_hash,
        s.previous, s.hash, s.frontier, s.log_root, p_at, p_key, s.signature
    FROM unnest(p_tenants, p_numbers, p_firsts, p_entries, p_ids, p_leaves, p_mins, p_maxes, p_roots, p_ids_hashes,
        p_previous, p_hashes, p_frontiers, p_log_roots, p_signatures) AS s (
        tenant_id, number, first_entry, entries, ids, leaves, id_min, id_max, root, ids_hash, previous, hash,
        frontier, log_root, signature);
    END;

CREATE FUNCTION tenancy.audit_adoption_store(
    p_tenant uuid, p_id uuid, p_number bigint, p_entries bigint, p_loose bigint, p_lost bigint[], p_hashes bytea,
    p_reason text, p_at timestamptz, p_key text, p_signature bytea
) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    INSERT INTO tenancy.audit_adoptions (
        tenant_id, id, number, entries, loose, lost_numbers, lost_hashes, reason, adopted_at, key_name, signature)
    VALUES (p_tenant, p_id, p_number, p_entries, p_loose, p_lost, p_hashes, p_reason, p_at, p_key, p_signature);
    END;

REVOKE EXECUTE ON FUNCTION
    tenancy.audit_adopt_begin(),
    tenancy.audit_adopt(),
    tenancy.audit_adopt_seals(uuid[], bigint[], bigint[], integer[], bytea[], bytea[], uuid[], uuid[], bytea[], bytea[],
        bytea[], bytea[], bytea[], bytea[], timestamptz, text, bytea[]),
    tenancy.audit_adoption_store(uuid, uuid, bigint, bigint, bigint, bigint[], bytea, text, timestamptz, text, bytea)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_adopt_begin(),
    tenancy.audit_adopt(),
    tenancy.audit_adopt_seals(uuid[], bigint[], bigint[], integer[], bytea[], bytea[], uuid[], uuid[], bytea[], bytea[],
        bytea[], bytea[], bytea[], bytea[], timestamptz, text, bytea[]),
    tenancy.audit_adoption_store(uuid, uuid, bigint, bigint, bigint, bigint[], bytea, text, timestamptz, text, bytea)
TO tenancy_owner;

SET LOCAL ROLE NONE;
