-- role: app
-- Changes the name of a role of the context's tenant. $1 key, $2 name.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.rename_role($1, $2)
