-- role: app
-- Lets a role of the context's tenant grant all below a prefix. $1 role, $2 wildcard.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.grant_wildcard($1, $2)
