-- role: app
-- Lets a role of the context's tenant no longer grant a permission. $1 role, $2 permission.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.revoke_permission($1, $2)
