-- role: app
-- One invitation. $1 tenant, $2 id. Index: primary key of invitations.
SELECT id, email, role_keys, expires_at,
    CASE WHEN status = 'pending' AND expires_at <= clock_timestamp() THEN 'expired' ELSE status END AS status
FROM tenancy.invitations
WHERE tenant_id = $1 AND id = $2
