-- role: app
-- Answers an invitation. $1 hash of the token, $2 user, $3 his address normalised, $4 `accepted` or
-- `declined`, $5 whether one who is kept out comes in again. Answers a word.
SELECT tenancy.answer_invitation($1, $2, $3, $4, $5)
