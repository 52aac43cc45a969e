-- role: app
-- Takes a wildcard from a role of the context's tenant. $1 role, $2 wildcard.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.revoke_wildcard($1, $2)
