-- More of what a host's SQL may ask: where the transaction's user holds a permission, why he does or
-- does not, and, for the service role, what anybody holds.

SET LOCAL ROLE tenancy_definer;

-- Tenants by name, and no rows of theirs. Whoever acts for somebody else, and a service or an API
-- key, is told of the open tenant only.
CREATE FUNCTION util.tenants_with(p text) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 10
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who pg_catalog.uuid := tenancy.context_user();
    this_tenant pg_catalog.uuid;
BEGIN
    IF who IS NULL OR util.current_on_behalf_of() IS NOT NULL THEN
        IF pg_input_is_valid(current_setting('tenancy.tenant_id', true), 'pg_catalog.uuid') THEN
            this_tenant := util.current_tenant();
        END IF;
        RETURN QUERY SELECT this_tenant WHERE util.user_has_permission(this_tenant, p);
        RETURN;
    END IF;
    RETURN QUERY
        SELECT DISTINCT r.tenant_id
        FROM tenancy.effective_roles r
        JOIN tenancy.role_permissions g ON g.tenant_id = r.tenant_id AND g.role_key = r.role_key
        WHERE r.user_id = who AND g.permission_key = p;
END
$$;
COMMENT ON FUNCTION util.tenants_with(text) IS
    'The tenants in which the user of this transaction holds permission p; for services, API keys and support the open one at most.';

-- One row for each role of the user, ended ones too, or one row without a role; the verdict is the
-- same in all of them.
CREATE FUNCTION util.explain_permission(t uuid, p text)
    RETURNS TABLE (
        verdict text, role_key text, grants boolean, through text, pattern text, expires_at timestamptz
    )
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who pg_catalog.uuid;
    member_status pg_catalog.text;
    tenant_open pg_catalog.bool;
    said pg_catalog.text;
BEGIN
    IF NOT tenancy.context_is(t) THEN
        RETURN QUERY SELECT 'other_tenant', NULL, NULL::pg_catalog.bool, NULL, NULL, NULL::pg_catalog.timestamptz;
        RETURN;
    END IF;
    who := tenancy.context_user();
    SELECT m.status, n.status IN ('active', 'suspended_read_only') INTO member_status, tenant_open
    FROM tenancy.tenants n
    LEFT JOIN tenancy.memberships m ON m.tenant_id = n.id AND m.user_id = who
    WHERE n.id = t;
    said := CASE
        WHEN who IS NULL AND util.user_has_permission(t, p) THEN 'brought_along'
        WHEN who IS NULL AND p = ANY (tenancy.context_permissions()) THEN 'maker_lacks'
        WHEN who IS NULL THEN 'not_brought_along'
        WHEN NOT EXISTS (SELECT FROM tenancy.permissions k WHERE k.key = p) THEN 'unregistered'
        WHEN member_status IS NULL THEN 'stranger'
        WHEN NOT tenant_open THEN 'tenant_closed'
        WHEN member_status <> 'active' THEN 'deactivated'
        WHEN util.current_on_behalf_of() IS NOT NULL AND tenancy.closed_to_support(p) THEN 'closed_to_support'
    END;
    IF who IS NULL OR said IN ('unregistered', 'stranger') THEN
        RETURN QUERY SELECT said, NULL, NULL::pg_catalog.bool, NULL, NULL, NULL::pg_catalog.timestamptz;
        RETURN;
    END IF;
    RETURN QUERY
        WITH had AS (
            SELECT r.role_key, r.expires_at, coalesce(r.expires_at <= statement_timestamp(), false) AS ended,
                EXISTS (
                    SELECT FROM tenancy.role_permissions g
                    WHERE g.tenant_id = t AND g.role_key = r.role_key AND g.permission_key = p
                ) AS grants
            FROM tenancy.member_roles r
            WHERE r.tenant_id = t AND r.user_id = who
        )
        SELECT coalesce(said, CASE
                WHEN EXISTS (SELECT FROM had a WHERE a.grants AND NOT a.ended) THEN 'allowed'
                WHEN EXISTS (SELECT FROM had a WHERE a.grants) THEN 'ended'
                ELSE 'not_granted'
            END),
            h.role_key, h.grants, s.through, s.pattern, h.expires_at
        FROM (SELECT) one
        LEFT JOIN had h ON true
        LEFT JOIN LATERAL tenancy.grant_source(h.role_key, p, true) s ON h.grants
        ORDER BY h.ended, h.grants DESC, h.role_key;
END
$$;
COMMENT ON FUNCTION util.explain_permission(uuid, text) IS
    'Why the principal of this transaction holds permission p in tenant t, or why not: a verdict, and its roles.';

-- What anybody holds anywhere: for jobs and the platform's own screens. In other hands it would
-- tell on other users, and so the app may not call it.
CREATE FUNCTION util.subject_has_permission(u uuid, t uuid, p text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM tenancy.effective_roles r
        JOIN tenancy.role_permissions g ON g.tenant_id = r.tenant_id AND g.role_key = r.role_key
        WHERE r.tenant_id = t AND r.user_id = u AND g.permission_key = p
    );
END
$$;
COMMENT ON FUNCTION util.subject_has_permission(uuid, uuid, text) IS
    'Whether user u holds permission p in tenant t by his roles. For the service role only.';

REVOKE EXECUTE ON FUNCTION
    util.tenants_with(text),
    util.explain_permission(uuid, text),
    util.subject_has_permission(uuid, uuid, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    util.tenants_with(text),
    util.explain_permission(uuid, text)
TO tenancy_app;
GRANT EXECUTE ON FUNCTION util.subject_has_permission(uuid, uuid, text) TO tenancy_worker;

SET LOCAL ROLE NONE;
