-- Wildcards and parents of roles. Both are expanded into role_permissions when something is written;
-- a check never looks at them.

SET LOCAL ROLE tenancy_owner;

-- `docs.*` grants every permission below `docs.`, also those that are registered later.
CREATE TABLE tenancy.role_wildcards (
    tenant_id uuid NOT NULL,
    role_key text COLLATE "C" NOT NULL,
    pattern text COLLATE "C" NOT NULL
        CHECK (char_length(pattern) <= 127 AND pattern ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.\*$'),
    PRIMARY KEY (tenant_id, role_key, pattern),
    FOREIGN KEY (tenant_id, role_key) REFERENCES tenancy.roles (tenant_id, key) ON DELETE CASCADE
);
SELECT tenancy.protect_table('tenancy.role_wildcards', '{select}');
SELECT tenancy.admit_definer('tenancy.role_wildcards');

-- A role grants what its parents grant. Both ends hold the tenant: no role has a parent elsewhere.
CREATE TABLE tenancy.role_parents (
    tenant_id uuid NOT NULL,
    role_key text COLLATE "C" NOT NULL,
    parent_key text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, role_key, parent_key),
    FOREIGN KEY (tenant_id, role_key) REFERENCES tenancy.roles (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, parent_key) REFERENCES tenancy.roles (tenant_id, key) ON DELETE CASCADE
);
CREATE INDEX role_parents_parent ON tenancy.role_parents (tenant_id, parent_key, role_key);
SELECT tenancy.protect_table('tenancy.role_parents', '{select}');
SELECT tenancy.admit_definer('tenancy.role_parents');

SET LOCAL ROLE tenancy_definer;

-- A role and every role that has it above itself.
CREATE FUNCTION tenancy.role_heirs(p_tenant uuid, p_role text) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- UNION drops what was found already: it ends whatever the parents are, and visits a role once.
    RETURN ARRAY(
        WITH RECURSIVE down (role_key) AS (
            SELECT p_role COLLATE "C"
            UNION
            SELECT p.role_key FROM down d
            JOIN tenancy.role_parents p ON p.tenant_id = p_tenant AND p.parent_key = d.role_key
        )
        SELECT role_key FROM down ORDER BY role_key
    );
END
$$;

-- How many parents stand above a role, one over the other, or how many heirs below it.
CREATE FUNCTION tenancy.role_depth(p_tenant uuid, p_role text, p_above boolean) RETURNS integer
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH RECURSIVE chain (role_key, depth) AS (
            SELECT p_role COLLATE "C", 0
            UNION
            SELECT CASE WHEN p_above THEN p.parent_key ELSE p.role_key END, c.depth + 1
            FROM chain c
            JOIN tenancy.role_parents p ON p.tenant_id = p_tenant
                AND c.role_key = CASE WHEN p_above THEN p.role_key ELSE p.parent_key END
            WHERE c.depth < 9
        )
        SELECT max(depth) FROM chain
    );
END
$$;

-- Brings what these roles grant in line with what is granted to them by name, their wildcards, and
-- their parents. Answers how many permissions came or went.
CREATE FUNCTION tenancy.expand_roles(p_tenant uuid, p_roles text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed pg_catalog.int8;
BEGIN
    WITH RECURSIVE up (role_key, source_key) AS (
        SELECT key, key FROM tenancy.roles WHERE tenant_id = p_tenant AND key = ANY (p_roles)
        UNION
        SELECT u.role_key, p.parent_key FROM up u
        JOIN tenancy.role_parents p ON p.tenant_id = p_tenant AND p.role_key = u.source_key
    ), wanted AS (
        SELECT u.role_key, g.permission_key FROM up u
        JOIN tenancy.role_permissions g ON g.tenant_id = p_tenant AND g.role_key = u.source_key AND g.is_direct
        UNION
        SELECT u.role_key, p.key FROM up u
        JOIN tenancy.role_wildcards w ON w.tenant_id = p_tenant AND w.role_key = u.source_key
        JOIN tenancy.permissions p ON starts_with(p.key, left(w.pattern, -1))
    ), gone AS (
        DELETE FROM tenancy.role_permissions g
        WHERE g.tenant_id = p_tenant AND g.role_key = ANY (p_roles) AND NOT g.is_direct
          AND NOT EXISTS (
              SELECT FROM wanted w WHERE w.role_key = g.role_key AND w.permission_key = g.permission_key
          )
        RETURNING 1
    ), come AS (
        INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key, is_direct)
        SELECT p_tenant, w.role_key, w.permission_key, false FROM wanted w
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM come) INTO changed;
    RETURN changed;
END
$$;

