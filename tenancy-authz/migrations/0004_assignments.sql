-- The functions that give roles to members, seed a tenant, and register permissions.

SET LOCAL ROLE tenancy_definer;

CREATE FUNCTION tenancy.assign_role(
    p_user uuid, p_role text, p_expires_at timestamptz,
    OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    is_owner pg_catalog.bool;
    had tenancy.member_roles;
    granted pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    SELECT m.is_owner INTO is_owner FROM tenancy.memberships m
    WHERE m.tenant_id = this_tenant AND m.user_id = p_user;
    SELECT * INTO had FROM tenancy.member_roles
    WHERE tenant_id = this_tenant AND user_id = p_user AND role_key = p_role;
    IF had.user_id IS NOT NULL THEN
        before := jsonb_build_object('expires_at', had.expires_at);
    END IF;
    granted := tenancy.permissions_of_role(p_role);
    detail := tenancy.principal_lacks(granted, coalesce(p_expires_at, 'infinity'));
    IF is_owner IS NULL THEN
        outcome := 'member_unknown';
    ELSIF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_unknown';
    ELSIF p_expires_at <= statement_timestamp() THEN
        outcome := 'expiry_past';
    ELSIF is_owner AND p_role = 'owner' AND p_expires_at IS NOT NULL THEN
        outcome := 'owner_keeps_role';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSIF had.user_id IS NOT NULL AND had.expires_at IS NOT DISTINCT FROM p_expires_at THEN
        outcome := 'unchanged';
    ELSIF had.user_id IS NULL AND (SELECT count(*) FROM tenancy.member_roles
            WHERE tenant_id = this_tenant AND user_id = p_user) >= 200 THEN
        outcome := 'too_many_assignments';
    ELSE
        INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, granted_by, expires_at)
        VALUES (this_tenant, p_user, p_role, tenancy.acting_person(), p_expires_at)
        ON CONFLICT (tenant_id, user_id, role_key) DO UPDATE
        SET granted_by = excluded.granted_by, granted_at = excluded.granted_at, expires_at = excluded.expires_at;
        PERFORM tenancy.keep_administrator() WHERE had.user_id IS NOT NULL AND 'roles.manage' = ANY (granted);
        PERFORM tenancy.bump_epoch();
        outcome := 'ok';
    END IF;
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

