-- role: operator
-- Roles of the app that may create roles or read the write-ahead log.
-- No parameters.
WITH RECURSIVE app AS (
    SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = 'tenancy_app'
    UNION
    SELECT m.member FROM pg_catalog.pg_auth_members m JOIN app ON app.oid = m.roleid WHERE m.inherit_option
)
SELECT app.oid::regrole::text AS object,
    'it has ' || concat_ws(' and ',
        CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END) AS detail,
    format('ALTER ROLE %s NOCREATEROLE NOREPLICATION;', app.oid::regrole) AS fix
FROM app
JOIN pg_catalog.pg_roles r ON r.oid = app.oid
WHERE r.rolcreaterole OR r.rolreplication
ORDER BY 1