-- By what a role of the context's tenant grants a permission: the nearest parent that does, and the
-- wildcard. Neither if it does so by name, or not at all; p_by_name says whether the role's own name
-- for it counts.
CREATE FUNCTION tenancy.grant_source(
    p_role text, p_permission text, p_by_name boolean, OUT through text, OUT pattern text
)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    WITH RECURSIVE up (role_key, depth) AS (
        SELECT p_role COLLATE "C", 0
        UNION
        SELECT p.parent_key, u.depth + 1 FROM up u
        JOIN tenancy.role_parents p ON p.tenant_id = this_tenant AND p.role_key = u.role_key
        WHERE u.depth < 9
    ), found (depth, role_key, pattern) AS (
        SELECT u.depth, u.role_key, NULL FROM up u
        JOIN tenancy.role_permissions g ON g.tenant_id = this_tenant AND g.role_key = u.role_key
        WHERE g.is_direct AND g.permission_key = p_permission AND (p_by_name OR u.depth > 0)
        UNION ALL
        SELECT u.depth, u.role_key, w.pattern FROM up u
        JOIN tenancy.role_wildcards w ON w.tenant_id = this_tenant AND w.role_key = u.role_key
        WHERE starts_with(p_permission, left(w.pattern, -1))
    )
    SELECT CASE WHEN f.depth > 0 THEN f.role_key END, f.pattern INTO through, pattern
    FROM found f ORDER BY f.depth, f.pattern NULLS FIRST, f.role_key LIMIT 1;
END
$$;

CREATE FUNCTION tenancy.grant_wildcard(
    p_role text, p_pattern text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    who pg_catalog.uuid := tenancy.context_user();
    matched pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    matched := ARRAY(SELECT key FROM tenancy.permissions WHERE starts_with(key, left(p_pattern, -1)));
    -- Services and API keys hold single permissions: none has a share in what is to come.
    detail := coalesce(tenancy.principal_lacks(matched, 'infinity'), CASE
        WHEN who IS NULL THEN p_pattern
        ELSE tenancy.user_lacks_wildcard(who, ARRAY[p_pattern], 'infinity')
    END);
    before := jsonb_build_object('granted', false);
    IF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_unknown';
    ELSIF cardinality(matched) = 0 THEN
        outcome := 'permission_unknown';
    ELSIF p_role = 'owner' THEN
        outcome := 'role_fixed';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSIF EXISTS (SELECT FROM tenancy.role_wildcards
            WHERE tenant_id = this_tenant AND role_key = p_role AND pattern = p_pattern) THEN
        outcome := 'unchanged';
    ELSIF (SELECT count(*) FROM tenancy.role_wildcards
            WHERE tenant_id = this_tenant AND role_key = p_role) >= 100 THEN
        outcome := 'too_many_wildcards';
    ELSE
        INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern)
        VALUES (this_tenant, p_role, p_pattern);
        PERFORM tenancy.expand_roles(this_tenant, tenancy.role_heirs(this_tenant, p_role));
        PERFORM tenancy.bump_epoch();
        outcome := 'ok';
    END IF;
END
$$;

CREATE FUNCTION tenancy.revoke_wildcard(
    p_role text, p_pattern text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    matched pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    matched := ARRAY(SELECT key FROM tenancy.permissions WHERE starts_with(key, left(p_pattern, -1)));
    detail := tenancy.principal_lacks(matched, statement_timestamp());
    before := jsonb_build_object('granted', true);
    IF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_unknown';
    ELSIF p_role = 'owner' THEN
        outcome := 'role_fixed';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSE
        DELETE FROM tenancy.role_wildcards
        WHERE tenant_id = this_tenant AND role_key = p_role AND pattern = p_pattern;
        IF NOT FOUND THEN
            outcome := 'unchanged';
            RETURN;
        END IF;
        PERFORM tenancy.expand_roles(this_tenant, tenancy.role_heirs(this_tenant, p_role));
        PERFORM tenancy.keep_administrator() WHERE 'roles.manage' = ANY (matched);
        PERFORM tenancy.bump_epoch();
        outcome := 'ok';
    END IF;
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

-- Lets a role grant what another one grants, now and later.
CREATE FUNCTION tenancy.add_role_parent(
    p_role text, p_parent text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    heirs pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    detail := (
        SELECT min(asked) FROM unnest(ARRAY[p_role, p_parent]) asked
        WHERE asked NOT IN (SELECT key FROM tenancy.roles WHERE tenant_id = this_tenant)
    );
    IF detail IS NOT NULL THEN
        outcome := 'role_unknown';
        RETURN;
    END IF;
    heirs := tenancy.role_heirs(this_tenant, p_role);
    detail := tenancy.lacks_of_roles(NULL, ARRAY[p_parent], 'infinity');
    before := jsonb_build_object('parent', false);
    IF 'owner' IN (p_role, p_parent) THEN
        outcome := 'role_fixed';
    ELSIF p_parent = ANY (heirs) THEN
        outcome := 'parent_cycle';
        detail := p_parent;
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSIF EXISTS (SELECT FROM tenancy.role_parents
            WHERE tenant_id = this_tenant AND role_key = p_role AND parent_key = p_parent) THEN
        outcome := 'unchanged';
    ELSIF (SELECT count(*) FROM tenancy.role_parents
            WHERE tenant_id = this_tenant AND role_key = p_role) >= 20 THEN
        outcome := 'too_many_parents';
    ELSIF tenancy.role_depth(this_tenant, p_role, false) + 1 + tenancy.role_depth(this_tenant, p_parent, true) > 8 THEN
        outcome := 'parents_too_deep';
    ELSE
        INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key)
        VALUES (this_tenant, p_role, p_parent);
        PERFORM tenancy.expand_roles(this_tenant, heirs);
        PERFORM tenancy.bump_epoch();
        outcome := 'ok';
    END IF;
END
$$;

CREATE FUNCTION tenancy.remove_role_parent(
    p_role text, p_parent text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    granted pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    granted := tenancy.permissions_of_role(p_parent);
    detail := tenancy.principal_lacks(granted, statement_timestamp());
    before := jsonb_build_object('parent', true);
    IF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_unknown';
        detail := p_role;
    ELSIF p_role = 'owner' THEN
        outcome := 'role_fixed';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSE
        DELETE FROM tenancy.role_parents
        WHERE tenant_id = this_tenant AND role_key = p_role AND parent_key = p_parent;
        IF NOT FOUND THEN
            outcome := 'unchanged';
            RETURN;
        END IF;
        PERFORM tenancy.expand_roles(this_tenant, tenancy.role_heirs(this_tenant, p_role));
        PERFORM tenancy.keep_administrator() WHERE 'roles.manage' = ANY (granted);
        PERFORM tenancy.bump_epoch();
        outcome := 'ok';
    END IF;
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

-- Lets a role grant by the same names, wildcards and parents as another one.
CREATE FUNCTION tenancy.copy_role(p_from text, p_role text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key, is_direct)
    SELECT this_tenant, p_role, permission_key, is_direct FROM tenancy.role_permissions
    WHERE tenant_id = this_tenant AND role_key = p_from;
    INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern)
    SELECT this_tenant, p_role, pattern FROM tenancy.role_wildcards
    WHERE tenant_id = this_tenant AND role_key = p_from;
    INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key)
    SELECT this_tenant, p_role, parent_key FROM tenancy.role_parents
    WHERE tenant_id = this_tenant AND role_key = p_from;
