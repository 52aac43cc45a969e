-- Whatever changes the roles of a member tells which he had and which he has, with their ends; and a role that is
-- deleted, who had it.

SET LOCAL ROLE tenancy_definer;

-- The roles of a member that have not ended, whatever his state, sorted. The ends are microseconds since 1970,
-- which read the same whatever the session's settings are.
CREATE FUNCTION tenancy.held_roles(p_tenant uuid, p_user uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'role', role_key, 'ends', (extract(epoch FROM expires_at) * 1000000)::bigint
        ) ORDER BY role_key), '[]')
        FROM tenancy.member_roles
        WHERE tenant_id = p_tenant AND user_id = p_user
          AND (expires_at IS NULL OR expires_at > statement_timestamp())
    );
END
$$;

-- The same for a member of the context's tenant, whose roles nobody else changes until the transaction ends: for
-- who is going to end the membership, with which they go. The lock is the one that the core takes for that.
CREATE FUNCTION tenancy.lock_held_roles(p_user uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    PERFORM FROM tenancy.tenants WHERE id = this_tenant FOR NO KEY UPDATE;
    RETURN tenancy.held_roles(this_tenant, p_user);
END
$$;

-- Makes these the roles of a member, for good, and takes all others from him. A role that has ended is none that he
-- has: to be without it is no change. `roles` of the answer is what earlier programs read.
CREATE OR REPLACE FUNCTION tenancy.set_member_roles(
    p_user uuid, p_roles text[], OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    is_owner pg_catalog.bool;
    had pg_catalog.text[];
    given pg_catalog.text[];
    taken pg_catalog.text[];
    taken_permissions pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    SELECT m.is_owner INTO is_owner FROM tenancy.memberships m
    WHERE m.tenant_id = this_tenant AND m.user_id = p_user;
    had := ARRAY(
        SELECT role_key FROM tenancy.member_roles
        WHERE tenant_id = this_tenant AND user_id = p_user
          AND (expires_at IS NULL OR expires_at > statement_timestamp())
        ORDER BY role_key
    );
    before := jsonb_build_object(
        'roles', to_jsonb(had), 'before', tenancy.held_roles(this_tenant, p_user)
    );
    given := ARRAY(
        SELECT DISTINCT asked FROM unnest(p_roles) asked
        WHERE NOT EXISTS (
            SELECT FROM tenancy.member_roles r
            WHERE r.tenant_id = this_tenant AND r.user_id = p_user AND r.role_key = asked AND r.expires_at IS NULL
        )
    );
    taken := ARRAY(SELECT held FROM unnest(had) held WHERE held <> ALL (p_roles));
    detail := (
        SELECT min(asked) FROM unnest(given) asked
        WHERE asked NOT IN (SELECT key FROM tenancy.roles WHERE tenant_id = this_tenant)
    );
    IF is_owner IS NULL THEN
        outcome := 'member_unknown';
        RETURN;
    ELSIF detail IS NOT NULL THEN
        outcome := 'role_unknown';
        RETURN;
    ELSIF cardinality(given) + cardinality(taken) = 0 THEN
        outcome := 'unchanged';
        RETURN;
    ELSIF is_owner AND 'owner' = ANY (taken) THEN
        outcome := 'owner_keeps_role';
        RETURN;
    ELSIF cardinality(p_roles) > 200 THEN
        outcome := 'too_many_assignments';
        RETURN;
    END IF;
    taken_permissions := ARRAY(
        SELECT DISTINCT permission_key FROM tenancy.role_permissions
        WHERE tenant_id = this_tenant AND role_key = ANY (taken)
    );
    detail := coalesce(
        tenancy.lacks_of_roles(NULL, given, 'infinity'),
        tenancy.principal_lacks(taken_permissions, statement_timestamp())
    );
    IF detail IS NOT NULL THEN
        outcome := 'exceeds';
        RETURN;
    END IF;
    DELETE FROM tenancy.member_roles
    WHERE tenant_id = this_tenant AND user_id = p_user AND role_key <> ALL (p_roles);
    INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, granted_by)
    SELECT this_tenant, p_user, asked, tenancy.acting_person() FROM unnest(given) asked
    ON CONFLICT (tenant_id, user_id, role_key) DO UPDATE
    SET granted_by = excluded.granted_by, granted_at = excluded.granted_at, expires_at = NULL;
    PERFORM tenancy.keep_administrator() WHERE 'roles.manage' = ANY (taken_permissions);
    PERFORM tenancy.bump_epoch();
    before := before || jsonb_build_object('after', tenancy.held_roles(this_tenant, p_user));
    outcome := 'ok';
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

-- Follows the core's word on who owns the tenant, and nothing else: it gives the role `owner` to an
-- owner only, and takes it only from somebody who ceased to be one in this transaction. Who is no owner and
-- was given the role by one keeps it. Who has lost his only role with it keeps `admin`; one that has
-- ended is none. Answers what he had before, and has after.
CREATE OR REPLACE FUNCTION tenancy.set_owner_role(
    p_user uuid, p_owner boolean, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    had pg_catalog.int8;
BEGIN
    PERFORM tenancy.begin_role_change();
    IF NOT EXISTS (
        SELECT FROM tenancy.memberships
        WHERE tenant_id = this_tenant AND user_id = p_user AND is_owner = p_owner
          AND (p_owner OR ownership_since = transaction_timestamp())
    ) THEN
        outcome := 'member_unknown';
        RETURN;
    END IF;
    before := jsonb_build_object('before', tenancy.held_roles(this_tenant, p_user));
    IF p_owner THEN
        INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, granted_by)
        VALUES (this_tenant, p_user, 'owner', tenancy.acting_person())
        ON CONFLICT (tenant_id, user_id, role_key) DO UPDATE SET expires_at = NULL;
    ELSE
        DELETE FROM tenancy.member_roles
        WHERE tenant_id = this_tenant AND user_id = p_user AND role_key = 'owner';
        GET DIAGNOSTICS had = ROW_COUNT;
        INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, granted_by)
        SELECT this_tenant, p_user, r.key, tenancy.acting_person()
        FROM tenancy.roles r
        WHERE r.tenant_id = this_tenant AND r.key = 'admin' AND had > 0
          AND NOT EXISTS (
              SELECT FROM tenancy.member_roles m
              WHERE m.tenant_id = this_tenant AND m.user_id = p_user
                AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
          )
        ON CONFLICT (tenant_id, user_id, role_key) DO UPDATE
        SET granted_by = excluded.granted_by, granted_at = excluded.granted_at, expires_at = NULL;
        PERFORM tenancy.keep_administrator();
    END IF;
    PERFORM tenancy.bump_epoch();
    before := before || jsonb_build_object('after', tenancy.held_roles(this_tenant, p_user));
    outcome := 'ok';
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

