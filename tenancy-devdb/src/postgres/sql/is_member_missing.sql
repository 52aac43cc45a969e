-- role: superuser
-- Whether both roles exist and the login $1 is not yet a member of the group $2.
SELECT EXISTS (
    SELECT
    FROM pg_catalog.pg_roles AS l, pg_catalog.pg_roles AS g
    WHERE l.rolname = $1 AND g.rolname = $2
    AND NOT pg_catalog.pg_has_role(l.oid, g.oid, 'MEMBER')
)
