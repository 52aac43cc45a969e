-- The functions that give roles to members.

SET LOCAL ROLE tenancy_definer;

CREATE FUNCTION tenancy.assign_role(
    p_user uuid, p_role text, p_expires_at timestamptz,
    OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    is_owner pg_catalog.bool;
    had tenancy.member_roles;
    granted pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    SELECT m.is_owner INTO is_owner FROM tenancy.memberships m
    WHERE m.tenant_id = this_tenant AND m.user_id = p_user;
    SELECT * INTO had FROM tenancy.member_roles
    WHERE tenant_id = this_tenant AND user_id = p_user AND role_key = p_role;
    IF had.user_id IS NOT NULL THEN
        before := jsonb_build_object('expires_at', had.expires_at);
    END IF;
    granted := tenancy.permissions_of_role(p_role);
    detail := tenancy.lacks_of_roles(NULL, ARRAY[p_role], coalesce(p_expires_at, 'infinity'));
    IF is_owner IS NULL THEN
        outcome := 'member_unknown';
    ELSIF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_unknown';
    ELSIF p_expires_at <= statement_timestamp() OR NOT isfinite(p_expires_at) THEN
        outcome := 'expiry_past';
    ELSIF is_owner AND p_role = 'owner' AND p_expires_at IS NOT NULL THEN
        outcome := 'owner_keeps_role';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSIF had.user_id IS NOT NULL AND had.expires_at IS NOT DISTINCT FROM p_expires_at THEN
        outcome := 'unchanged';
    ELSIF had.user_id IS NULL AND (SELECT count(*) FROM tenancy.member_roles
            WHERE tenant_id = this_tenant AND user_id = p_user) >= 200 THEN
        outcome := 'too_many_assignments';
    ELSE
        INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, granted_by, expires_at)
        VALUES (this_tenant, p_user, p_role, tenancy.acting_person(), p_expires_at)
        ON CONFLICT (tenant_id, user_id, role_key) DO UPDATE
        SET granted_by = excluded.granted_by, granted_at = excluded.granted_at, expires_at = excluded.expires_at;
        PERFORM tenancy.keep_administrator() WHERE had.user_id IS NOT NULL AND 'roles.manage' = ANY (granted);
        PERFORM tenancy.bump_epoch();
        outcome := 'ok';
    END IF;
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

CREATE FUNCTION tenancy.unassign_role(
    p_user uuid, p_role text, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    is_owner pg_catalog.bool;
    granted pg_catalog.text[];
BEGIN
    IF NOT tenancy.begin_role_change() THEN
        outcome := 'denied';
        RETURN;
    END IF;
    SELECT m.is_owner INTO is_owner FROM tenancy.memberships m
    WHERE m.tenant_id = this_tenant AND m.user_id = p_user;
    SELECT jsonb_build_object('expires_at', expires_at) INTO before FROM tenancy.member_roles
    WHERE tenant_id = this_tenant AND user_id = p_user AND role_key = p_role;
    granted := tenancy.permissions_of_role(p_role);
    detail := tenancy.principal_lacks(granted, statement_timestamp());
    IF is_owner IS NULL THEN
        outcome := 'member_unknown';
    ELSIF NOT EXISTS (SELECT FROM tenancy.roles WHERE tenant_id = this_tenant AND key = p_role) THEN
        outcome := 'role_unknown';
    ELSIF before IS NULL THEN
        outcome := 'unchanged';
    ELSIF is_owner AND p_role = 'owner' THEN
        outcome := 'owner_keeps_role';
    ELSIF detail IS NOT NULL THEN
        outcome := 'exceeds';
    ELSE
        DELETE FROM tenancy.member_roles
        WHERE tenant_id = this_tenant AND user_id = p_user AND role_key = p_role;
        PERFORM tenancy.keep_administrator() WHERE 'roles.manage' = ANY (granted);
        PERFORM tenancy.bump_epoch();
        outcome := 'ok';
    END IF;
EXCEPTION WHEN SQLSTATE 'TN001' THEN
    outcome := 'last_administrator';
END
$$;

-- Whether these roles exist and a user (the principal, if NULL) may grant each of them for good.
CREATE FUNCTION tenancy.may_grant_roles(
    p_user uuid, p_roles text[], OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    detail := (
        SELECT min(asked) FROM unnest(p_roles) asked
        WHERE asked NOT IN (SELECT key FROM tenancy.roles WHERE tenant_id = this_tenant)
    );
    IF detail IS NOT NULL THEN
        outcome := 'role_unknown';
        RETURN;
    END IF;
    detail := tenancy.lacks_of_roles(p_user, p_roles, 'infinity');
    outcome := CASE WHEN detail IS NULL THEN 'ok' ELSE 'exceeds' END;
END
$$;

-- Gives roles on the word of the member who invited: only those an accepted invitation of his
-- names, and only what he may still grant now.
CREATE FUNCTION tenancy.assign_invited(
    p_user uuid, p_inviter uuid, p_roles text[], OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    PERFORM tenancy.begin_role_change();
    IF NOT EXISTS (
        SELECT FROM tenancy.invitations
        WHERE tenant_id = this_tenant AND status = 'accepted' AND accepted_at = transaction_timestamp()
          AND accepted_by = p_user AND invited_by = p_inviter AND role_keys @> p_roles
    ) THEN
        outcome := 'not_invited';
        RETURN;
    END IF;
    SELECT m.outcome, m.detail INTO outcome, detail FROM tenancy.may_grant_roles(p_inviter, p_roles) m;
    IF outcome = 'ok' THEN
        INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, granted_by)
        SELECT this_tenant, p_user, asked, p_inviter FROM unnest(p_roles) asked
        ON CONFLICT (tenant_id, user_id, role_key) DO UPDATE
        SET granted_by = excluded.granted_by, granted_at = excluded.granted_at, expires_at = NULL;
        PERFORM tenancy.bump_epoch();
    END IF;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.begin_role_change(),
    tenancy.bump_epoch(),
    tenancy.user_lacks(uuid, text[], timestamptz),
    tenancy.principal_lacks(text[], timestamptz),
    tenancy.permissions_of_role(text),
    tenancy.wildcards_of_roles(text[]),
    tenancy.user_lacks_wildcard(uuid, text[], timestamptz),
    tenancy.lacks_of_roles(uuid, text[], timestamptz),
    tenancy.acting_person(),
    tenancy.has_administrator(),
    tenancy.keep_administrator(),
    tenancy.create_role(text, text),
    tenancy.rename_role(text, text),
    tenancy.delete_role(text),
    tenancy.grant_permission(text, text),
    tenancy.revoke_permission(text, text),
    tenancy.assign_role(uuid, text, timestamptz),
    tenancy.unassign_role(uuid, text),
    tenancy.may_grant_roles(uuid, text[]),
    tenancy.assign_invited(uuid, uuid, text[])
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.create_role(text, text),
    tenancy.rename_role(text, text),
    tenancy.delete_role(text),
    tenancy.grant_permission(text, text),
    tenancy.revoke_permission(text, text),
    tenancy.assign_role(uuid, text, timestamptz),
    tenancy.unassign_role(uuid, text),
    tenancy.may_grant_roles(uuid, text[]),
    tenancy.assign_invited(uuid, uuid, text[])
TO tenancy_app;
SET LOCAL ROLE NONE;
