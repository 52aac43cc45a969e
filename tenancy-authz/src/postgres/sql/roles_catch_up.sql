-- role: operator
-- Brings the next tenants that are behind the registry up to date. $1 how many at most. Answers how
-- many tenants were, and how many of their roles were upgraded, or left because they were edited.
-- Index: primary key of role_state.
SELECT tenants, upgraded, edited FROM tenancy.catch_up_roles($1)
