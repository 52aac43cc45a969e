-- role: app
-- The whole policy of a tenant and its epoch, in one statement so that they belong together.
-- $1 tenant. Indexes: primary keys of the tables involved.
SELECT e.epoch,
    (
        SELECT coalesce(jsonb_object_agg(r.key, jsonb_build_object(
            'name', r.name,
            'grants', ARRAY(
                SELECT g.permission_key FROM tenancy.role_permissions g
                WHERE g.tenant_id = $1 AND g.role_key = r.key AND g.is_direct
                UNION ALL
                SELECT w.pattern FROM tenancy.role_wildcards w
                WHERE w.tenant_id = $1 AND w.role_key = r.key
            ),
            'parents', ARRAY(
                SELECT p.parent_key FROM tenancy.role_parents p
                WHERE p.tenant_id = $1 AND p.role_key = r.key
            )
        )), '{}')
        FROM tenancy.roles r
        WHERE r.tenant_id = $1 AND r.key <> 'owner'
    ) AS roles,
    (
        SELECT coalesce(jsonb_object_agg(m.user_id, m.roles), '{}')
        FROM (
            SELECT user_id, jsonb_object_agg(role_key, expires_at) AS roles
            FROM tenancy.member_roles
            WHERE tenant_id = $1 AND (expires_at IS NULL OR expires_at > statement_timestamp())
            GROUP BY user_id
        ) m
    ) AS members
FROM tenancy.tenant_epoch e
WHERE e.tenant_id = $1
