-- role: app
-- The stored values of some limits, each with its place in the list. $1 tenant, $2 keys.
-- Index: primary key of tenant_limits.
SELECT wanted.place, l.value
FROM unnest($2::text[]) WITH ORDINALITY AS wanted (key, place)
JOIN tenancy.tenant_limits l ON l.tenant_id = $1 AND l.key = wanted.key
