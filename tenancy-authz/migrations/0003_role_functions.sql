-- The functions that write roles, grants and assignments for the tenant of the context.
--
-- Each answers with a word that says what happened, so that the caller's transaction stays usable.
-- The order of locks is that of the core's functions: the tenant's row, then its epoch.

SET LOCAL ROLE tenancy_definer;

-- Serialises the changes of one tenant with each other and with leaving members, without standing
-- in the way of foreign keys. Answers whether the principal may manage roles, asked after the wait.
CREATE FUNCTION tenancy.begin_role_change() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    PERFORM FROM tenancy.tenants WHERE id = this_tenant FOR NO KEY UPDATE;
    RETURN util.user_has_permission(this_tenant, 'roles.manage');
END
$$;

CREATE FUNCTION tenancy.bump_epoch() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = util.current_tenant() $$;

-- The first of these permissions that a user does not hold for at least as long as p_until.
CREATE FUNCTION tenancy.user_lacks(p_user uuid, p_permissions text[], p_until timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    RETURN (
        SELECT min(p) FROM unnest(p_permissions) p
        WHERE p NOT IN (
            SELECT g.permission_key
            FROM tenancy.effective_roles r
            JOIN tenancy.role_permissions g ON g.tenant_id = r.tenant_id AND g.role_key = r.role_key
            WHERE r.tenant_id = this_tenant AND r.user_id = p_user
              AND (r.expires_at IS NULL OR r.expires_at >= p_until)
        )
    );
END
$$;

-- The same for the principal of the context. Nobody grants or takes away what he does not hold.
CREATE FUNCTION tenancy.principal_lacks(p_permissions text[], p_until timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who pg_catalog.uuid := tenancy.context_user();
    missing pg_catalog.text;
BEGIN
    IF who IS NOT NULL THEN
        RETURN tenancy.user_lacks(who, p_permissions, p_until);
    END IF;
    missing := (
        SELECT min(p) FROM unnest(p_permissions) p
        WHERE p <> ALL (coalesce(tenancy.context_permissions(), '{}'))
    );
    -- What an API key brings along ends where its maker's rights do.
    IF missing IS NULL AND util.current_actor_kind() = 'api_key' THEN
        RETURN tenancy.user_lacks(tenancy.context_maker(), p_permissions, p_until);
    END IF;
    RETURN missing;
END
$$;

CREATE FUNCTION tenancy.permissions_of_role(p_role text) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    RETURN ARRAY(
        SELECT permission_key FROM tenancy.role_permissions
        WHERE tenant_id = this_tenant AND role_key = p_role
        ORDER BY permission_key
    );
END
$$;

-- The wildcards that these roles have, themselves or from their parents; `*` for a default role that is
-- given every permission there will be.
CREATE FUNCTION tenancy.wildcards_of_roles(p_roles text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE up (role_key) AS (
            SELECT unnest(p_roles) COLLATE "C"
            UNION
            SELECT p.parent_key FROM up u
            JOIN tenancy.role_parents p ON p.tenant_id = this_tenant AND p.role_key = u.role_key
        )
        SELECT DISTINCT share.pattern FROM (
            SELECT w.pattern FROM up u
            JOIN tenancy.role_wildcards w ON w.tenant_id = this_tenant AND w.role_key = u.role_key
            UNION ALL
            SELECT '*' FROM up u
            JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = u.role_key
            JOIN tenancy.role_templates t ON t.key = r.key AND t.revision = r.template_revision
            WHERE t.grants_all
        ) share
        ORDER BY share.pattern
    );
END
$$;

-- The first of these wildcards that a user does not have for at least as long as p_until: what
-- gives a share in permissions to come is granted by somebody who has that share himself.
CREATE FUNCTION tenancy.user_lacks_wildcard(p_user uuid, p_wildcards text[], p_until timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    lasting pg_catalog.text[] := ARRAY(
        SELECT r.role_key FROM tenancy.effective_roles r
        WHERE r.tenant_id = this_tenant AND r.user_id = p_user
          AND (r.expires_at IS NULL OR r.expires_at >= p_until)
    );
BEGIN
    RETURN (
        SELECT min(asked) FROM unnest(p_wildcards) asked
        WHERE NOT EXISTS (
            SELECT FROM unnest(tenancy.wildcards_of_roles(lasting)) held
            WHERE starts_with(asked, left(held, -1))
        )
    );
END
$$;

-- What of these roles somebody does not hold: a permission, or a wildcard. The principal of the
-- context, if p_user is NULL; services and API keys hold single permissions.
CREATE FUNCTION tenancy.lacks_of_roles(p_user uuid, p_roles text[], p_until timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    who pg_catalog.uuid := coalesce(p_user, tenancy.context_user());
    wildcards pg_catalog.text[] := tenancy.wildcards_of_roles(p_roles);
    granted pg_catalog.text[] := ARRAY(
        SELECT DISTINCT permission_key FROM tenancy.role_permissions
        WHERE tenant_id = this_tenant AND role_key = ANY (p_roles)
    );
BEGIN
    IF who IS NULL THEN
        RETURN coalesce(tenancy.principal_lacks(granted, p_until), wildcards[1]);
    END IF;
    RETURN coalesce(
        tenancy.user_lacks(who, granted, p_until),
        tenancy.user_lacks_wildcard(who, wildcards, p_until)
    );
END
$$;

-- The person who really acts, also when he acts for somebody else.
CREATE FUNCTION tenancy.acting_person() RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN util.current_actor_kind() = 'user' THEN util.current_actor_id()::pg_catalog.uuid END
$$;

-- Whether there is somebody who may manage roles and will not lose that by the clock alone.
CREATE FUNCTION tenancy.has_administrator() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    RETURN EXISTS (
        SELECT FROM tenancy.effective_roles r
        JOIN tenancy.role_permissions g ON g.tenant_id = r.tenant_id AND g.role_key = r.role_key
        WHERE r.tenant_id = this_tenant AND g.permission_key = 'roles.manage' AND r.expires_at IS NULL
    );
END
$$;

-- Fails unless there is one. Caught by the functions below, which undo what they did.
CREATE FUNCTION tenancy.keep_administrator() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT tenancy.has_administrator() THEN
        RAISE EXCEPTION 'nobody is left to manage roles' USING ERRCODE = 'TN001';
    END IF;
END
$$;

CREATE FUNCTION tenancy.create_role(
    p_role text, p_name text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
    ELSIF EXISTS (SELECT FROM tenancy.retired_roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_retired';
    ELSIF (SELECT count(*) FROM tenancy.roles WHERE tenant_id = this_tenant) >= 20000 THEN
        outcome := 'too_many_roles';
    ELSE
        INSERT INTO tenancy.roles (tenant_id, key, name) VALUES (this_tenant, p_role, p_name)
        ON CONFLICT DO NOTHING;
        outcome := CASE WHEN FOUND THEN 'ok' ELSE 'role_exists' END;
        PERFORM tenancy.bump_epoch() WHERE outcome = 'ok';
    END IF;
END
$$;

CREATE FUNCTION tenancy.rename_role(
    p_role text, p_name text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    old_name pg_catalog.text;
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    SELECT name INTO old_name FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role;
    IF NOT FOUND THEN
        outcome := 'role_unknown';
        RETURN;
    END IF;
    before := jsonb_build_object('name', old_name);
    UPDATE tenancy.roles SET name = p_name WHERE tenant_id = this_tenant AND key = p_role;
    outcome := CASE WHEN old_name = p_name THEN 'unchanged' ELSE 'ok' END;
    PERFORM tenancy.bump_epoch() WHERE outcome = 'ok';
END
$$;

CREATE FUNCTION tenancy.delete_role(
    p_role text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    granted pg_catalog.text[];
    heirs pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    granted := tenancy.permissions_of_role(p_role);
    heirs := array_remove(tenancy.role_heirs(this_tenant, p_role), p_role);
    -- Lists are cut: an audit entry has a limit, and a role may grant thousands of permissions.
    SELECT jsonb_build_object(
        'name', r.name,
        'permissions', to_jsonb(granted[1:100]),
        'permission_count', cardinality(granted),
        'heirs', to_jsonb(heirs[1:100]),
        'member_count', (SELECT count(*) FROM tenancy.member_roles m
            WHERE m.tenant_id = this_tenant AND m.role_key = p_role)
    ) INTO before
    FROM tenancy.roles r WHERE r.tenant_id = this_tenant AND r.key = p_role;
    detail := tenancy.principal_lacks(granted, statement_timestamp());
    IF before IS NULL THEN
        outcome := 'role_unknown';
    ELSIF p_role = 'owner' THEN
        outcome := 'role_fixed';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSE
        DELETE FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role;
        INSERT INTO tenancy.retired_roles (tenant_id, key) VALUES (this_tenant, p_role);
        -- Its heirs lose what they had through it, which is part of what it granted.
        PERFORM tenancy.expand_roles(this_tenant, heirs);
        PERFORM tenancy.keep_administrator() WHERE 'roles.manage' = ANY (granted);
        PERFORM tenancy.bump_epoch();
        outcome := 'ok';
    END IF;
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

CREATE FUNCTION tenancy.grant_permission(
    p_role text, p_permission text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    detail := tenancy.principal_lacks(ARRAY[p_permission], 'infinity');
    IF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_unknown';
    ELSIF NOT EXISTS (SELECT FROM tenancy.permissions WHERE key = p_permission) THEN
        outcome := 'permission_unknown';
    ELSIF p_role = 'owner' THEN
        outcome := 'role_fixed';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSE
        before := jsonb_build_object('granted', EXISTS (
            SELECT FROM tenancy.role_permissions
            WHERE tenant_id = this_tenant AND role_key = p_role AND permission_key = p_permission
        ));
        INSERT INTO tenancy.role_permissions AS g (tenant_id, role_key, permission_key)
        VALUES (this_tenant, p_role, p_permission)
        ON CONFLICT (tenant_id, role_key, permission_key) DO UPDATE SET is_direct = true WHERE NOT g.is_direct;
        outcome := CASE WHEN FOUND THEN 'ok' ELSE 'unchanged' END;
        PERFORM tenancy.expand_roles(this_tenant, tenancy.role_heirs(this_tenant, p_role)), tenancy.bump_epoch()
        WHERE outcome = 'ok';
    END IF;
END
$$;

-- What is granted by name is taken back; what a wildcard or a parent brings stays, and is named.
CREATE FUNCTION tenancy.revoke_permission(
    p_role text, p_permission text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    direct pg_catalog.bool;
    otherwise pg_catalog.text;
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    detail := tenancy.principal_lacks(ARRAY[p_permission], statement_timestamp());
    SELECT is_direct INTO direct FROM tenancy.role_permissions
    WHERE tenant_id = this_tenant AND role_key = p_role AND permission_key = p_permission;
    SELECT coalesce(s.through, s.pattern) INTO otherwise FROM tenancy.grant_source(p_role, p_permission, false) s;
    IF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_unknown';
    ELSIF NOT EXISTS (SELECT FROM tenancy.permissions WHERE key = p_permission) THEN
        outcome := 'permission_unknown';
    ELSIF p_role = 'owner' THEN
        outcome := 'role_fixed';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSIF direct IS NULL THEN
        outcome := 'unchanged';
    ELSIF NOT direct THEN
        outcome := 'granted_otherwise';
        detail := otherwise;
    ELSE
        UPDATE tenancy.role_permissions SET is_direct = false
        WHERE tenant_id = this_tenant AND role_key = p_role AND permission_key = p_permission;
        PERFORM tenancy.expand_roles(this_tenant, tenancy.role_heirs(this_tenant, p_role));
        PERFORM tenancy.keep_administrator() WHERE p_permission = 'roles.manage';
        PERFORM tenancy.bump_epoch();
        before := jsonb_build_object('granted', true, 'still_by', otherwise);
        outcome := 'ok';
    END IF;
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

SET LOCAL ROLE NONE;
