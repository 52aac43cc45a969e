-- role: app
-- What a token opens. $1 hash of the token. Index: primary key of invitation_tokens.
SELECT tenant_id, id, email, role_keys, status, invited_by, expires_at, accepted_by, replaced, tenant_status
FROM tenancy.open_invitation($1)
