-- role: app
-- The roles of a member of the context's tenant that have not ended, which nobody else changes until the
-- transaction ends. $1 user. Index: primary key of member_roles.
SELECT tenancy.lock_held_roles($1)
