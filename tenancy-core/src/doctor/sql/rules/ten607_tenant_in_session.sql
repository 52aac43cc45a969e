-- role: operator
-- Whether a fresh transaction of this login already carries a tenant: what a setting at session level,
-- or a pooler that keeps one, leaves behind.
-- No parameters.
SELECT current_user::text AS object,
    format('its session carries the tenant %s', current_setting('tenancy.tenant_id', true)) AS detail,
    'DISCARD ALL; -- and set the context with SET LOCAL only' AS fix
WHERE nullif(current_setting('tenancy.tenant_id', true), '') IS NOT NULL
