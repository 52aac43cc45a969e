-- Support: whoever runs the platform looks into a tenant as one of its members, with the tenant's
-- consent, for a time, on record.
--
-- Two keys are needed: the platform's operator says who its support staff is, and an owner of the
-- tenant opens it to them. As with members, answers are words, and the tenant's row is locked first.

SET LOCAL ROLE tenancy_owner;

-- Belongs to no tenant. Written by the operator only, through the function below.
CREATE TABLE tenancy.support_staff (
    user_id uuid PRIMARY KEY,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT tenancy.admit_definer('tenancy.support_staff');

CREATE TABLE tenancy.support_grants (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    granted_by uuid NOT NULL,
    may_write boolean NOT NULL,
    may_be_owner boolean NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX support_grants_open ON tenancy.support_grants (tenant_id) WHERE revoked_at IS NULL;
SELECT tenancy.protect_table('tenancy.support_grants', '{select}');
SELECT tenancy.admit_definer('tenancy.support_grants');

CREATE TABLE tenancy.impersonations (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    support_user uuid NOT NULL,
    member uuid NOT NULL,
    reason text NOT NULL CHECK (char_length(reason) BETWEEN 10 AND 500),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX impersonations_open ON tenancy.impersonations (tenant_id, support_user, member)
    WHERE ended_at IS NULL;
SELECT tenancy.protect_table('tenancy.impersonations', '{select}');
SELECT tenancy.admit_definer('tenancy.impersonations');

SET LOCAL ROLE tenancy_definer;

CREATE FUNCTION tenancy.set_support_staff(p_user uuid, p_is_staff boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_is_staff THEN
        INSERT INTO tenancy.support_staff (user_id) VALUES (p_user) ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM tenancy.support_staff WHERE user_id = p_user;
    END IF;
END
$$;

CREATE FUNCTION tenancy.close_support() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    was_open pg_catalog.bool;
BEGIN
    UPDATE tenancy.support_grants SET revoked_at = clock_timestamp()
    WHERE tenant_id = this_tenant AND revoked_at IS NULL;
    was_open := FOUND;
    UPDATE tenancy.impersonations SET ended_at = clock_timestamp()
    WHERE tenant_id = this_tenant AND ended_at IS NULL;
    RETURN was_open;
END
$$;

-- Opens the tenant to the support staff; what was open before is closed, with its sessions.
CREATE FUNCTION tenancy.grant_support(
    p_id uuid, p_valid_for interval, p_may_write boolean, p_may_be_owner boolean,
    OUT outcome text, OUT expires_at timestamptz
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    actor pg_catalog.uuid := tenancy.acting_for_himself();
BEGIN
    PERFORM tenancy.lock_tenant();
    IF tenancy.is_active_owner(actor) IS NOT TRUE THEN
        outcome := 'not_owner';
        RETURN;
    END IF;
    PERFORM tenancy.close_support();
    expires_at := clock_timestamp() + p_valid_for;
    INSERT INTO tenancy.support_grants (tenant_id, id, granted_by, may_write, may_be_owner, expires_at)
    VALUES (util.current_tenant(), p_id, actor, p_may_write, p_may_be_owner, expires_at);
    outcome := 'ok';
END
$$;

CREATE FUNCTION tenancy.revoke_support() RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tenancy.lock_tenant();
    IF tenancy.is_active_owner(tenancy.acting_for_himself()) IS NOT TRUE THEN
        RETURN 'not_owner';
    END IF;
    RETURN CASE WHEN tenancy.close_support() THEN 'ok' ELSE 'unchanged' END;
END
$$;

-- Begins a session of the context's actor as the member whom the context acts for.
CREATE FUNCTION tenancy.start_impersonation(
    p_id uuid, p_reason text, p_valid_for interval,
    OUT outcome text, OUT started_at timestamptz, OUT expires_at timestamptz
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    support pg_catalog.uuid;
    whom pg_catalog.uuid := util.current_on_behalf_of();
    opened tenancy.support_grants;
    target tenancy.memberships;
BEGIN
    PERFORM tenancy.lock_tenant();
    IF util.current_actor_kind() = 'user' THEN
        support := util.current_actor_id()::pg_catalog.uuid;
    END IF;
    SELECT * INTO opened FROM tenancy.support_grants g
    WHERE g.tenant_id = this_tenant AND g.revoked_at IS NULL AND g.expires_at > clock_timestamp();
    SELECT * INTO target FROM tenancy.memberships m WHERE m.tenant_id = this_tenant AND m.user_id = whom;
    UPDATE tenancy.impersonations i SET ended_at = i.expires_at
    WHERE i.tenant_id = this_tenant AND i.ended_at IS NULL AND i.expires_at <= clock_timestamp();
    IF NOT EXISTS (SELECT FROM tenancy.support_staff s WHERE s.user_id = support) THEN
        outcome := 'not_staff';
    ELSIF opened.id IS NULL THEN
        outcome := 'not_granted';
    ELSIF EXISTS (SELECT FROM tenancy.memberships m WHERE m.tenant_id = this_tenant AND m.user_id = support) THEN
        outcome := 'support_is_member';
    ELSIF target.user_id IS NULL OR target.status <> 'active' THEN
        outcome := 'member_unknown';
    ELSIF target.is_owner AND NOT opened.may_be_owner THEN
        outcome := 'owner_protected';
    ELSIF EXISTS (SELECT FROM tenancy.support_staff s WHERE s.user_id = whom) THEN
        outcome := 'member_is_staff';
    ELSIF EXISTS (
        SELECT FROM tenancy.impersonations i WHERE i.tenant_id = this_tenant
          AND i.support_user = support AND i.member = whom AND i.ended_at IS NULL
    ) THEN
        outcome := 'session_open';
    ELSE
        started_at := clock_timestamp();
        expires_at := least(started_at + p_valid_for, opened.expires_at);
        INSERT INTO tenancy.impersonations (tenant_id, id, support_user, member, reason, started_at, expires_at)
        VALUES (this_tenant, p_id, support, whom, p_reason, started_at, expires_at);
        outcome := 'ok';
    END IF;
END
$$;

-- By the one who looks, or by an owner.
CREATE FUNCTION tenancy.end_impersonation(p_id uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    PERFORM tenancy.lock_tenant();
    UPDATE tenancy.impersonations SET ended_at = clock_timestamp()
    WHERE tenant_id = this_tenant AND id = p_id AND ended_at IS NULL
      AND (support_user::pg_catalog.text = util.current_actor_id() AND util.current_actor_kind() = 'user'
           OR tenancy.is_active_owner(tenancy.acting_for_himself()));
    RETURN CASE WHEN FOUND THEN 'ok' ELSE 'session_unknown' END;
END
$$;

-- The check that leads to a context of somebody who acts for a member: the session runs, the tenant
-- is open to support, and both are still who they were.
CREATE FUNCTION tenancy.enter_impersonating(p_tenant uuid, p_support uuid, p_member uuid)
    RETURNS TABLE (tenant_status text, may_write boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.status, g.may_write
    FROM tenancy.impersonations i
    JOIN tenancy.support_staff s ON s.user_id = i.support_user
    JOIN tenancy.support_grants g ON g.tenant_id = i.tenant_id
    JOIN tenancy.memberships m ON m.tenant_id = i.tenant_id AND m.user_id = i.member
    JOIN tenancy.tenants t ON t.id = i.tenant_id
    WHERE i.tenant_id = p_tenant AND i.support_user = p_support AND i.member = p_member
      AND i.ended_at IS NULL AND i.expires_at > clock_timestamp()
      AND g.revoked_at IS NULL AND g.expires_at > clock_timestamp()
      AND m.status = 'active' AND (NOT m.is_owner OR g.may_be_owner)
$$;

-- Asked by every transaction of somebody who acts for a member, in the message that opens it: a context
-- that outlives its session opens nothing. It raises, because nothing else stops that message.
CREATE FUNCTION tenancy.require_impersonation() RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM tenancy.enter_impersonating(
            util.current_tenant(), util.current_actor_id()::pg_catalog.uuid, util.current_on_behalf_of())
    ) THEN
        RAISE EXCEPTION 'the session of support is over' USING ERRCODE = 'TN001';
    END IF;
END
$$;

-- What nobody does for another, whatever the other may do: who belongs to the tenant, what roles
-- grant, what becomes of the tenant, and secrets in the clear.
CREATE FUNCTION tenancy.closed_to_support(p_permission text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p_permission IN ('members.invite', 'members.manage', 'roles.manage')
        OR split_part(p_permission, '.', 1) IN ('secrets', 'tenant', 'api_keys')
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.set_support_staff(uuid, boolean),
    tenancy.close_support(),
    tenancy.grant_support(uuid, interval, boolean, boolean),
    tenancy.revoke_support(),
    tenancy.start_impersonation(uuid, text, interval),
    tenancy.end_impersonation(uuid),
    tenancy.enter_impersonating(uuid, uuid, uuid),
    tenancy.require_impersonation(),
    tenancy.closed_to_support(text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.grant_support(uuid, interval, boolean, boolean),
    tenancy.revoke_support(),
    tenancy.start_impersonation(uuid, text, interval),
    tenancy.end_impersonation(uuid),
    tenancy.enter_impersonating(uuid, uuid, uuid),
    tenancy.require_impersonation(),
    tenancy.closed_to_support(text)
TO tenancy_app;
GRANT EXECUTE ON FUNCTION tenancy.set_support_staff(uuid, boolean) TO tenancy_owner;

SET LOCAL ROLE NONE;