END
$$;

-- Makes a role that grants what another one grants, by the same names, wildcards and parents. A
-- clone of a default role is the tenant's own: no template reaches it.
CREATE FUNCTION tenancy.clone_role(
    p_from text, p_role text, p_name text, OUT outcome text, OUT detail text, OUT before jsonb
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
    ELSIF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_from) THEN
        outcome := 'role_unknown';
        detail := p_from;
        RETURN;
    END IF;
    detail := tenancy.lacks_of_roles(NULL, ARRAY[p_from], 'infinity');
    IF detail IS NOT NULL THEN
        outcome := 'exceeds';
        RETURN;
    END IF;
    SELECT c.outcome INTO outcome FROM tenancy.create_role(p_role, p_name) c;
    PERFORM tenancy.copy_role(p_from, p_role) WHERE outcome = 'ok';
END
$$;

-- Takes the lock of every change before a policy is compared and imported; what was so is the epoch.
CREATE FUNCTION tenancy.lock_policy(OUT outcome text, OUT detail text, OUT before jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    outcome := 'ok';
    before := (
        SELECT jsonb_build_object('epoch', epoch) FROM tenancy.tenant_epoch
        WHERE tenant_id = util.current_tenant()
    );
END
$$;

-- Deletes assignments that ended long enough ago; until then a review can tell that somebody had
-- the role. They give nothing, and so nothing changes and no epoch counts up.
CREATE FUNCTION tenancy.purge_ended_roles(p_keep_seconds bigint, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted pg_catalog.int8;
BEGIN
    WITH ended AS MATERIALIZED (
        SELECT tenant_id, user_id, role_key FROM tenancy.member_roles
        WHERE expires_at < statement_timestamp() - make_interval(secs => greatest(p_keep_seconds, 0))
        LIMIT greatest(p_limit, 0)
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM tenancy.member_roles r USING ended
    WHERE r.tenant_id = ended.tenant_id AND r.user_id = ended.user_id AND r.role_key = ended.role_key;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.role_heirs(uuid, text),
    tenancy.role_depth(uuid, text, boolean),
    tenancy.expand_roles(uuid, text[]),
    tenancy.grant_source(text, text, boolean),
    tenancy.grant_wildcard(text, text),
    tenancy.revoke_wildcard(text, text),
    tenancy.add_role_parent(text, text),
    tenancy.remove_role_parent(text, text),
    tenancy.copy_role(text, text),
    tenancy.clone_role(text, text, text),
    tenancy.lock_policy(),
    tenancy.purge_ended_roles(bigint, integer)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.grant_source(text, text, boolean),
    tenancy.grant_wildcard(text, text),
    tenancy.revoke_wildcard(text, text),
    tenancy.add_role_parent(text, text),
    tenancy.remove_role_parent(text, text),
    tenancy.clone_role(text, text, text),
    tenancy.lock_policy()
TO tenancy_app;
GRANT EXECUTE ON FUNCTION tenancy.purge_ended_roles(bigint, integer) TO tenancy_worker;

-- What a purge looks for.
SET LOCAL ROLE tenancy_owner;
CREATE INDEX member_roles_ends ON tenancy.member_roles (expires_at) WHERE expires_at IS NOT NULL;

SET LOCAL ROLE NONE;
