-- role: operator
-- Whether a fresh transaction of this login already carries a context: what a setting at session level,
-- or a pooler that keeps one, leaves behind.
-- No parameters.
SELECT current_user::text AS object,
    format('its session carries %s', string_agg(format('%s = %s', s.name, s.value), ', ' ORDER BY s.name)) AS detail,
    'DISCARD ALL; -- and set the context with SET LOCAL only' AS fix
FROM (
    SELECT names.name, current_setting('tenancy.' || names.name, true) AS value
    FROM unnest('{tenant_id,user_id,roles,permissions,actor_kind,actor_id,on_behalf_of}'::text[]) AS names (name)
) AS s
WHERE nullif(s.value, '') IS NOT NULL
HAVING count(*) > 0
