-- role: app
-- Lets a role of the context's tenant grant what another one grants. $1 role, $2 parent.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.add_role_parent($1, $2)
