-- role: app
-- Deletes a token that needs not be taken back any more. $1 tenant, $2 id. Index: primary key.
DELETE FROM tenancy.oauth_revocations WHERE tenant_id = $1 AND id = $2
