-- role: operator
-- Brings the next tenants that are behind the registry up to date. $1 the tenant to go on after, $2 how many
-- at most. Answers the last that was looked at, how many followed, how many of their roles were upgraded, or
-- left because they were edited, how many tenants failed, and the first of those with its error.
-- Index: primary key of role_state.
SELECT last, tenants, upgraded, edited, failed, first_failed, first_error FROM tenancy.catch_up_tenants($1, $2)
