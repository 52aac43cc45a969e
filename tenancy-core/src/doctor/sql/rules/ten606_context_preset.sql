-- role: operator
-- Settings of a role or of the database that put a transaction into a tenant before anybody entered it.
-- No parameters.
SELECT coalesce(nullif(s.setrole, 0)::regrole::text, 'all roles') AS object,
    format('%s is preset to %s', split_part(preset.setting, '=', 1), split_part(preset.setting, '=', 2)) AS detail,
    format('ALTER %s RESET %s;', CASE
        WHEN s.setrole = 0 THEN format('DATABASE %I', current_database())
        WHEN s.setdatabase = 0 THEN format('ROLE %s', s.setrole::regrole)
        ELSE format('ROLE %s IN DATABASE %I', s.setrole::regrole, current_database()) END,
        split_part(preset.setting, '=', 1)) AS fix
FROM pg_catalog.pg_db_role_setting s
CROSS JOIN unnest(s.setconfig) AS preset (setting)
WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))
  AND (starts_with(preset.setting, 'tenancy.') OR preset.setting = 'row_security=off')
ORDER BY 1, 2
