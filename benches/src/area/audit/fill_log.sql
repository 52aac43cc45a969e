-- Entries of many tenants, spread over the months that there are; each second one is the first tenant's.
-- $1: the first tenant, $2: the first number, $3: the last one, $4: how many in all, $5: how many months ago the first was.
INSERT INTO tenancy.audit_logs (
    tenant_id, id, actor_user_id, actor_kind, actor_id, action, resource, outcome, targets, context, personal,
    commitments, request_id, meta, schema_version, content_hash, created_at)
SELECT
    CASE WHEN n % 2 = 0 THEN $1 ELSE md5('tenant' || n % 199)::uuid END,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
    actor::uuid, 'user', actor::uuid::text,
    'topic' || k % 11 || '.done' || k % 101,
    'template:' || k % 50000,
    CASE WHEN k % 47 = 0 THEN 'denied' ELSE 'allowed' END,
    jsonb_build_array(jsonb_build_object('id', (k % 50000)::text, 'kind', 'template')),
    '{"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}',
    '{"ip": ["c2FsdHNhbHRzYWx0c2FsdA", "192.0.2.7"]}',
    '{"ip": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"}',
    md5('request' || n / 3)::uuid,
    jsonb_build_object('at', n, 'fields', '["name", "body"]'::jsonb),
    1, sha256(h::bytea), at
FROM (
    SELECT n, hashint8(n)::bigint & 2147483647 AS k, md5(n::text) AS h,
        md5('actor' || (hashint8(n + 7) & 2047)) AS actor,
        now() - (now() - date_trunc('month', now() - make_interval(months => $5)) - interval '1 hour') * (1 - n::float8 / $4) AS at
    FROM generate_series($2::bigint, $3::bigint) AS n
) AS numbers
