-- What templates did to roles, on its way into the audit log: entries are written in the context of a
-- tenant, and bringing tenants up to date has none.

SET LOCAL ROLE tenancy_definer;

-- A page of the tenants in which something is not in the audit log yet. Those that are closed wait.
CREATE FUNCTION tenancy.tenants_with_upgrades(p_after uuid, p_limit integer) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT DISTINCT u.tenant_id FROM tenancy.role_upgrades u
        JOIN tenancy.tenants t ON t.id = u.tenant_id
        WHERE NOT u.recorded AND t.status = 'active' AND (p_after IS NULL OR u.tenant_id > p_after)
        ORDER BY u.tenant_id
        LIMIT p_limit;
END
$$;

-- Takes the next upgrades of the context's tenant that are not in the audit log, for whoever writes them
-- there in this transaction. For a service of the host only. Lists are cut: an entry has a limit.
CREATE FUNCTION tenancy.take_upgrades(p_limit integer)
    RETURNS TABLE (role_key text, version integer, outcome text, before jsonb, after jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    IF util.current_actor_kind() IS DISTINCT FROM 'service' THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH taken AS (
            SELECT u.role_key, u.revision FROM tenancy.role_upgrades u
            WHERE u.tenant_id = this_tenant AND NOT u.recorded
            ORDER BY u.role_key, u.revision LIMIT p_limit
            FOR NO KEY UPDATE
        ), marked AS (
            UPDATE tenancy.role_upgrades u SET recorded = true FROM taken k
            WHERE u.tenant_id = this_tenant AND u.role_key = k.role_key AND u.revision = k.revision
              AND NOT u.recorded
            RETURNING u.role_key, u.revision, u.outcome, u.before, u.after
        )
        SELECT m.role_key, t.version, m.outcome, tenancy.cut_content(m.before), tenancy.cut_content(m.after)
        FROM marked m JOIN tenancy.role_templates t ON t.key = m.role_key AND t.revision = m.revision
        ORDER BY m.role_key, m.revision;
END
$$;

-- The first hundred of what a role grants by name, and how many there are.
CREATE FUNCTION tenancy.cut_content(p_content jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_content -> 'permissions' IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN p_content || jsonb_build_object(
        'permissions', jsonb_path_query_array(p_content, '$.permissions[0 to 99]'),
        'permission_count', jsonb_array_length(p_content -> 'permissions')
    );
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.tenants_with_upgrades(uuid, integer),
    tenancy.take_upgrades(integer),
    tenancy.cut_content(jsonb)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.tenants_with_upgrades(uuid, integer) TO tenancy_owner;
GRANT EXECUTE ON FUNCTION tenancy.take_upgrades(integer) TO tenancy_app;

SET LOCAL ROLE NONE;
