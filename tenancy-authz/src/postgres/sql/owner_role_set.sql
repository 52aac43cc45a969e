-- role: app
-- Lets the role `owner` follow the ownership of a member. $1 user, $2 whether he is an owner.
-- Answers a word, what it is about, and how it was before.
SELECT outcome, detail, before FROM tenancy.set_owner_role($1, $2)
