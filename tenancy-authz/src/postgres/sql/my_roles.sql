-- role: app
-- The roles the transaction's user has now, sorted. $1 tenant. Index: primary key of member_roles.
SELECT util.my_roles($1)
