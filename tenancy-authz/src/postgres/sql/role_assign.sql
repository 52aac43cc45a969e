-- role: app
-- Gives a role to a member of the context's tenant. $1 role, $2 user, $3 until when (or NULL).
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.assign_role($2, $1, $3)
