-- role: app
-- Takes a role from a member of the context's tenant. $1 role, $2 user.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.unassign_role($2, $1)
