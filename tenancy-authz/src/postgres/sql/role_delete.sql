-- role: app
-- Deletes a role of the context's tenant and retires its key. $1 key.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.delete_role($1)
