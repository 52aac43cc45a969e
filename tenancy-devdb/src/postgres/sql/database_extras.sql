-- role: superuser
-- What a clone does not take over from its template $1: grants on the database, and settings for
-- it. One statement a row, for the database $2.
SELECT pg_catalog.format('REVOKE ALL ON DATABASE %I FROM PUBLIC', $2)
FROM pg_catalog.pg_database
WHERE datname = $1 AND datacl IS NOT NULL
UNION ALL
SELECT pg_catalog.format(
    'GRANT %s ON DATABASE %I TO %s%s',
    acl.privilege_type,
    $2,
    CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::pg_catalog.regrole::text END,
    CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
)
FROM pg_catalog.pg_database AS d, pg_catalog.aclexplode(d.datacl) AS acl
WHERE d.datname = $1 AND acl.grantee <> d.datdba
UNION ALL
SELECT pg_catalog.format(
    'ALTER %s SET %s TO %s',
    CASE
        WHEN s.setrole = 0 THEN pg_catalog.format('DATABASE %I', $2)
        ELSE pg_catalog.format('ROLE %s IN DATABASE %I', s.setrole::pg_catalog.regrole, $2)
    END,
    kv.name,
    CASE
        -- These are kept as lists of quoted names already; one literal would be one name.
        WHEN kv.name IN ('search_path', 'temp_tablespaces', 'session_preload_libraries',
                         'local_preload_libraries') AND kv.value NOT IN ('', '""')
        THEN kv.value
        WHEN kv.value = '""' THEN pg_catalog.quote_literal('')
        ELSE pg_catalog.quote_literal(kv.value)
    END
)
FROM pg_catalog.pg_db_role_setting AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase,
pg_catalog.unnest(s.setconfig) AS setting,
LATERAL (
    SELECT
        pg_catalog.split_part(setting, '=', 1) AS name,
        pg_catalog.substr(setting, pg_catalog.strpos(setting, '=') + 1) AS value
) AS kv
WHERE d.datname = $1
