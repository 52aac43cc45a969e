-- Many changes of a policy as one step: it is judged by what the principal held before it, and by what
-- is so after it. What is so only in passing (a role under another before that one is taken from under
-- it, one wildcard too many) is nobody's business.

SET LOCAL ROLE tenancy_definer;

-- What the principal of the context holds, each with until when: his permissions (`held`), and his
-- shares in those to come (`shares`), which services and API keys have none of.
CREATE FUNCTION tenancy.principal_rights() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    who pg_catalog.uuid := tenancy.context_user();
    brought pg_catalog.text[] := tenancy.context_permissions();
    held pg_catalog.jsonb;
    shares pg_catalog.jsonb;
BEGIN
    IF util.current_actor_kind() = 'service' THEN
        SELECT jsonb_object_agg(p, 'infinity') INTO held FROM unnest(brought) p;
        RETURN jsonb_build_object('held', coalesce(held, '{}'), 'shares', '{}'::pg_catalog.jsonb);
    END IF;
    SELECT jsonb_object_agg(h.permission_key, h.until) INTO held FROM (
        SELECT g.permission_key, max(coalesce(r.expires_at, 'infinity')) AS until
        FROM tenancy.effective_roles r
        JOIN tenancy.role_permissions g ON g.tenant_id = r.tenant_id AND g.role_key = r.role_key
        WHERE r.tenant_id = this_tenant AND r.user_id = coalesce(who, tenancy.context_maker())
          AND (who IS NOT NULL OR g.permission_key = ANY (brought))
        GROUP BY g.permission_key
    ) h;
    SELECT jsonb_object_agg(s.pattern, s.until) INTO shares FROM (
        SELECT pattern, max(coalesce(r.expires_at, 'infinity')) AS until
        FROM tenancy.effective_roles r, unnest(tenancy.wildcards_of_roles(ARRAY[r.role_key])) pattern
        WHERE r.tenant_id = this_tenant AND r.user_id = who
        GROUP BY pattern
    ) s;
    RETURN jsonb_build_object('held', coalesce(held, '{}'), 'shares', coalesce(shares, '{}'));
END
$$;

-- The first of these permissions and shares that is not among such rights for at least as long as p_until.
CREATE FUNCTION tenancy.rights_lack(
    p_rights jsonb, p_permissions text[], p_shares text[], p_until timestamptz
) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held pg_catalog.jsonb := p_rights -> 'held';
BEGIN
    RETURN coalesce(
        (
            SELECT min(asked) FROM unnest(p_permissions) asked
            WHERE coalesce((held ->> asked)::pg_catalog.timestamptz < p_until, true)
        ),
        (
            SELECT min(asked) FROM unnest(p_shares) asked
            WHERE NOT EXISTS (
                SELECT FROM jsonb_each_text(p_rights -> 'shares') s
                WHERE starts_with(asked, left(s.key, -1)) AND s.value::pg_catalog.timestamptz >= p_until
            )
        )
    );
END
$$;

-- What a change takes (asked before it is made) or gives (asked after all are made) that the rights
-- lack; NULL if nothing.
CREATE FUNCTION tenancy.change_exceeds(p_rights jsonb, p_change jsonb, p_takes boolean) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    op pg_catalog.text := p_change ->> 'op';
    role pg_catalog.text := p_change ->> 'role';
    other pg_catalog.text := p_change ->> 'other';
    until pg_catalog.timestamptz := CASE WHEN p_takes THEN statement_timestamp()
        ELSE coalesce((p_change ->> 'expires_at')::pg_catalog.timestamptz, 'infinity') END;
    -- The role all of whose permissions change hands, or none.
    whole pg_catalog.text := CASE op
        WHEN 'add_parent' THEN other WHEN 'remove_parent' THEN other
        WHEN 'assign' THEN role WHEN 'unassign' THEN role
        WHEN 'clone' THEN role WHEN 'delete' THEN role
    END;
    permissions pg_catalog.text[];
    shares pg_catalog.text[] := '{}';