-- What the audit log says of a role that is deleted, with who loses it; NULL if there is none. An entry takes 512
-- keys and elements in 16 KiB: each list is cut by both, and says how many there are.
CREATE OR REPLACE FUNCTION tenancy.role_summary(p_tenant uuid, p_role text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    granted pg_catalog.text[] := tenancy.permissions_of_role(p_role);
    heirs pg_catalog.text[] := array_remove(tenancy.role_heirs(p_tenant, p_role), p_role);
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'name', r.name,
            'permissions', tenancy.cut_list(granted[1:250], 7500),
            'permission_count', cardinality(granted),
            'heirs', tenancy.cut_list(heirs[1:100], 4000),
            'heir_count', cardinality(heirs),
            'members', (SELECT coalesce(jsonb_agg(h.user_id ORDER BY h.user_id), '[]') FROM (
                SELECT m.user_id FROM tenancy.member_roles m
                WHERE m.tenant_id = p_tenant AND m.role_key = p_role
                  AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
                ORDER BY m.user_id LIMIT 100
            ) h),
            'member_count', (SELECT count(*) FROM tenancy.member_roles m
                WHERE m.tenant_id = p_tenant AND m.role_key = p_role
                  AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp()))
        )
        FROM tenancy.roles r WHERE r.tenant_id = p_tenant AND r.key = p_role
    );
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.held_roles(uuid, uuid),
    tenancy.lock_held_roles(uuid)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.lock_held_roles(uuid) TO tenancy_app;

SET LOCAL ROLE NONE;
