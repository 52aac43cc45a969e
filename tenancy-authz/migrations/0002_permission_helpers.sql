-- What a host's SQL may ask about the rights of whoever the transaction is open for.
--
-- Types in a body are qualified, although the search path already looks into pg_temp last: a domain
-- there that stood in for a type would run code as the owner of these functions.

SET LOCAL ROLE tenancy_definer;

-- Whether the transaction is open for exactly this tenant. False, not an error, for a setting that
-- is missing, empty or no uuid.
CREATE FUNCTION tenancy.context_is(t uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting pg_catalog.text := current_setting('tenancy.tenant_id', true);
BEGIN
    IF pg_input_is_valid(setting, 'pg_catalog.uuid') IS NOT TRUE THEN
        RETURN false;
    END IF;
    RETURN coalesce(setting::pg_catalog.uuid = t, false);
END
$$;

-- The user whose roles count; NULL for services, API keys, and anything that is not in order.
CREATE FUNCTION tenancy.context_user() RETURNS uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind pg_catalog.text := coalesce(nullif(current_setting('tenancy.actor_kind', true), ''), 'user');
    setting pg_catalog.text := current_setting('tenancy.user_id', true);
BEGIN
    IF kind <> 'user' OR pg_input_is_valid(setting, 'pg_catalog.uuid') IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    RETURN setting::pg_catalog.uuid;
END
$$;

-- What a service or an API key brings along; NULL for a user.
CREATE FUNCTION tenancy.context_permissions() RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('tenancy.actor_kind', true) IN ('service', 'api_key') THEN
        RETURN util.current_permissions();
    END IF;
    RETURN NULL;
END
$$;

-- Who made the API key of the transaction; NULL for anybody else.
CREATE FUNCTION tenancy.context_maker() RETURNS uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting pg_catalog.text := current_setting('tenancy.actor_id', true);
BEGIN
    IF current_setting('tenancy.actor_kind', true) IS DISTINCT FROM 'api_key'
        OR pg_input_is_valid(setting, 'pg_catalog.uuid') IS NOT TRUE
    THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT k.created_by FROM tenancy.api_keys k
        WHERE k.tenant_id = util.current_tenant() AND k.id = setting::pg_catalog.uuid);
END
$$;

CREATE FUNCTION util.user_has_permission(t uuid, p text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who pg_catalog.uuid;
BEGIN
    IF p IS NULL OR NOT tenancy.context_is(t) THEN
        RETURN false;
    END IF;
    -- Into a variable before the query: the planner then sees a plain parameter.
    who := tenancy.context_user();
    IF who IS NULL THEN
        IF (p = ANY (tenancy.context_permissions())) IS NOT TRUE THEN
            RETURN false;
        ELSIF util.current_actor_kind() = 'service' THEN
            RETURN true;
        END IF;
        -- What an API key brings along ends where its maker's rights do.
        who := tenancy.context_maker();
    ELSIF util.current_on_behalf_of() IS NOT NULL AND tenancy.closed_to_support(p) THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
        SELECT FROM tenancy.effective_roles r
        JOIN tenancy.role_permissions g ON g.tenant_id = r.tenant_id AND g.role_key = r.role_key
        WHERE r.tenant_id = t AND r.user_id = who AND g.permission_key = p
    );
END
$$;
COMMENT ON FUNCTION util.user_has_permission(uuid, text) IS
    'Whether the principal of this transaction holds permission p in tenant t. False for any tenant but the one the transaction is open for.';

CREATE FUNCTION util.my_permissions(t uuid) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who pg_catalog.uuid;
BEGIN
    IF NOT tenancy.context_is(t) THEN
        RETURN '{}';
    END IF;
    who := tenancy.context_user();
    IF who IS NULL THEN
        RETURN ARRAY(
            SELECT DISTINCT p FROM unnest(tenancy.context_permissions()) p
            WHERE util.user_has_permission(t, p)
            ORDER BY p
        );
    END IF;
    RETURN ARRAY(
        SELECT DISTINCT g.permission_key
        FROM tenancy.effective_roles r
        JOIN tenancy.role_permissions g ON g.tenant_id = r.tenant_id AND g.role_key = r.role_key
        WHERE r.tenant_id = t AND r.user_id = who
          AND NOT (util.current_on_behalf_of() IS NOT NULL AND tenancy.closed_to_support(g.permission_key))
        ORDER BY g.permission_key
    );
END
$$;
COMMENT ON FUNCTION util.my_permissions(uuid) IS
    'Every permission the principal of this transaction holds in tenant t, sorted; empty for any other tenant.';

CREATE FUNCTION util.my_roles(t uuid) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who pg_catalog.uuid;
BEGIN
    IF NOT tenancy.context_is(t) THEN
        RETURN '{}';
    END IF;
    who := tenancy.context_user();
    RETURN ARRAY(
        SELECT r.role_key FROM tenancy.effective_roles r
        WHERE r.tenant_id = t AND r.user_id = who
        ORDER BY r.role_key
    );
END
$$;
COMMENT ON FUNCTION util.my_roles(uuid) IS
    'The roles the user of this transaction has in tenant t now, sorted; none for services and API keys.';

-- Default privileges give EXECUTE to PUBLIC unless somebody took that away; here it is taken away
-- whatever the defaults of this database are.
REVOKE EXECUTE ON FUNCTION
    tenancy.context_is(uuid),
    tenancy.context_user(),
    tenancy.context_permissions(),
    tenancy.context_maker(),
    util.user_has_permission(uuid, text),
    util.my_permissions(uuid),
    util.my_roles(uuid)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    util.user_has_permission(uuid, text),
    util.my_permissions(uuid),
    util.my_roles(uuid)
TO tenancy_app;

SET LOCAL ROLE NONE;