CREATE FUNCTION tenancy.unassign_role(
    p_user uuid, p_role text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    is_owner pg_catalog.bool;
    granted pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    SELECT m.is_owner INTO is_owner FROM tenancy.memberships m
    WHERE m.tenant_id = this_tenant AND m.user_id = p_user;
    SELECT jsonb_build_object('expires_at', expires_at) INTO before FROM tenancy.member_roles
    WHERE tenant_id = this_tenant AND user_id = p_user AND role_key = p_role;
    granted := tenancy.permissions_of_role(p_role);
    detail := tenancy.principal_lacks(granted, statement_timestamp());
    IF is_owner IS NULL THEN
        outcome := 'member_unknown';
    ELSIF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_unknown';
    ELSIF before IS NULL THEN
        outcome := 'unchanged';
    ELSIF is_owner AND p_role = 'owner' THEN
        outcome := 'owner_keeps_role';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSE
        DELETE FROM tenancy.member_roles
        WHERE tenant_id = this_tenant AND user_id = p_user AND role_key = p_role;
        PERFORM tenancy.keep_administrator() WHERE 'roles.manage' = ANY (granted);
        PERFORM tenancy.bump_epoch();
        outcome := 'ok';
    END IF;
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

-- Whether these roles exist and a user (the principal, if NULL) may grant each of them for good.
CREATE FUNCTION tenancy.may_grant_roles(
    p_user uuid, p_roles text[], OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    granted pg_catalog.text[];
BEGIN
    detail := (
        SELECT min(asked) FROM unnest(p_roles) asked
        WHERE asked NOT IN (SELECT key FROM tenancy.roles WHERE tenant_id = this_tenant)
    );
    IF detail IS NOT NULL THEN
        outcome := 'role_unknown';
        RETURN;
    END IF;
    granted := ARRAY(
        SELECT DISTINCT permission_key FROM tenancy.role_permissions
        WHERE tenant_id = this_tenant AND role_key = ANY (p_roles)
    );
    detail := CASE
        WHEN p_user IS NULL THEN tenancy.principal_lacks(granted, 'infinity')
        ELSE tenancy.user_lacks(p_user, granted, 'infinity')
    END;
    outcome := CASE WHEN detail IS NULL THEN 'ok' ELSE 'exceeds' END;
END
$$;

-- Gives roles on the word of the member who invited: only those an accepted invitation of his
-- names, and only what he may still grant now.
CREATE FUNCTION tenancy.assign_invited(
    p_user uuid, p_inviter uuid, p_roles text[], OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    IF NOT EXISTS (
        SELECT FROM tenancy.invitations
        WHERE tenant_id = this_tenant AND status = 'accepted'
          AND accepted_by = p_user AND invited_by = p_inviter AND role_keys @> p_roles
    ) THEN
        outcome := 'not_invited';
        RETURN;
    END IF;
    SELECT m.outcome, m.detail INTO outcome, detail FROM tenancy.may_grant_roles(p_inviter, p_roles) m;
    IF outcome = 'ok' THEN
        INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, granted_by)
        SELECT this_tenant, p_user, asked, p_inviter FROM unnest(p_roles) asked
        ON CONFLICT (tenant_id, user_id, role_key) DO UPDATE
        SET granted_by = excluded.granted_by, granted_at = excluded.granted_at, expires_at = NULL;
        PERFORM tenancy.bump_epoch();
    END IF;
END
$$;

-- Makes the roles of the templates that the tenant neither has nor retired, and gives its owner the
-- role `owner`. A role that is there already is left as the tenant made it.
CREATE FUNCTION tenancy.seed_roles(
    p_owner uuid, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    made pg_catalog.int8;
    given pg_catalog.int8;
BEGIN
    -- A tenant seeded while permissions are being registered would miss the new ones.
    PERFORM FROM tenancy.permission_bits FOR KEY SHARE;
    IF NOT EXISTS (SELECT FROM tenancy.role_templates WHERE key = 'owner') THEN
        outcome := 'not_synchronised';
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM tenancy.memberships
        WHERE tenant_id = this_tenant AND user_id = p_owner AND is_owner
    ) THEN
        outcome := 'member_unknown';
        RETURN;
    END IF;
    WITH fresh AS (
        INSERT INTO tenancy.roles (tenant_id, key, name, is_system)
        SELECT this_tenant, t.key, t.name, true FROM tenancy.role_templates t
        WHERE t.key NOT IN (SELECT key FROM tenancy.retired_roles WHERE tenant_id = this_tenant)
        ORDER BY t.key
        ON CONFLICT DO NOTHING
        RETURNING key
    ), granted AS (
        INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
        SELECT this_tenant, f.key, p.permission_key
        FROM fresh f JOIN tenancy.role_template_permissions p ON p.role_key = f.key
    )
    SELECT count(*) INTO made FROM fresh;
    INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key)
    VALUES (this_tenant, p_owner, 'owner')
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS given = ROW_COUNT;
    PERFORM tenancy.bump_epoch() WHERE made + given > 0;
    outcome := CASE WHEN made + given > 0 THEN 'ok' ELSE 'unchanged' END;
END
$$;

-- Gives the default roles to tenants that are older than this part of the schema, and the role
-- `owner` to their owners. Their other members get roles from them.
CREATE FUNCTION tenancy.seed_unseeded() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH fresh AS (
        INSERT INTO tenancy.roles (tenant_id, key, name, is_system)
        SELECT t.id, d.key, d.name, true
        FROM tenancy.tenants t CROSS JOIN tenancy.role_templates d
        WHERE NOT EXISTS (SELECT FROM tenancy.roles r WHERE r.tenant_id = t.id)
        ORDER BY t.id, d.key
        ON CONFLICT DO NOTHING
        RETURNING tenant_id, key
    ), granted AS (
        INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
        SELECT f.tenant_id, f.key, p.permission_key
        FROM fresh f JOIN tenancy.role_template_permissions p ON p.role_key = f.key
    ), owners AS (
        INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key)
        SELECT m.tenant_id, m.user_id, 'owner'
        FROM tenancy.memberships m JOIN fresh f ON f.tenant_id = m.tenant_id AND f.key = 'owner'
        WHERE m.is_owner
        ON CONFLICT DO NOTHING
    )
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1
    WHERE tenant_id IN (SELECT tenant_id FROM fresh);
