-- role: app
-- Gives the context's tenant its default roles, and its owner the role `owner`. $1 owner.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.seed_roles($1)
