-- role: operator
-- Default privileges that let the app, or everybody, call what is going to be created in the family's
-- schemas, and those of tenancy_definer that let anybody at all: no REVOKE from PUBLIC takes that back, and its
-- functions run with its rights. Without an entry of its own a role hands EXECUTE to PUBLIC: for functions with
-- their caller's rights, as tenancy_owner's are, that is harmless.
-- $1: roles of the app.
WITH family AS (
    SELECT r.oid, r.rolname FROM pg_catalog.pg_roles r WHERE r.rolname IN ('tenancy_owner', 'tenancy_definer')
), handed AS (
    SELECT f.oid AS creator, NULL::name AS schema, acl.grantee
    FROM family f
    LEFT JOIN pg_catalog.pg_default_acl d
        ON d.defaclrole = f.oid AND d.defaclnamespace = 0 AND d.defaclobjtype = 'f'
    CROSS JOIN aclexplode(coalesce(d.defaclacl, acldefault('f', f.oid))) acl
    WHERE acl.grantee <> 0 OR f.rolname = 'tenancy_definer'
    UNION
    SELECT d.defaclrole, n.nspname, acl.grantee
    FROM pg_catalog.pg_default_acl d
    JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace AND n.nspname IN ('tenancy', 'util')
    CROSS JOIN aclexplode(d.defaclacl) acl
    WHERE d.defaclobjtype = 'f'
)
SELECT coalesce(h.schema::text, 'all schemas') AS object,
    format('%s may call the new functions of `%s`', who.name, h.creator::regrole) AS detail,
    format('ALTER DEFAULT PRIVILEGES FOR ROLE %s%s REVOKE EXECUTE ON FUNCTIONS FROM %s;', h.creator::regrole,
        ' IN SCHEMA ' || quote_ident(h.schema), who.name)
        -- And what was created meanwhile, from whom nothing of it is meant for.
        || CASE WHEN by_definer.so AND h.grantee <> 0 AND h.grantee <> ALL ($1::oid[]) AND who.name !~ '^tenancy_(owner|worker)$'
            THEN format(' REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA tenancy, util FROM %s;', who.name) ELSE '' END AS fix
FROM handed h
CROSS JOIN LATERAL (SELECT CASE WHEN h.grantee = 0 THEN 'PUBLIC' ELSE h.grantee::regrole::text END AS name) who
CROSS JOIN LATERAL (SELECT h.creator IN (SELECT f.oid FROM family f WHERE f.rolname = 'tenancy_definer') AS so) by_definer
WHERE h.grantee = 0 OR h.grantee = ANY ($1::oid[])
    OR by_definer.so AND h.grantee <> h.creator
ORDER BY 1, 2
