-- Writes policies of the suite down behind all functions. $1 tenants with roles and members.
WITH t AS (
    SELECT (t->>'id')::uuid AS id, t->>'status' AS status, t->'roles' AS roles, t->'members' AS members
    FROM jsonb_array_elements($1) t
), r AS (
    SELECT t.id AS tenant, r->>'key' AS key, r FROM t, jsonb_array_elements(t.roles) r
), m AS (
    SELECT t.id AS tenant, (m->>'id')::uuid AS id, m->>'status' AS status, m
    FROM t, jsonb_array_elements(t.members) m WHERE m->>'status' <> 'gone'
), tenants AS (
    INSERT INTO tenancy.tenants (id, name, status) SELECT id, 'made up', status FROM t
), epochs AS (
    INSERT INTO tenancy.tenant_epoch (tenant_id) SELECT id FROM t
), members AS (
    INSERT INTO tenancy.memberships (tenant_id, user_id, status) SELECT tenant, id, status FROM m
), roles AS (
    INSERT INTO tenancy.roles (tenant_id, key, name) SELECT tenant, key, 'x' FROM r
), grants AS (
    INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
    SELECT tenant, key, g FROM r, jsonb_array_elements_text(r->'grants') g
)
INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key, expires_at)
SELECT tenant, id, a->>'key', now() + (a->>'hours')::integer * interval '1 h'
FROM m, jsonb_array_elements(m->'roles') a
