-- role: app
-- Gives the context's tenant another slug. $1 slug, $2 how long the old one is kept, $3 how many are.
-- Answers a word and the slug it had.
SELECT answer, old_slug FROM tenancy.change_slug($1, $2, $3)
