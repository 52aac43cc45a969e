-- role: app
-- Makes several changes of the policy of the context's tenant as one step. $1 changes, as JSON.
-- Answers a word, what it is about, which change is refused, and how it was before, for each.
SELECT outcome, detail, refused_at, before FROM tenancy.change_policy($1)
