-- role: app
-- Makes a role like another one of the context's tenant. $1 the other one, $2 key, $3 name.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.clone_role($1, $2, $3)
