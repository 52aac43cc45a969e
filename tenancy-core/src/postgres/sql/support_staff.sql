-- role: operator
-- Says who is of the support staff, as the owner of the schema. $1 user, $2 whether he is.
SELECT tenancy.set_support_staff($1, $2)