END
$$;

-- Registers templates and permissions for every tenant: adds, never takes away. Answers the keys
-- that are new. They are granted to the system roles of existing tenants as to those of new ones;
-- a permission that was there already is left as each tenant has it.
CREATE FUNCTION tenancy.register_permissions(p_templates jsonb, p_permissions jsonb) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_bit pg_catalog.int4;
    added pg_catalog.text[];
BEGIN
    SELECT next_bit INTO first_bit FROM tenancy.permission_bits FOR UPDATE;

    INSERT INTO tenancy.role_templates (key, name)
    SELECT d.key, d.name FROM jsonb_to_recordset(p_templates) AS d(key pg_catalog.text, name pg_catalog.text)
    ON CONFLICT DO NOTHING;

    WITH fresh AS (
        INSERT INTO tenancy.permissions (key, description, bit)
        SELECT d.key, d.description, first_bit + row_number() OVER (ORDER BY d.key) - 1
        FROM jsonb_to_recordset(p_permissions) AS d(key pg_catalog.text, description pg_catalog.text)
        WHERE d.key NOT IN (SELECT key FROM tenancy.permissions)
        RETURNING key
    )
    SELECT coalesce(array_agg(key ORDER BY key), '{}') INTO added FROM fresh;
    UPDATE tenancy.permission_bits SET next_bit = next_bit + cardinality(added)
    WHERE cardinality(added) > 0;
    UPDATE tenancy.permissions p SET description = d.description
    FROM jsonb_to_recordset(p_permissions) AS d(key pg_catalog.text, description pg_catalog.text)
    WHERE p.key = d.key AND p.description <> d.description;

    INSERT INTO tenancy.role_template_permissions (role_key, permission_key)
    SELECT role, d.key
    FROM jsonb_to_recordset(p_permissions) AS d(key pg_catalog.text, roles pg_catalog.jsonb)
    CROSS JOIN jsonb_object_keys(d.roles) role
    ON CONFLICT DO NOTHING;

    IF cardinality(added) > 0 THEN
        -- The lock that every change of roles begins with, in one order.
        PERFORM FROM tenancy.tenants ORDER BY id FOR NO KEY UPDATE;
        INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
        SELECT r.tenant_id, r.key, p.permission_key
        FROM tenancy.roles r
        JOIN tenancy.role_template_permissions p ON p.role_key = r.key
        WHERE r.is_system AND p.permission_key = ANY (added)
        ON CONFLICT DO NOTHING;
        UPDATE tenancy.tenant_epoch SET epoch = epoch + 1;
    END IF;
    PERFORM tenancy.seed_unseeded();
    RETURN added;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.begin_role_change(),
    tenancy.bump_epoch(),
    tenancy.user_lacks(uuid, text[], timestamptz),
    tenancy.principal_lacks(text[], timestamptz),
    tenancy.permissions_of_role(text),
    tenancy.acting_person(),
    tenancy.keep_administrator(),
    tenancy.create_role(text, text),
    tenancy.rename_role(text, text),
    tenancy.delete_role(text),
    tenancy.grant_permission(text, text),
    tenancy.revoke_permission(text, text),
    tenancy.assign_role(uuid, text, timestamptz),
    tenancy.unassign_role(uuid, text),
    tenancy.may_grant_roles(uuid, text[]),
    tenancy.assign_invited(uuid, uuid, text[]),
    tenancy.seed_roles(uuid),
    tenancy.seed_unseeded(),
    tenancy.register_permissions(jsonb, jsonb)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.create_role(text, text),
    tenancy.rename_role(text, text),
    tenancy.delete_role(text),
    tenancy.grant_permission(text, text),
    tenancy.revoke_permission(text, text),
    tenancy.assign_role(uuid, text, timestamptz),
    tenancy.unassign_role(uuid, text),
    tenancy.may_grant_roles(uuid, text[]),
    tenancy.assign_invited(uuid, uuid, text[]),
    tenancy.seed_roles(uuid)
TO tenancy_app;
GRANT EXECUTE ON FUNCTION tenancy.register_permissions(jsonb, jsonb) TO tenancy_owner;

SET LOCAL ROLE NONE;
