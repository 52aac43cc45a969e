-- role: operator
-- Whether the app may create schemas.
-- $1: roles of the app.
SELECT current_database()::text AS object,
    format('`%s` may create schemas in this database', app.role::regrole) AS detail,
    format('REVOKE CREATE ON DATABASE %I FROM PUBLIC, %s;', current_database(), app.role::regrole) AS fix
FROM unnest($1::oid[]) AS app (role)
WHERE has_database_privilege(app.role, current_database(), 'CREATE')
ORDER BY 2
