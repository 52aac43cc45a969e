-- The changes of a policy (0009) by statements over all of them: 20,000 take seconds, and for no longer does
-- anybody else of the tenant wait. What is asked before and after is asked of all at once, and of one alone
-- only to say why that is refused.

SET LOCAL ROLE tenancy_definer;

-- The first change that takes (asked before any is made) or gives (asked after all are) what the rights
-- lack, and what that is. Each role, permission and wildcard is looked at once, however many changes name it.
CREATE FUNCTION tenancy.first_that_exceeds(
    p_rights jsonb, p_changes jsonb, p_takes boolean, OUT refused_at integer, OUT detail text
)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    ops pg_catalog.text[] := CASE
        WHEN p_takes THEN ARRAY['delete', 'remove_parent', 'revoke', 'revoke_wildcard', 'unassign']
        ELSE ARRAY['grant', 'grant_wildcard', 'add_parent', 'assign', 'clone']
    END;
BEGIN
    WITH RECURSIVE asked AS (
        SELECT c.place, coalesce(c.ends, CASE WHEN p_takes THEN statement_timestamp() ELSE 'infinity' END) AS until,
            CASE WHEN c.op IN ('grant', 'revoke') THEN c.other END AS permission,
            CASE WHEN c.op IN ('grant_wildcard', 'revoke_wildcard') THEN c.other END AS pattern,
            CASE WHEN c.op IN ('add_parent', 'remove_parent') THEN c.other
                WHEN c.op IN ('assign', 'unassign', 'clone', 'delete') THEN c.role END COLLATE "C" AS role_key
        FROM tenancy.changes_of(p_changes, ops) c
    ), held AS MATERIALIZED (
        SELECT h.key, h.value::pg_catalog.timestamptz AS until FROM jsonb_each_text(p_rights -> 'held') h
    ), shares AS MATERIALIZED (
        SELECT left(s.key, -1) AS prefix, s.value::pg_catalog.timestamptz AS until
        FROM jsonb_each_text(p_rights -> 'shares') s
    ), permissions AS (
        SELECT DISTINCT a.permission FROM asked a WHERE a.permission IS NOT NULL
    ), patterns AS (
        SELECT DISTINCT a.pattern FROM asked a WHERE a.pattern IS NOT NULL
    ), roles AS (
        SELECT DISTINCT a.role_key FROM asked a WHERE a.role_key IS NOT NULL
    ), up (root, role_key) AS (
        SELECT r.role_key, r.role_key FROM roles r WHERE NOT p_takes
        UNION
        SELECT u.root, p.parent_key FROM up u
        JOIN tenancy.role_parents p ON p.tenant_id = this_tenant AND p.role_key = u.role_key
    ), shared (root, pattern) AS (
        SELECT u.root, w.pattern FROM up u
        JOIN tenancy.role_wildcards w ON w.tenant_id = this_tenant AND w.role_key = u.role_key
        UNION
        SELECT u.root, '*' FROM up u
        JOIN tenancy.roles r ON r.tenant_id = this_tenant AND r.key = u.role_key
        JOIN tenancy.role_templates t ON t.key = r.key AND t.revision = r.template_revision
        WHERE t.grants_all
    ), covered AS MATERIALIZED (
        SELECT p.pattern, coalesce(max(s.until), '-infinity') AS until
        FROM (SELECT d.pattern FROM shared d UNION SELECT q.pattern FROM patterns q WHERE NOT p_takes) p
        LEFT JOIN shares s ON starts_with(p.pattern, s.prefix)
        GROUP BY p.pattern
    ), enough (permission, pattern, role_key, until) AS (
        SELECT p.permission, NULL, NULL, coalesce(h.until, '-infinity')
        FROM permissions p LEFT JOIN held h ON h.key = p.permission
        UNION ALL
        SELECT NULL, q.pattern, NULL, min(coalesce(h.until, '-infinity'))
        FROM patterns q JOIN tenancy.permissions k ON starts_with(k.key, left(q.pattern, -1))
        LEFT JOIN held h ON h.key = k.key
        GROUP BY q.pattern
        UNION ALL
        SELECT NULL, c.pattern, NULL, c.until FROM covered c JOIN patterns q ON q.pattern = c.pattern
        UNION ALL
        SELECT NULL, NULL, r.role_key, min(coalesce(h.until, '-infinity'))
        FROM roles r JOIN tenancy.role_permissions g ON g.tenant_id = this_tenant AND g.role_key = r.role_key
        LEFT JOIN held h ON h.key = g.permission_key
        GROUP BY r.role_key
        UNION ALL
        SELECT NULL, NULL, s.root, c.until FROM shared s JOIN covered c ON c.pattern = s.pattern
    )
    SELECT min(f.place) INTO refused_at FROM (
        SELECT a.place FROM asked a JOIN enough e ON e.permission = a.permission WHERE e.until < a.until
        UNION ALL
        SELECT a.place FROM asked a JOIN enough e ON e.pattern = a.pattern WHERE e.until < a.until
        UNION ALL
        SELECT a.place FROM asked a JOIN enough e ON e.role_key = a.role_key WHERE e.until < a.until
    ) f;
    IF refused_at IS NOT NULL THEN
        detail := tenancy.change_exceeds(p_rights, p_changes -> (refused_at - 1), p_takes);
    END IF;
