-- role: app
-- Whether roles exist and the transaction's principal may grant each of them. $1 roles.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.may_grant_roles(NULL, $1)