BEGIN
    IF p_takes <> (op IN ('delete', 'remove_parent', 'revoke', 'revoke_wildcard', 'unassign')) THEN
        RETURN NULL;
    ELSIF op IN ('grant', 'revoke') THEN
        permissions := ARRAY[other];
    ELSIF op IN ('grant_wildcard', 'revoke_wildcard') THEN
        permissions := ARRAY(SELECT key FROM tenancy.permissions WHERE starts_with(key, left(other, -1)));
        shares := ARRAY[other];
    ELSIF whole IS NOT NULL THEN
        permissions := tenancy.permissions_of_role(whole);
        shares := tenancy.wildcards_of_roles(ARRAY[whole]);
    END IF;
    RETURN tenancy.rights_lack(p_rights, permissions, CASE WHEN p_takes THEN '{}' ELSE shares END, until);
END
$$;

-- Makes one change of roles, by none of the rules but those that need nothing beside it.
CREATE FUNCTION tenancy.make_role_change(
    p_change jsonb, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    op pg_catalog.text := p_change ->> 'op';
    role pg_catalog.text := p_change ->> 'role';
    from_role pg_catalog.text := p_change ->> 'other';
    name_now pg_catalog.text;
BEGIN
    SELECT r.name INTO name_now FROM tenancy.roles r WHERE r.tenant_id = this_tenant AND r.key = role;
    IF op = 'rename' THEN
        UPDATE tenancy.roles r SET name = p_change ->> 'name' WHERE r.tenant_id = this_tenant AND r.key = role;
        before := jsonb_build_object('name', name_now);
        outcome := CASE WHEN name_now = p_change ->> 'name' THEN 'unchanged' ELSE 'ok' END;
        RETURN;
    ELSIF op = 'delete' THEN
        before := jsonb_build_object(
            'name', name_now,
            'permissions', to_jsonb((tenancy.permissions_of_role(role))[1:100]),
            'permission_count', cardinality(tenancy.permissions_of_role(role)),
            'heirs', to_jsonb((array_remove(tenancy.role_heirs(this_tenant, role), role))[1:100]),
            'member_count', (SELECT count(*) FROM tenancy.member_roles m
                WHERE m.tenant_id = this_tenant AND m.role_key = role)
        );
        DELETE FROM tenancy.roles WHERE tenant_id = this_tenant AND key = role;
        INSERT INTO tenancy.retired_roles (tenant_id, key) VALUES (this_tenant, role);
        outcome := 'ok';
        RETURN;
    ELSIF name_now IS NOT NULL THEN
        outcome := 'role_exists';
        RETURN;
    ELSIF EXISTS (SELECT FROM tenancy.retired_roles r WHERE r.tenant_id = this_tenant AND r.key = role) THEN
        outcome := 'role_retired';
        RETURN;
    ELSIF op = 'clone' AND NOT EXISTS (
        SELECT FROM tenancy.roles r WHERE r.tenant_id = this_tenant AND r.key = from_role
    ) THEN
        outcome := 'role_unknown';
        detail := from_role;
        RETURN;
    END IF;
    INSERT INTO tenancy.roles (tenant_id, key, name) VALUES (this_tenant, role, p_change ->> 'name');
    IF op = 'clone' THEN
        PERFORM tenancy.copy_role(from_role, role);
    END IF;
    outcome := 'ok';
END
$$;

-- Makes one change of what a role is granted, in the same way.
CREATE FUNCTION tenancy.make_grant_change(
    p_change jsonb, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    op pg_catalog.text := p_change ->> 'op';
    role pg_catalog.text := p_change ->> 'role';
    other pg_catalog.text := p_change ->> 'other';
    direct pg_catalog.bool;
BEGIN
    IF op IN ('grant', 'revoke') THEN
        SELECT g.is_direct INTO direct FROM tenancy.role_permissions g
        WHERE g.tenant_id = this_tenant AND g.role_key = role AND g.permission_key = other;
    END IF;
    IF role = 'owner' OR op IN ('add_parent', 'remove_parent') AND other = 'owner' THEN
        outcome := 'role_fixed';
        RETURN;
    ELSIF op IN ('grant', 'revoke') AND NOT EXISTS (SELECT FROM tenancy.permissions WHERE key = other)
        OR op = 'grant_wildcard' AND NOT EXISTS (
            SELECT FROM tenancy.permissions WHERE starts_with(key, left(other, -1))
        )
    THEN
        outcome := 'permission_unknown';
        RETURN;
    ELSIF op = 'revoke' AND NOT direct THEN
        outcome := 'granted_otherwise';
        SELECT coalesce(s.through, s.pattern) INTO detail FROM tenancy.grant_source(role, other, false) s;
        RETURN;
    ELSIF op = 'grant' THEN
        before := jsonb_build_object('granted', direct IS NOT NULL);
        INSERT INTO tenancy.role_permissions AS g (tenant_id, role_key, permission_key)
        VALUES (this_tenant, role, other)
        ON CONFLICT (tenant_id, role_key, permission_key) DO UPDATE SET is_direct = true WHERE NOT g.is_direct;
    ELSIF op = 'revoke' THEN
        before := jsonb_build_object('granted', true);
        UPDATE tenancy.role_permissions SET is_direct = false
        WHERE tenant_id = this_tenant AND role_key = role AND permission_key = other;
    ELSIF op = 'grant_wildcard' THEN
        before := jsonb_build_object('granted', false);
        INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern) VALUES (this_tenant, role, other)
        ON CONFLICT DO NOTHING;
    ELSIF op = 'revoke_wildcard' THEN
        before := jsonb_build_object('granted', true);
        DELETE FROM tenancy.role_wildcards WHERE tenant_id = this_tenant AND role_key = role AND pattern = other;
    ELSIF op = 'add_parent' THEN
        before := jsonb_build_object('parent', false);
        INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key)
        SELECT this_tenant, role, r.key FROM tenancy.roles r WHERE r.tenant_id = this_tenant AND r.key = other
        ON CONFLICT DO NOTHING;
        IF NOT EXISTS (SELECT FROM tenancy.roles r WHERE r.tenant_id = this_tenant AND r.key = other) THEN
            outcome := 'role_unknown';
            detail := other;
            RETURN;
        END IF;
    ELSE
        before := jsonb_build_object('parent', true);
        DELETE FROM tenancy.role_parents WHERE tenant_id = this_tenant AND role_key = role AND parent_key = other;
    END IF;
    outcome := CASE WHEN FOUND THEN 'ok' ELSE 'unchanged' END;
