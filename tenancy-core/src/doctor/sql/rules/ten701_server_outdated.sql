-- role: operator
-- A server older than a release that closed a known hole in row-level security, one row for each hole.
-- No parameters. The setting tenancy_doctor.server_version_num stands in for the real version, to ask
-- about another server.
SELECT 'server' AS object,
    format('version %s.%s has %s (%s), closed in %s', have.version / 10000, have.version % 10000, hole.cve, hole.what, hole.name) AS detail,
    format('SHOW server_version; -- upgrade to %s or later', hole.name) AS fix
FROM (SELECT coalesce(nullif(current_setting('tenancy_doctor.server_version_num', true), ''),
        current_setting('server_version_num'))::integer AS version) AS have
JOIN (VALUES
    (16, 160005, '16.5', 'CVE-2024-10976', 'a plan that is used again after a change of role, with the policies of the role before'),
    (17, 170001, '17.1', 'CVE-2024-10976', 'a plan that is used again after a change of role, with the policies of the role before'),
    (16, 160010, '16.10', 'CVE-2025-8713', 'statistics that show values of rows past policies, through views, partitions and inheritance'),
    (17, 170006, '17.6', 'CVE-2025-8713', 'statistics that show values of rows past policies, through views, partitions and inheritance')
) AS hole (major, version, name, cve, what) ON hole.major = have.version / 10000
WHERE have.version < hole.version
ORDER BY hole.cve
