-- role: app
-- Whether a connection, of whatever tenant, lives on the account's grant.
-- $1 connection. Index: oauth_connections_shared.
SELECT tenancy.oauth_account_shared($1)
