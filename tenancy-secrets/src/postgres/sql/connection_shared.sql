-- role: app
-- Whether another connection, of whatever tenant, lives on the same account's grant.
-- $1 connection. Index: oauth_connections_shared.
SELECT tenancy.oauth_account_shared($1)
