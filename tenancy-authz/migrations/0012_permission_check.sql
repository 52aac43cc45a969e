-- The question that policies ask, for what it costs: each table that is looked at, and each function that
-- is called on the way, counts. So what the context says is read here and not by the functions that say it
-- elsewhere, and what `effective_roles` says stands in pieces: a no costs two tables, and no join is planned
-- over all four.

SET LOCAL ROLE tenancy_definer;

CREATE OR REPLACE FUNCTION util.user_has_permission(t uuid, p text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant pg_catalog.text := current_setting('tenancy.tenant_id', true);
    kind pg_catalog.text := coalesce(nullif(current_setting('tenancy.actor_kind', true), ''), 'user');
    member pg_catalog.text := current_setting('tenancy.user_id', true);
    who pg_catalog.uuid;
BEGIN
    IF p IS NULL OR pg_input_is_valid(tenant, 'pg_catalog.uuid') IS NOT TRUE THEN
        RETURN false;
    ELSIF (tenant::pg_catalog.uuid = t) IS NOT TRUE THEN
        RETURN false;
    END IF;
    -- Into a variable before the query: the planner then sees a plain parameter.
    IF kind = 'user' AND pg_input_is_valid(member, 'pg_catalog.uuid') THEN
        who := member::pg_catalog.uuid;
        IF nullif(current_setting('tenancy.on_behalf_of', true), '') IS NOT NULL AND tenancy.closed_to_support(p) THEN
            RETURN false;
        END IF;
    ELSIF (p = ANY (tenancy.context_permissions())) IS NOT TRUE THEN
        RETURN false;
    ELSIF kind = 'service' THEN
        RETURN true;
    ELSE
        -- What an API key brings along ends where its maker's rights do.
        who := tenancy.context_maker();
    END IF;
    RETURN EXISTS (
            SELECT FROM tenancy.member_roles r
            JOIN tenancy.role_permissions g ON g.tenant_id = t AND g.role_key = r.role_key
            WHERE r.tenant_id = t AND r.user_id = who AND g.permission_key = p
              AND (r.expires_at IS NULL OR r.expires_at > statement_timestamp())
        )
        AND EXISTS (SELECT FROM tenancy.memberships m WHERE m.tenant_id = t AND m.user_id = who AND m.status = 'active')
        AND EXISTS (SELECT FROM tenancy.tenants o WHERE o.id = t AND o.status IN ('active', 'suspended_read_only'));
END
$$;

SET LOCAL ROLE NONE;