END
$$;

-- The first change that left its role or member with something wrong; none, if nothing is.
CREATE FUNCTION tenancy.first_that_breaks(p_changes jsonb) RETURNS integer
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    -- The longest way up from a role of the tenant; 9 where parents stand in a circle.
    height pg_catalog.int4;
BEGIN
    IF EXISTS (SELECT FROM tenancy.changes_of(p_changes, ARRAY['add_parent'])) THEN
        height := (
            WITH RECURSIVE chain (role_key, depth) AS (
                SELECT DISTINCT p.role_key, 0 FROM tenancy.role_parents p WHERE p.tenant_id = this_tenant
                UNION
                SELECT p.parent_key, c.depth + 1 FROM chain c
                JOIN tenancy.role_parents p ON p.tenant_id = this_tenant AND p.role_key = c.role_key
                WHERE c.depth < 9
            )
            SELECT max(c.depth) FROM chain c
        );
    END IF;
    RETURN (
        SELECT min(c.place)
        FROM tenancy.changes_of(p_changes, ARRAY['assign', 'grant_wildcard', 'create', 'clone', 'add_parent']) c
        WHERE CASE c.op
            WHEN 'assign' THEN c.member IN (
                SELECT r.user_id FROM tenancy.member_roles r WHERE r.tenant_id = this_tenant
                GROUP BY r.user_id HAVING count(*) > 200
            )
            WHEN 'grant_wildcard' THEN c.role IN (
                SELECT w.role_key FROM tenancy.role_wildcards w WHERE w.tenant_id = this_tenant
                GROUP BY w.role_key HAVING count(*) > 100
            )
            WHEN 'add_parent' THEN height > 8 AND tenancy.change_breaks(p_changes -> (c.place - 1)) IS NOT NULL
                OR c.role IN (
                    SELECT p.role_key FROM tenancy.role_parents p WHERE p.tenant_id = this_tenant
                    GROUP BY p.role_key HAVING count(*) > 20
                )
            ELSE (SELECT count(*) > 20000 FROM tenancy.roles r WHERE r.tenant_id = this_tenant)
        END
    );
END
$$;

