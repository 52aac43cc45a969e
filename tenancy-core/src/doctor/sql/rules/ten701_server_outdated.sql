-- role: operator
-- A server older than the releases that closed the known holes in row-level security: CVE-2024-10976
-- (reused plans after a change of role) and CVE-2025-8713 (statistics that show rows past policies).
-- No parameters. The setting tenancy_doctor.server_version_num stands in for the real version, to ask
-- about another server.
SELECT 'server' AS object,
    format('version %s.%s is older than %s', have.version / 10000, have.version % 10000, floor.name) AS detail,
    format('SHOW server_version; -- upgrade to %s or later', floor.name) AS fix
FROM (SELECT coalesce(nullif(current_setting('tenancy_doctor.server_version_num', true), ''),
        current_setting('server_version_num'))::integer AS version) AS have
JOIN (VALUES (16, 160010, '16.10'), (17, 170006, '17.6'), (18, 180000, '18.0')) AS floor (major, version, name)
    ON floor.major = have.version / 10000
WHERE have.version < floor.version
