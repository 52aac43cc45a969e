-- role: app
-- Gives a state out once, before any tenant is entered.
-- $1 hash of the state. Index: primary key.
SELECT tenant_id, id, user_id, provider, scopes, return_to, browser_hash, connection_id, verifier, expired
FROM tenancy.take_oauth_state($1)