-- Makes changes as one step, or none of them. `refused_at` is the place of the one that is refused, if it is
-- one; `before` has an entry for each: how things were, or the text "unchanged". What is made comes first, then
-- what is taken, then what is given: in this order nothing stands in the way of anything but what is wrong with
-- the whole.
CREATE OR REPLACE FUNCTION tenancy.change_policy(
    p_changes jsonb, OUT outcome text, OUT detail text, OUT refused_at integer, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    turns CONSTANT pg_catalog.text[] := ARRAY[
        'create', 'clone', 'rename', 'remove_parent', 'revoke', 'revoke_wildcard', 'unassign', 'delete',
        'grant', 'grant_wildcard', 'add_parent', 'assign'
    ];
    rights pg_catalog.jsonb;
    was_managed pg_catalog.bool;
    anything pg_catalog.bool := false;
    this_op pg_catalog.text;
    one pg_catalog.record;
    exceeds pg_catalog.record;
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
        WHERE c ->> 'role' IS NULL OR (c ->> 'op' = ANY (turns)) IS NOT TRUE
    ) THEN
        outcome := 'change_unknown';
        RETURN;
    END IF;
    rights := tenancy.principal_rights();
    was_managed := tenancy.has_administrator();
    exceeds := tenancy.first_that_exceeds(rights, p_changes, true);
    IF exceeds.refused_at IS NOT NULL THEN
        refused_at := exceeds.refused_at;
        detail := exceeds.detail;
        outcome := 'exceeds';
        RETURN;
    END IF;
    -- Who loses a parent that is deleted.
    touched := ARRAY(
        SELECT DISTINCT p.role_key FROM tenancy.changes_of(p_changes, ARRAY['delete']) c
        JOIN tenancy.role_parents p ON p.tenant_id = this_tenant AND p.parent_key = c.role
    );
    FOREACH this_op IN ARRAY turns LOOP
        CONTINUE WHEN NOT p_changes @> jsonb_build_array(jsonb_build_object('op', this_op));
        FOR one IN SELECT * FROM tenancy.make_changes(this_op, p_changes) LOOP
            IF one.outcome NOT IN ('ok', 'unchanged') THEN
                refused_at := one.place;
                outcome := one.outcome;
                detail := one.detail;
                RAISE EXCEPTION 'refused' USING ERRCODE = 'TN002';
            END IF;
            IF one.outcome = 'ok' AND this_op NOT IN ('assign', 'unassign', 'rename', 'delete', 'create') THEN
                touched := touched || one.role;
            END IF;
            anything := anything OR one.outcome = 'ok';
            how[one.place] := CASE WHEN one.outcome = 'ok' THEN coalesce(one.before, 'null') ELSE '"unchanged"' END;
        END LOOP;
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
    refused_at := tenancy.first_that_breaks(p_changes);
    exceeds := tenancy.first_that_exceeds(rights, p_changes, false);
    IF refused_at <= coalesce(exceeds.refused_at, refused_at) THEN
        outcome := tenancy.change_breaks(p_changes -> (refused_at - 1));
        detail := p_changes -> (refused_at - 1) ->> 'other';
        RAISE EXCEPTION 'refused' USING ERRCODE = 'TN002';
    ELSIF exceeds.refused_at IS NOT NULL THEN
        refused_at := exceeds.refused_at;
        outcome := 'exceeds';
        detail := exceeds.detail;
        RAISE EXCEPTION 'refused' USING ERRCODE = 'TN002';
    END IF;
    FOR one IN
        SELECT c.place, CASE WHEN g.role_key IS NOT NULL THEN (
            SELECT coalesce(s.through, s.pattern) FROM tenancy.grant_source(c.role, c.other, false) s
        ) END AS still_by
        FROM tenancy.changes_of(p_changes, ARRAY['revoke']) c
        LEFT JOIN tenancy.role_permissions g
            ON g.tenant_id = this_tenant AND g.role_key = c.role AND g.permission_key = c.other
    LOOP
        IF how[one.place] <> '"unchanged"' THEN
            how[one.place] := how[one.place] || jsonb_build_object('still_by', one.still_by);
        END IF;
    END LOOP;
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
    tenancy.first_that_exceeds(jsonb, jsonb, boolean),
    tenancy.first_that_breaks(jsonb)
FROM PUBLIC;

-- What made one change after the other; a clone is still made so, since it may be of another one.
DROP FUNCTION tenancy.make_grant_change(jsonb);
DROP FUNCTION tenancy.make_member_change(jsonb);

SET LOCAL ROLE NONE;
