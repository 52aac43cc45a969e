-- Wildcards and parents of roles. $1 as for `conformance.sql`.
WITH r AS (
    SELECT (t->>'id')::uuid AS tenant, r->>'key' AS key, r
    FROM jsonb_array_elements($1) t, jsonb_array_elements(t->'roles') r
), wildcards AS (
    INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern)
    SELECT tenant, key, w FROM r, jsonb_array_elements_text(r->'wildcards') w
)
INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key)
SELECT tenant, key, p FROM r, jsonb_array_elements_text(r->'parents') p
