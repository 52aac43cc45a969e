-- role: app
-- Makes these the roles of a member of the context's tenant. $1 user, $2 roles.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.set_member_roles($1, $2)
