-- The changes of a policy (0009), each kind of them by one statement. Nothing calls these yet but the next step.

SET LOCAL ROLE tenancy_definer;

-- The changes of these kinds, each with its place, and with how often the same was asked before it.
CREATE FUNCTION tenancy.changes_of(p_changes jsonb, p_ops text[]) RETURNS TABLE (
    place integer, op text, role text, other text, name text, member uuid, ends timestamptz, nth bigint
)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 5000
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT c.place::pg_catalog.int4, c.op, c.role, c.other, c.name, c.member, c.ends,
            row_number() OVER (PARTITION BY c.op, c.role, c.other, c.member ORDER BY c.place) - 1
        FROM ROWS FROM (jsonb_to_recordset(p_changes) AS (
            op pg_catalog.text, role pg_catalog.text, other pg_catalog.text, name pg_catalog.text,
            member pg_catalog.uuid, expires_at pg_catalog.timestamptz
        )) WITH ORDINALITY c (op, role, other, name, member, ends, place)
        WHERE c.op = ANY (p_ops)
        ORDER BY c.place;
END
$$;

-- Makes all changes of a kind that is about roles themselves. Answers what came of each, in their order.
CREATE FUNCTION tenancy.make_role_changes(p_op text, p_changes jsonb)
    RETURNS TABLE (place integer, role text, outcome text, detail text, before jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    IF p_op = 'create' THEN
        RETURN QUERY
            SELECT c.place, c.role, CASE
                WHEN c.nth > 0 OR r.key IS NOT NULL THEN 'role_exists'
                WHEN EXISTS (SELECT FROM tenancy.retired_roles d WHERE d.tenant_id = this_tenant AND d.key = c.role)
                    THEN 'role_retired'
                ELSE 'ok'
            END, NULL::pg_catalog.text, NULL::pg_catalog.jsonb
            FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
            LEFT JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = c.role;
        INSERT INTO tenancy.roles (tenant_id, key, name)
        SELECT this_tenant, c.role, c.name FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c WHERE c.nth = 0
        ON CONFLICT DO NOTHING;
    ELSIF p_op = 'rename' THEN
        RETURN QUERY
            SELECT n.place, n.role, CASE
                WHEN n.is_unknown THEN 'role_unknown' WHEN n.was = n.name THEN 'unchanged' ELSE 'ok'
            END, CASE WHEN n.is_unknown THEN n.role END, jsonb_build_object('name', n.was)
            FROM (
                SELECT c.place, c.role, c.name, r.key IS NULL AS is_unknown,
                    coalesce(lag(c.name) OVER (PARTITION BY c.role ORDER BY c.nth), r.name) AS was
                FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
                LEFT JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = c.role
            ) n;
        UPDATE tenancy.roles r SET name = n.name FROM (
            SELECT DISTINCT ON (c.role) c.role, c.name FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
            ORDER BY c.role, c.nth DESC
        ) n
        WHERE r.tenant_id = this_tenant AND r.key = n.role AND r.name <> n.name;
    ELSE
        RETURN QUERY
            SELECT c.place, c.role, CASE
                WHEN c.nth > 0 OR r.key IS NULL THEN 'role_unknown' WHEN c.role = 'owner' THEN 'role_fixed' ELSE 'ok'
            END, CASE WHEN c.nth > 0 OR r.key IS NULL THEN c.role END, tenancy.role_summary(this_tenant, c.role)
            FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
            LEFT JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = c.role;
        WITH gone AS (
            DELETE FROM tenancy.roles r USING tenancy.changes_of(p_changes, ARRAY[p_op]) c
            WHERE r.tenant_id = this_tenant AND r.key = c.role AND c.nth = 0
            RETURNING r.key
        )
        INSERT INTO tenancy.retired_roles (tenant_id, key) SELECT this_tenant, g.key FROM gone g;
    END IF;
END
$$;

-- The same for what roles grant: how it is of each is found out first, and then made so.
CREATE FUNCTION tenancy.make_grant_changes(p_op text, p_changes jsonb)
    RETURNS TABLE (place integer, role text, outcome text, detail text, before jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    RETURN QUERY
        SELECT s.place, s.role, s.outcome,
            CASE s.outcome
                WHEN 'granted_otherwise' THEN (
                    SELECT coalesce(f.through, f.pattern) FROM tenancy.grant_source(s.role, s.other, false) f
                )
                WHEN 'role_unknown' THEN CASE WHEN s.has_role THEN s.other ELSE s.role END
            END,
            jsonb_build_object(
                CASE WHEN p_op IN ('add_parent', 'remove_parent') THEN 'parent' ELSE 'granted' END,
                CASE WHEN p_op = 'grant' THEN s.is_there ELSE p_op IN ('revoke', 'revoke_wildcard', 'remove_parent') END
            )
        FROM (
            SELECT c.place, c.role, c.other, r.key IS NOT NULL AS has_role,
                c.nth > 0 OR g.role_key IS NOT NULL AS is_there,
                CASE
                    WHEN r.key IS NULL THEN 'role_unknown'
                    WHEN c.role = 'owner' OR p_op IN ('add_parent', 'remove_parent') AND c.other = 'owner'
                        THEN 'role_fixed'
                    WHEN p_op IN ('grant', 'revoke') AND k.key IS NULL
                        OR p_op = 'grant_wildcard' AND NOT EXISTS (
                            SELECT FROM tenancy.permissions q WHERE starts_with(q.key, left(c.other, -1))
                        )
                        THEN 'permission_unknown'
                    WHEN p_op = 'add_parent' AND o.key IS NULL THEN 'role_unknown'
                    WHEN p_op = 'revoke' THEN CASE
                        WHEN g.role_key IS NULL THEN 'unchanged'
                        WHEN c.nth > 0 OR NOT g.is_direct THEN 'granted_otherwise'
                        ELSE 'ok'
                    END
                    WHEN c.nth > 0 THEN 'unchanged'
                    WHEN p_op = 'grant' THEN CASE WHEN g.is_direct THEN 'unchanged' ELSE 'ok' END
                    WHEN p_op IN ('grant_wildcard', 'revoke_wildcard')
                        THEN CASE WHEN (w.pattern IS NULL) = (p_op = 'grant_wildcard') THEN 'ok' ELSE 'unchanged' END
                    ELSE CASE WHEN (p.parent_key IS NULL) = (p_op = 'add_parent') THEN 'ok' ELSE 'unchanged' END
                END AS outcome
            FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
            LEFT JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = c.role
            LEFT JOIN tenancy.roles o ON o.tenant_id = this_tenant AND o.key = c.other
            LEFT JOIN tenancy.permissions k ON k.key = c.other
            LEFT JOIN tenancy.role_permissions g
                ON g.tenant_id = this_tenant AND g.role_key = c.role AND g.permission_key = c.other
            LEFT JOIN tenancy.role_wildcards w
                ON w.tenant_id = this_tenant AND w.role_key = c.role AND w.pattern = c.other
            LEFT JOIN tenancy.role_parents p
                ON p.tenant_id = this_tenant AND p.role_key = c.role AND p.parent_key = c.other
        ) s
        ORDER BY s.place;
    PERFORM tenancy.write_grant_changes(p_op, p_changes);
END
$$;

-- Writes them. What is refused is written as far as the tables take it: whoever calls takes it all back.
CREATE FUNCTION tenancy.write_grant_changes(p_op text, p_changes jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    CASE p_op
    WHEN 'grant' THEN
        INSERT INTO tenancy.role_permissions AS g (tenant_id, role_key, permission_key)
        SELECT r.tenant_id, r.key, k.key FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
        JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = c.role
        JOIN tenancy.permissions k ON k.key = c.other
        WHERE c.nth = 0
        ON CONFLICT (tenant_id, role_key, permission_key) DO UPDATE SET is_direct = true WHERE NOT g.is_direct;
    WHEN 'revoke' THEN
        UPDATE tenancy.role_permissions g SET is_direct = false FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
        WHERE g.tenant_id = this_tenant AND g.role_key = c.role AND g.permission_key = c.other AND g.is_direct;
    WHEN 'grant_wildcard' THEN
        INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern)
        SELECT r.tenant_id, r.key, c.other FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
        JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = c.role
        ON CONFLICT DO NOTHING;
    WHEN 'revoke_wildcard' THEN
        DELETE FROM tenancy.role_wildcards w USING tenancy.changes_of(p_changes, ARRAY[p_op]) c
        WHERE w.tenant_id = this_tenant AND w.role_key = c.role AND w.pattern = c.other;
    WHEN 'add_parent' THEN
        INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key)
        SELECT r.tenant_id, r.key, o.key FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
        JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = c.role
        JOIN tenancy.roles o ON o.tenant_id = this_tenant AND o.key = c.other
        ON CONFLICT DO NOTHING;
    WHEN 'remove_parent' THEN
        DELETE FROM tenancy.role_parents p USING tenancy.changes_of(p_changes, ARRAY[p_op]) c
        WHERE p.tenant_id = this_tenant AND p.role_key = c.role AND p.parent_key = c.other;
    END CASE;
END
$$;

-- The same for what members have.
CREATE FUNCTION tenancy.make_member_changes(p_op text, p_changes jsonb)
    RETURNS TABLE (place integer, role text, outcome text, detail text, before jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    gives pg_catalog.bool := p_op = 'assign';
BEGIN
    RETURN QUERY
        SELECT s.place, s.role, CASE
                WHEN s.role_unknown THEN 'role_unknown'
                WHEN s.is_owner IS NULL THEN 'member_unknown'
                WHEN gives AND (s.ends <= statement_timestamp() OR NOT isfinite(s.ends)) THEN 'expiry_past'
                WHEN s.is_owner AND s.role = 'owner' AND (s.ends IS NOT NULL OR NOT gives AND s.had)
                    THEN 'owner_keeps_role'
                WHEN gives AND s.had AND s.had_until IS NOT DISTINCT FROM s.ends THEN 'unchanged'
                WHEN NOT gives AND NOT s.had THEN 'unchanged'
                ELSE 'ok'
            END,
            CASE WHEN s.role_unknown THEN s.role END,
            CASE WHEN s.had THEN jsonb_build_object('expires_at', s.had_until) END
        FROM (
            SELECT c.place, c.role, c.ends, r.key IS NULL AS role_unknown, m.is_owner,
                CASE WHEN c.nth > 0 THEN gives ELSE h.user_id IS NOT NULL END AS had,
                CASE WHEN c.nth > 0 THEN lag(c.ends) OVER (PARTITION BY c.role, c.member ORDER BY c.nth)
                    ELSE h.expires_at END AS had_until
            FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
            LEFT JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = c.role
            LEFT JOIN tenancy.memberships m ON m.tenant_id = this_tenant AND m.user_id = c.member
            LEFT JOIN tenancy.member_roles h
                ON h.tenant_id = this_tenant AND h.user_id = c.member AND h.role_key = c.role
        ) s
        ORDER BY s.place;
    IF gives THEN
        INSERT INTO tenancy.member_roles AS h (tenant_id, user_id, role_key, granted_by, expires_at)
        SELECT DISTINCT ON (m.user_id, r.key) r.tenant_id, m.user_id, r.key, tenancy.acting_person(), c.ends
        FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c
        JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = c.role
        JOIN tenancy.memberships m ON m.tenant_id = this_tenant AND m.user_id = c.member
        WHERE c.ends IS NULL OR isfinite(c.ends)
        ORDER BY m.user_id, r.key, c.nth DESC
        ON CONFLICT (tenant_id, user_id, role_key) DO UPDATE
        SET granted_by = excluded.granted_by, granted_at = excluded.granted_at, expires_at = excluded.expires_at
        WHERE h.expires_at IS DISTINCT FROM excluded.expires_at;
    ELSE
        DELETE FROM tenancy.member_roles h USING tenancy.changes_of(p_changes, ARRAY[p_op]) c
        WHERE h.tenant_id = this_tenant AND h.user_id = c.member AND h.role_key = c.role;
    END IF;
END
$$;

-- Makes one clone, by none of the rules but those that need nothing beside it.
CREATE OR REPLACE FUNCTION tenancy.make_role_change(
    p_change jsonb, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    role pg_catalog.text := p_change ->> 'role';
    from_role pg_catalog.text := p_change ->> 'other';
BEGIN
    IF EXISTS (SELECT FROM tenancy.roles r WHERE r.tenant_id = this_tenant AND r.key = role) THEN
        outcome := 'role_exists';
    ELSIF EXISTS (SELECT FROM tenancy.retired_roles r WHERE r.tenant_id = this_tenant AND r.key = role) THEN
        outcome := 'role_retired';
    ELSIF NOT EXISTS (SELECT FROM tenancy.roles r WHERE r.tenant_id = this_tenant AND r.key = from_role) THEN
        outcome := 'role_unknown';
        detail := from_role;
    ELSE
        INSERT INTO tenancy.roles (tenant_id, key, name) VALUES (this_tenant, role, p_change ->> 'name');
        PERFORM tenancy.copy_role(from_role, role);
        outcome := 'ok';
    END IF;
END
$$;

-- Makes all changes of a kind, and answers what came of each, in their order. Clones one after the other: one
-- may be of another.
CREATE FUNCTION tenancy.make_changes(p_op text, p_changes jsonb)
    RETURNS TABLE (place integer, role text, outcome text, detail text, before jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_op IN ('assign', 'unassign') THEN
        RETURN QUERY SELECT * FROM tenancy.make_member_changes(p_op, p_changes);
    ELSIF p_op = 'clone' THEN
        RETURN QUERY
            SELECT c.place, c.role, m.outcome, m.detail, m.before
            FROM tenancy.changes_of(p_changes, ARRAY[p_op]) c,
                LATERAL tenancy.make_role_change(p_changes -> (c.place - 1)) m;
    ELSIF p_op IN ('create', 'rename', 'delete') THEN
        RETURN QUERY SELECT * FROM tenancy.make_role_changes(p_op, p_changes);
    ELSE
        RETURN QUERY SELECT * FROM tenancy.make_grant_changes(p_op, p_changes);
    END IF;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.changes_of(jsonb, text[]),
    tenancy.make_role_changes(text, jsonb),
    tenancy.make_grant_changes(text, jsonb),
    tenancy.write_grant_changes(text, jsonb),
    tenancy.make_member_changes(text, jsonb),
    tenancy.make_changes(text, jsonb)
FROM PUBLIC;

SET LOCAL ROLE NONE;
