-- What templates do to roles stops at no tenant: what goes into an audit entry is cut by its bytes, of which
-- an entry takes 16 KiB, and a tenant that can't be brought up to date is passed over.

SET LOCAL ROLE tenancy_definer;

-- The first of a list that take no more bytes than this together.
CREATE FUNCTION tenancy.cut_list(p_items text[], p_bytes integer) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(c.item ORDER BY c.place), '[]') FROM (
            SELECT u.item, u.place, sum(octet_length(u.item)) OVER (ORDER BY u.place) AS bytes
            FROM unnest(p_items) WITH ORDINALITY u (item, place)
        ) c
        WHERE c.bytes <= p_bytes
    );
END
$$;

-- What a role grants by name, by wildcards and from its parents, cut so that an entry takes it twice, and how
-- many there are of each.
CREATE OR REPLACE FUNCTION tenancy.cut_content(p_content jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_content -> 'permissions' IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT jsonb_object_agg(l.name, l.items) || jsonb_object_agg(l.counted, l.count) FROM (
            SELECT k.name, k.counted,
                tenancy.cut_list(ARRAY(SELECT jsonb_array_elements_text(p_content -> k.name)), k.bytes) AS items,
                jsonb_array_length(p_content -> k.name) AS count
            FROM (VALUES
                ('permissions', 'permission_count', 3500),
                ('wildcards', 'wildcard_count', 2500),
                ('parents', 'parent_count', 1500)
            ) k (name, counted, bytes)
        ) l
    );
END
$$;

-- What the audit log says of a role that is deleted, cut in the same way; NULL if there is none.
CREATE FUNCTION tenancy.role_summary(p_tenant uuid, p_role text) RETURNS jsonb
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
            'permissions', tenancy.cut_list(granted, 8000),
            'permission_count', cardinality(granted),
            'heirs', tenancy.cut_list(heirs, 4000),
            'heir_count', cardinality(heirs),
            'member_count', (SELECT count(*) FROM tenancy.member_roles m
                WHERE m.tenant_id = p_tenant AND m.role_key = p_role)
        )
        FROM tenancy.roles r WHERE r.tenant_id = p_tenant AND r.key = p_role
    );
END
$$;

CREATE OR REPLACE FUNCTION tenancy.delete_role(
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
    before := tenancy.role_summary(this_tenant, p_role);
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

-- Brings the next tenants after the one given up to date, each as a whole or not at all. `last` is the last
-- that was looked at; none, if no more are behind. Of those that failed the first is named with its error.
CREATE FUNCTION tenancy.catch_up_tenants(
    p_after uuid, p_limit integer,
    OUT last uuid, OUT tenants bigint, OUT upgraded bigint, OUT edited bigint,
    OUT failed bigint, OUT first_failed uuid, OUT first_error text
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest_serial pg_catalog.int8;
    behind pg_catalog.uuid;
    done pg_catalog.record;
BEGIN
    SELECT serial, 0, 0, 0, 0 INTO newest_serial, tenants, upgraded, edited, failed
    FROM tenancy.permission_bits FOR KEY SHARE;
    FOR behind IN
        SELECT t.id FROM tenancy.tenants t
        LEFT JOIN tenancy.role_state s ON s.tenant_id = t.id
        WHERE s.serial IS DISTINCT FROM newest_serial AND t.status NOT IN ('purging', 'deleted')
          AND (p_after IS NULL OR t.id > p_after)
        ORDER BY t.id
        LIMIT p_limit
        FOR NO KEY UPDATE OF t
    LOOP
        last := behind;
        BEGIN
            done := tenancy.catch_up_tenant(behind);
            tenants := tenants + 1;
            upgraded := upgraded + done.upgraded;
            edited := edited + done.edited;
        EXCEPTION WHEN OTHERS THEN
            failed := failed + 1;
            IF first_failed IS NULL THEN
                first_failed := behind;
                first_error := SQLERRM;
            END IF;
        END;
    END LOOP;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.cut_list(text[], integer),
    tenancy.role_summary(uuid, text),
    tenancy.catch_up_tenants(uuid, integer)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.catch_up_tenants(uuid, integer) TO tenancy_owner;

SET LOCAL ROLE NONE;
