-- Keys under which an event is recorded once. The log is partitioned by the entry's id, so that a key can't be
-- unique in it: keys are a table of their own.

SET LOCAL ROLE tenancy_owner;

CREATE TABLE tenancy.audit_keys (
    tenant_id uuid NOT NULL,
    -- SHA-256 of the key: whatever a host makes keys of, nobody reads it here.
    key_hash bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    -- The entry that was written under it.
    entry_id uuid NOT NULL,
    -- What was recorded, without its personal details, which could be guessed from a hash.
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, key_hash)
);
CREATE INDEX audit_keys_created ON tenancy.audit_keys (created_at);

SELECT tenancy.protect_table('tenancy.audit_keys', '{select,insert}');
REVOKE INSERT ON tenancy.audit_keys FROM tenancy_app;
GRANT INSERT (tenant_id, key_hash, entry_id, content_hash) ON tenancy.audit_keys TO tenancy_app;
CREATE POLICY definer_select ON tenancy.audit_keys FOR SELECT TO tenancy_definer USING (true);
CREATE POLICY definer_delete ON tenancy.audit_keys FOR DELETE TO tenancy_definer USING (true);
GRANT SELECT, DELETE ON tenancy.audit_keys TO tenancy_definer;

SET LOCAL ROLE tenancy_definer;

-- Forgets keys that are older than so many days, of all tenants, at most so many of them; how many it was.
CREATE FUNCTION tenancy.audit_forget_keys(p_days integer, p_rows integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    WITH past AS (
        SELECT k.tenant_id, k.key_hash FROM tenancy.audit_keys k
        WHERE k.created_at < clock_timestamp() - make_interval(days => greatest(p_days, 1))
        ORDER BY k.created_at
        LIMIT least(greatest(p_rows, 1), 10000)
    ), gone AS (
        DELETE FROM tenancy.audit_keys k USING past p
        WHERE k.tenant_id = p.tenant_id AND k.key_hash = p.key_hash RETURNING 1
    )
    SELECT count(*) FROM gone;
    END;

REVOKE EXECUTE ON FUNCTION tenancy.audit_forget_keys(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.audit_forget_keys(integer, integer) TO tenancy_worker;

SET LOCAL ROLE NONE;
