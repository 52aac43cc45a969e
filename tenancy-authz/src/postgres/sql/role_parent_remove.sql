-- role: app
-- Takes a parent from a role of the context's tenant. $1 role, $2 parent.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.remove_role_parent($1, $2)
