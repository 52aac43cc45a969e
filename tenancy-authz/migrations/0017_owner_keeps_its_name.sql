-- The role `owner` is not changed, and its name is a part of it: who manages roles can't call something else
-- by it. A name that was given to it before this step stays.

SET LOCAL ROLE tenancy_definer;

CREATE OR REPLACE FUNCTION tenancy.rename_role(
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
    ELSIF p_role = 'owner' THEN
        outcome := 'role_fixed';
        RETURN;
    END IF;
    before := jsonb_build_object('name', old_name);
    UPDATE tenancy.roles SET name = p_name WHERE tenant_id = this_tenant AND key = p_role;
    outcome := CASE WHEN old_name = p_name THEN 'unchanged' ELSE 'ok' END;
    PERFORM tenancy.bump_epoch() WHERE outcome = 'ok';
END
$$;

-- Makes all changes of a kind that is about roles themselves. Answers what came of each, in their order.
CREATE OR REPLACE FUNCTION tenancy.make_role_changes(p_op text, p_changes jsonb)
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
                WHEN n.is_unknown THEN 'role_unknown' WHEN n.role = 'owner' THEN 'role_fixed'
                WHEN n.was = n.name THEN 'unchanged' ELSE 'ok'
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

SET LOCAL ROLE NONE;