END
$$;

-- Makes one change of what a member has, in the same way.
CREATE FUNCTION tenancy.make_member_change(
    p_change jsonb, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    role pg_catalog.text := p_change ->> 'role';
    member pg_catalog.uuid := (p_change ->> 'member')::pg_catalog.uuid;
    ends pg_catalog.timestamptz := (p_change ->> 'expires_at')::pg_catalog.timestamptz;
    gives pg_catalog.bool := p_change ->> 'op' = 'assign';
    is_owner pg_catalog.bool;
    had tenancy.member_roles;
BEGIN
    SELECT m.is_owner INTO is_owner FROM tenancy.memberships m
    WHERE m.tenant_id = this_tenant AND m.user_id = member;
    SELECT * INTO had FROM tenancy.member_roles r
    WHERE r.tenant_id = this_tenant AND r.user_id = member AND r.role_key = role;
    before := CASE WHEN had.user_id IS NOT NULL THEN jsonb_build_object('expires_at', had.expires_at) END;
    outcome := CASE
        WHEN is_owner IS NULL THEN 'member_unknown'
        WHEN gives AND (ends <= statement_timestamp() OR NOT isfinite(ends)) THEN 'expiry_past'
        WHEN is_owner AND role = 'owner' AND (ends IS NOT NULL OR NOT gives AND had.user_id IS NOT NULL)
            THEN 'owner_keeps_role'
        WHEN gives AND had.user_id IS NOT NULL AND had.expires_at IS NOT DISTINCT FROM ends THEN 'unchanged'
        WHEN NOT gives AND had.user_id IS NULL THEN 'unchanged'
        ELSE 'ok'
    END;
    IF outcome = 'ok' AND gives THEN
        INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, granted_by, expires_at)
        VALUES (this_tenant, member, role, tenancy.acting_person(), ends)
        ON CONFLICT (tenant_id, user_id, role_key) DO UPDATE
        SET granted_by = excluded.granted_by, granted_at = excluded.granted_at, expires_at = excluded.expires_at;
    ELSIF outcome = 'ok' THEN
        DELETE FROM tenancy.member_roles WHERE tenant_id = this_tenant AND user_id = member AND role_key = role;
    END IF;
