-- role: app
-- Makes a role in the context's tenant. $1 key, $2 name.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.create_role($1, $2)
