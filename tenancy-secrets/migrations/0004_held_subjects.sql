-- No subject's key is destroyed while its tenant is under a legal hold.

SET LOCAL ROLE tenancy_definer;

-- Destroys a subject's key for good; p_id is for a subject that never had one. Answers the row that was changed, or
-- NULL where nothing was left to erase. Fails (TS001) under a legal hold: whoever places one locks the tenant's row, so
-- that it stands before the next statement looks, or waits for the end of this transaction.
CREATE OR REPLACE FUNCTION tenancy.erase_subject_key(p_id uuid, p_subject bytea) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    erased pg_catalog.uuid;
BEGIN
    -- Erasures don't wait for each other.
    PERFORM FROM tenancy.tenants t WHERE t.id = this_tenant FOR SHARE;
    IF EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = this_tenant) THEN
        RAISE EXCEPTION 'the tenant is under a legal hold'
            USING ERRCODE = 'TS001', HINT = 'Release it first: tenancy tenants release';
    END IF;
    INSERT INTO tenancy.subject_keys AS k (tenant_id, id, subject_hash, erased_at)
    VALUES (this_tenant, p_id, p_subject, clock_timestamp())
    ON CONFLICT (tenant_id, subject_hash) DO UPDATE
    SET encrypted = NULL, key_id = NULL, erased_at = clock_timestamp(), generation = k.generation + 1
    WHERE k.erased_at IS NULL
    RETURNING k.id INTO erased;
    RETURN erased;
END
$$;

SET LOCAL ROLE NONE;