END
$$;

-- What is wrong with how a change left its role or member; NULL if nothing.
CREATE FUNCTION tenancy.change_breaks(p_change jsonb) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    op pg_catalog.text := p_change ->> 'op';
    role pg_catalog.text := p_change ->> 'role';
    parent pg_catalog.text := p_change ->> 'other';
BEGIN
    IF op = 'assign' THEN
        RETURN (SELECT 'too_many_assignments' FROM tenancy.member_roles r
            WHERE r.tenant_id = this_tenant AND r.user_id = (p_change ->> 'member')::pg_catalog.uuid
            HAVING count(*) > 200);
    ELSIF op = 'grant_wildcard' THEN
        RETURN (SELECT 'too_many_wildcards' FROM tenancy.role_wildcards w
            WHERE w.tenant_id = this_tenant AND w.role_key = role HAVING count(*) > 100);
    ELSIF op IN ('create', 'clone') THEN
        RETURN (SELECT 'too_many_roles' FROM tenancy.roles r WHERE r.tenant_id = this_tenant HAVING count(*) > 20000);
    ELSIF op <> 'add_parent' THEN
        RETURN NULL;
    ELSIF parent = ANY (tenancy.role_heirs(this_tenant, role)) THEN
        RETURN 'parent_cycle';
    ELSIF (SELECT count(*) FROM tenancy.role_parents p WHERE p.tenant_id = this_tenant AND p.role_key = role) > 20 THEN
        RETURN 'too_many_parents';
    ELSIF tenancy.role_depth(this_tenant, role, false) + 1 + tenancy.role_depth(this_tenant, parent, true) > 8 THEN
        RETURN 'parents_too_deep';
    END IF;
    RETURN NULL;
END
$$;

