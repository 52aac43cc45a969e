-- role: operator
-- Tables that are looked up across tenants by functions, and that the app may read as well.
-- $1: roles of the app.
SELECT c.oid::regclass::text AS object,
    format('`%s` may read it; only functions that are given the key should', app.role::regrole) AS detail,
    format('REVOKE ALL ON %s FROM %s;', c.oid::regclass, app.role::regrole) AS fix
FROM unnest(ARRAY['api_key_hashes', 'invitation_tokens', 'oauth_states', 'permission_bits', 'user_identities']) AS wanted (name)
JOIN pg_catalog.pg_class c ON c.oid = to_regclass('tenancy.' || wanted.name)
CROSS JOIN unnest($1::oid[]) AS app (role)
WHERE has_any_column_privilege(app.role, c.oid, 'SELECT')
ORDER BY 1, 2
