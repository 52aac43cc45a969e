-- The core's rule that no epoch comes twice (its 0014), also where a trigger counts.

SET LOCAL ROLE tenancy_definer;

CREATE OR REPLACE FUNCTION tenancy.count_changed_tenants_up(p_tenants uuid[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM tenancy.tenant_epoch WHERE tenant_id = ANY (p_tenants) ORDER BY tenant_id FOR NO KEY UPDATE;
    UPDATE tenancy.tenant_epoch
    SET epoch = greatest(epoch + 1, (extract(epoch FROM statement_timestamp()) * 1000000)::pg_catalog.int8)
    WHERE tenant_id = ANY (p_tenants);
END
$$;

SET LOCAL ROLE NONE;
