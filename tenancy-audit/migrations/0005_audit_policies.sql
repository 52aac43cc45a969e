-- How long entries are kept, as data: for all tenants, and shorter for one tenant or for some actions. An
-- operator's batch applies it.

SET LOCAL ROLE tenancy_owner;

CREATE TABLE tenancy.audit_policies (
    -- The nil uuid stands for every tenant.
    tenant_id uuid NOT NULL,
    -- One action, all that begin like this (`login.%`), or, as an empty text, all.
    action text COLLATE "C" NOT NULL CHECK (octet_length(action) <= 128),
    keep_days integer NOT NULL CHECK (keep_days BETWEEN 1 AND 36500),
    reason text NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 512),
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, action)
);
SELECT tenancy.protect_table('tenancy.audit_policies', '{select}');
SELECT tenancy.admit_definer('tenancy.audit_policies');

SET LOCAL ROLE tenancy_definer;

-- Sets a policy: 'ok', or 'longer' if it would keep longer than the one for everything of every tenant does.
CREATE FUNCTION tenancy.audit_set_policy(p_tenant uuid, p_action text, p_days integer, p_reason text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    everything CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    IF (p_tenant <> everything OR p_action <> '') AND EXISTS (
        SELECT FROM tenancy.audit_policies p
        WHERE p.tenant_id = everything AND p.action = '' AND p.keep_days < p_days)
    THEN
        RETURN 'longer';
    END IF;
    INSERT INTO tenancy.audit_policies AS p (tenant_id, action, keep_days, reason)
    VALUES (p_tenant, p_action, p_days, p_reason)
    ON CONFLICT (tenant_id, action) DO UPDATE
        SET keep_days = excluded.keep_days, reason = excluded.reason, set_at = clock_timestamp();
    RETURN 'ok';
END
$$;

CREATE FUNCTION tenancy.audit_unset_policy(p_tenant uuid, p_action text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tenancy.audit_policies p WHERE p.tenant_id = p_tenant AND p.action = p_action;
    RETURN FOUND;
END
$$;

-- The next policies behind one, or, without an action, the first ones; of all tenants.
CREATE FUNCTION tenancy.audit_list_policies(p_tenant uuid, p_action text, p_rows integer)
    RETURNS SETOF tenancy.audit_policies
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    SELECT p.* FROM tenancy.audit_policies p
    WHERE p_action IS NULL OR (p.tenant_id, p.action) > (p_tenant, p_action)
    ORDER BY p.tenant_id, p.action LIMIT least(greatest(p_rows, 1), 1000);
    END;

-- The next tenants behind one whose log was ever sealed.
CREATE FUNCTION tenancy.audit_sealed_tenants(p_after uuid, p_tenants integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    WITH RECURSIVE sealed (tenant_id) AS (
        (SELECT s.tenant_id FROM tenancy.audit_seals s WHERE s.tenant_id > p_after ORDER BY s.tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT s.tenant_id FROM tenancy.audit_seals s WHERE s.tenant_id > p.tenant_id ORDER BY s.tenant_id LIMIT 1)
        FROM sealed p WHERE p.tenant_id IS NOT NULL
    )
    SELECT p.tenant_id FROM sealed p WHERE p.tenant_id IS NOT NULL
    LIMIT least(greatest(p_tenants, 1), 1000);
    END;

REVOKE EXECUTE ON FUNCTION
    tenancy.audit_set_policy(uuid, text, integer, text),
    tenancy.audit_unset_policy(uuid, text),
    tenancy.audit_list_policies(uuid, text, integer),
    tenancy.audit_sealed_tenants(uuid, integer)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_set_policy(uuid, text, integer, text),
    tenancy.audit_unset_policy(uuid, text),
    tenancy.audit_list_policies(uuid, text, integer),
    tenancy.audit_sealed_tenants(uuid, integer)
TO tenancy_owner;

SET LOCAL ROLE NONE;
