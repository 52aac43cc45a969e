-- role: app
-- Gives a new member the roles of an invitation he accepted. $1 member, $2 who invited, $3 roles.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.assign_invited($1, $2, $3)
