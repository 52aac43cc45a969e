-- role: operator
-- Registers role templates and permissions. $1 templates, $2 permissions, both as JSON. Answers a
-- word, what it is about, and the keys that are new.
SELECT outcome, detail, added FROM tenancy.register_permissions($1, $2)
