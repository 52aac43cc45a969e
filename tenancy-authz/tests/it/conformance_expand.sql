-- Expands wildcards and parents as every change of them does. $1 as for `conformance.sql`.
SELECT tenancy.expand_roles(
    (t->>'id')::uuid, ARRAY(SELECT r->>'key' FROM jsonb_array_elements(t->'roles') r)
)
FROM jsonb_array_elements($1) t
