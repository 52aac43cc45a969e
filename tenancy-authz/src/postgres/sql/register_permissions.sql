-- role: operator
-- Registers role templates and permissions for every tenant. $1 templates, $2 permissions, both as
-- JSON. Answers the keys that are new.
SELECT tenancy.register_permissions($1, $2)
