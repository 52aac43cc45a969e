-- role: operator
-- Tables that only functions may write, and that the app may write as well.
-- $1: roles of the app.
SELECT c.oid::regclass::text AS object,
    format('`%s` may write it past the functions that check, lock and bump the epoch', app.role::regrole) AS detail,
    format('REVOKE INSERT, UPDATE, DELETE ON %s FROM %s;', c.oid::regclass, app.role::regrole) AS fix
FROM unnest(ARRAY[
    'impersonations', 'invitation_tokens', 'invitations', 'job_dead', 'job_history', 'job_policies', 'job_progress',
    'job_workers', 'mcp_connections', 'mcp_invocations', 'mcp_providers', 'mcp_tools', 'member_roles',
    'memberships', 'oauth_states', 'ownership_offers', 'permission_bits', 'permissions', 'platform_log', 'retired_roles', 'role_permissions',
    'role_parents', 'role_state', 'role_templates', 'role_upgrades', 'role_wildcards', 'roles', 'rotation_runs', 'schema_migrations',
    'support_grants', 'support_staff', 'tenant_data_keys', 'tenant_epoch', 'tenant_holds', 'tenant_limits', 'tenant_purges', 'tenant_settings', 'tenant_slugs', 'tenants', 'user_identities'
]) AS wanted (name)
JOIN pg_catalog.pg_class c ON c.oid = to_regclass('tenancy.' || wanted.name)
CROSS JOIN unnest($1::oid[]) AS app (role)
WHERE has_any_column_privilege(app.role, c.oid, 'INSERT, UPDATE') OR has_table_privilege(app.role, c.oid, 'DELETE')
ORDER BY 1, 2
