-- What a transaction of another library asks before it takes up a tenant's context.

SET LOCAL ROLE tenancy_owner;

-- Fails for a login whose rows no tenant's policies confine. It is run by every transaction that such a
-- library opens, so it asks what the server has at hand, and the start of a service asks the rest.
CREATE FUNCTION util.require_confined() RETURNS void
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT pg_catalog.row_security_active('tenancy.memberships'::pg_catalog.regclass)
        OR pg_catalog.pg_has_role(current_user, 'tenancy_owner', 'MEMBER')
        OR pg_catalog.pg_has_role(current_user, 'tenancy_definer', 'MEMBER')
        OR pg_catalog.pg_has_role(current_user, 'tenancy_worker', 'MEMBER')
    THEN
        RAISE insufficient_privilege USING
            MESSAGE = pg_catalog.format('login %I is not confined to one tenant', current_user),
            HINT = 'Connect with the login that TenantDb connects with: a member of tenancy_app, and of no other role of the family.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION util.require_confined() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION util.require_confined() TO tenancy_app;

SET LOCAL ROLE NONE;
