-- What a tenant has set for itself, and the limits that the platform has set for it. Keys, defaults
-- and bounds stand in code; a row is only there where a tenant differs from the default.

SET LOCAL ROLE tenancy_owner;

CREATE TABLE tenancy.tenant_settings (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL CHECK (char_length(key) BETWEEN 1 AND 127),
    value jsonb NOT NULL CHECK (octet_length(value::text) <= 16384),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, key)
);
SELECT tenancy.protect_table('tenancy.tenant_settings', '{select}');
SELECT tenancy.admit_definer('tenancy.tenant_settings');

CREATE TABLE tenancy.tenant_limits (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL CHECK (char_length(key) BETWEEN 1 AND 127),
    value bigint NOT NULL CHECK (value >= 0),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, key)
);
SELECT tenancy.protect_table('tenancy.tenant_limits', '{select}');
SELECT tenancy.admit_definer('tenancy.tenant_limits');

SET LOCAL ROLE tenancy_definer;

-- Sets a value of the context's tenant; NULL goes back to the default. With p_expected only if that
-- is the value now, where no row stands for p_default.
CREATE FUNCTION tenancy.set_tenant_setting(p_key text, p_value jsonb, p_expected jsonb, p_default jsonb) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    value_now jsonb;
BEGIN
    -- The row of the epoch is locked first, so that of two who compare one waits for the other.
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    IF NOT FOUND THEN
        RETURN 'no_tenant';
    END IF;
    SELECT value INTO value_now FROM tenancy.tenant_settings WHERE tenant_id = this_tenant AND key = p_key;
    IF p_expected IS NOT NULL AND p_expected <> coalesce(value_now, p_default) THEN
        RETURN 'stale';
    END IF;
    IF p_value IS NULL THEN
        DELETE FROM tenancy.tenant_settings WHERE tenant_id = this_tenant AND key = p_key;
    ELSE
        INSERT INTO tenancy.tenant_settings (tenant_id, key, value) VALUES (this_tenant, p_key, p_value)
        ON CONFLICT (tenant_id, key) DO UPDATE SET value = excluded.value, updated_at = clock_timestamp();
    END IF;
    RETURN 'ok';
END
$$;

-- Sets a limit of the context's tenant; NULL goes back to the default. Only a part of the host may:
-- a tenant's own members and keys don't raise their quotas.
CREATE FUNCTION tenancy.set_tenant_limit(p_key text, p_value bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    IF util.current_actor_kind() IS DISTINCT FROM 'service' THEN
        RETURN 'not_platform';
    END IF;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    IF NOT FOUND THEN
        RETURN 'no_tenant';
    END IF;
    IF p_value IS NULL THEN
        DELETE FROM tenancy.tenant_limits WHERE tenant_id = this_tenant AND key = p_key;
    ELSE
        INSERT INTO tenancy.tenant_limits (tenant_id, key, value) VALUES (this_tenant, p_key, p_value)
        ON CONFLICT (tenant_id, key) DO UPDATE SET value = excluded.value, updated_at = clock_timestamp();
    END IF;
    RETURN 'ok';
END
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.set_tenant_setting(text, jsonb, jsonb, jsonb),
    tenancy.set_tenant_limit(text, bigint)
TO tenancy_app;

SET LOCAL ROLE NONE;