-- Makes changes as one step, or none of them. `refused_at` is the place of the one that is refused, if it is one; `before` has an entry
-- for each: how things were, or the text "unchanged". What is made comes first, then what is taken, then
-- what is given: in this order nothing stands in the way of anything but what is wrong with the whole.
CREATE FUNCTION tenancy.change_policy(
    p_changes jsonb, OUT outcome text, OUT detail text, OUT refused_at integer, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    rights pg_catalog.jsonb;
    was_managed pg_catalog.bool;
    anything pg_catalog.bool := false;
    one pg_catalog.record;
    made pg_catalog.record;
    touched pg_catalog.text[] := '{}';
    how pg_catalog.jsonb[] := array_fill(NULL::pg_catalog.jsonb, ARRAY[jsonb_array_length(p_changes)]);
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    -- What is not known is not made, whoever asks for it.
    IF EXISTS (
        SELECT FROM jsonb_array_elements(p_changes) c
        WHERE c ->> 'role' IS NULL OR (c ->> 'op' IN (
            'create', 'clone', 'rename', 'remove_parent', 'revoke', 'revoke_wildcard', 'unassign', 'delete',
            'grant', 'grant_wildcard', 'add_parent', 'assign'
        )) IS NOT TRUE
    ) THEN
        outcome := 'change_unknown';
        RETURN;
    END IF;
    rights := tenancy.principal_rights();
    was_managed := tenancy.has_administrator();
    FOR one IN
        SELECT c.value AS change, c.ordinality::pg_catalog.int4 AS place FROM jsonb_array_elements(p_changes) WITH ORDINALITY c
    LOOP
        refused_at := one.place;
        detail := tenancy.change_exceeds(rights, one.change, true);
        IF detail IS NOT NULL THEN
            outcome := 'exceeds';
            RAISE EXCEPTION 'refused' USING ERRCODE = 'TN002';
        END IF;
    END LOOP;
    FOR one IN
        SELECT c.value AS change, c.ordinality::pg_catalog.int4 AS place, c.value ->> 'op' AS op, c.value ->> 'role' AS role
        FROM jsonb_array_elements(p_changes) WITH ORDINALITY c
        ORDER BY array_position(ARRAY[
            'create', 'clone', 'rename', 'remove_parent', 'revoke', 'revoke_wildcard', 'unassign', 'delete',
            'grant', 'grant_wildcard', 'add_parent', 'assign'
        ], c.value ->> 'op'), c.ordinality
    LOOP
        refused_at := one.place;
        IF one.op NOT IN ('create', 'clone') AND NOT EXISTS (
            SELECT FROM tenancy.roles r WHERE r.tenant_id = this_tenant AND r.key = one.role
        ) THEN
            outcome := 'role_unknown';
            detail := one.role;
            RAISE EXCEPTION 'refused' USING ERRCODE = 'TN002';
        END IF;
        IF one.op = 'delete' THEN
            touched := touched || tenancy.role_heirs(this_tenant, one.role);
        END IF;
        IF one.op IN ('assign', 'unassign') THEN
            made := tenancy.make_member_change(one.change);
        ELSIF one.op = 'delete' AND one.role = 'owner' THEN
            outcome := 'role_fixed';
            RAISE EXCEPTION 'refused' USING ERRCODE = 'TN002';
        ELSIF one.op IN ('create', 'clone', 'rename', 'delete') THEN
            made := tenancy.make_role_change(one.change);
        ELSE
            made := tenancy.make_grant_change(one.change);
        END IF;
        IF made.outcome NOT IN ('ok', 'unchanged') THEN
            outcome := made.outcome;
            detail := made.detail;
            RAISE EXCEPTION 'refused' USING ERRCODE = 'TN002';
        END IF;
        IF made.outcome = 'ok' AND one.op NOT IN ('assign', 'unassign', 'rename', 'delete', 'create') THEN
            touched := touched || one.role;
        END IF;
        anything := anything OR made.outcome = 'ok';
        how[refused_at] := CASE WHEN made.outcome = 'ok' THEN coalesce(made.before, 'null') ELSE '"unchanged"' END;
    END LOOP;
    -- UNION drops what was found already: it comes to an end also where parents stand in a circle.
    PERFORM tenancy.expand_roles(this_tenant, ARRAY(
        WITH RECURSIVE down (role_key) AS (
            SELECT unnest(touched) COLLATE "C"
            UNION
            SELECT p.role_key FROM down d
            JOIN tenancy.role_parents p ON p.tenant_id = this_tenant AND p.parent_key = d.role_key
        )
        SELECT role_key FROM down
    ));
    FOR one IN
        SELECT c.value AS change, c.ordinality::pg_catalog.int4 AS place, c.value ->> 'op' AS op
        FROM jsonb_array_elements(p_changes) WITH ORDINALITY c
    LOOP
        refused_at := one.place;
        outcome := tenancy.change_breaks(one.change);
        detail := one.change ->> 'other';
        IF outcome IS NULL THEN
            detail := tenancy.change_exceeds(rights, one.change, false);
            outcome := CASE WHEN detail IS NOT NULL THEN 'exceeds' END;
        END IF;
        IF outcome IS NOT NULL THEN
            RAISE EXCEPTION 'refused' USING ERRCODE = 'TN002';
        END IF;
        IF one.op = 'revoke' AND how[refused_at] <> '"unchanged"' THEN
            how[refused_at] := how[refused_at] || jsonb_build_object('still_by', (
                SELECT coalesce(s.through, s.pattern)
                FROM tenancy.grant_source(one.change ->> 'role', one.change ->> 'other', false) s
            ));
        END IF;
    END LOOP;
    refused_at := NULL;
    IF was_managed AND NOT tenancy.has_administrator() THEN
        outcome := 'last_administrator';
        RAISE EXCEPTION 'refused' USING ERRCODE = 'TN002';
    END IF;
    before := to_jsonb(how);
    PERFORM tenancy.bump_epoch() WHERE anything;
    outcome := 'ok';
EXCEPTION WHEN SQLSTATE 'TN002' THEN
    before := NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.principal_rights(),
    tenancy.rights_lack(jsonb, text[], text[], timestamptz),
    tenancy.change_exceeds(jsonb, jsonb, boolean),
    tenancy.make_role_change(jsonb),
    tenancy.make_grant_change(jsonb),
    tenancy.make_member_change(jsonb),
    tenancy.change_breaks(jsonb),
    tenancy.change_policy(jsonb)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.change_policy(jsonb) TO tenancy_app;

SET LOCAL ROLE NONE;
