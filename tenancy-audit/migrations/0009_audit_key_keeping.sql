-- Keys are taken without waiting for long, go with their tenant, and stand for nothing without their entry.

SET LOCAL ROLE tenancy_owner;

-- Takes the keys that are free, each for its entry; NULL is no key. Waits half a second at most for transactions
-- that have taken one of them: then nothing is taken, and `busy` names the entries whose keys they hold.
CREATE FUNCTION tenancy.audit_take_keys(
    p_tenant uuid, p_keys bytea[], p_entries uuid[], p_contents bytea[], OUT taken uuid[], OUT busy uuid[]
)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '500ms'
AS $$
DECLARE
    given record;
BEGIN
    -- In order, so that two batches wait for each other and never in a circle.
    WITH fresh AS (
        INSERT INTO tenancy.audit_keys (tenant_id, key_hash, entry_id, content_hash)
        SELECT p_tenant, g.key_hash, g.entry_id, g.content_hash
        FROM unnest(p_keys, p_entries, p_contents) AS g (key_hash, entry_id, content_hash)
        WHERE g.key_hash IS NOT NULL ORDER BY g.key_hash, g.entry_id
        ON CONFLICT DO NOTHING
        RETURNING entry_id
    )
    SELECT coalesce(array_agg(f.entry_id), '{}') INTO taken FROM fresh f;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    -- Which of them it is shows one by one.
    PERFORM set_config('lock_timeout', '1ms', true);
    BEGIN
        FOR given IN
            SELECT g.key_hash, g.entry_id, g.content_hash
            FROM unnest(p_keys, p_entries, p_contents) AS g (key_hash, entry_id, content_hash)
            WHERE g.key_hash IS NOT NULL ORDER BY g.key_hash, g.entry_id
        LOOP
            BEGIN
                INSERT INTO tenancy.audit_keys (tenant_id, key_hash, entry_id, content_hash)
                VALUES (p_tenant, given.key_hash, given.entry_id, given.content_hash) ON CONFLICT DO NOTHING;
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                busy := busy || given.entry_id;
            END;
        END LOOP;
        RAISE SQLSTATE 'TN001';
    EXCEPTION WHEN SQLSTATE 'TN001' THEN
        taken := NULL;
        -- None of them any more: who asks again gets them.
        busy := coalesce(busy, '{}');
    END;
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.audit_take_keys(uuid, bytea[], uuid[], bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.audit_take_keys(uuid, bytea[], uuid[], bytea[]) TO tenancy_app;

-- A log outlives its tenant; the keys beside it go with him.
CREATE POLICY owner_delete ON tenancy.audit_keys FOR DELETE TO tenancy_owner USING (tenant_id = util.current_tenant());

-- Who held a stream of the same name before never has the fence of who holds it now: it is held less often than
-- once a microsecond.
ALTER TABLE tenancy.audit_streams
    ALTER COLUMN fence SET DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

SET LOCAL ROLE NONE;
