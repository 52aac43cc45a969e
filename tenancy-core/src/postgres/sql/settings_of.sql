-- role: app
-- The stored values of some settings, each with its place in the list. $1 tenant, $2 keys.
-- Index: primary key of tenant_settings.
SELECT wanted.place, s.value
FROM unnest($2::text[]) WITH ORDINALITY AS wanted (key, place)
JOIN tenancy.tenant_settings s ON s.tenant_id = $1 AND s.key = wanted.key
