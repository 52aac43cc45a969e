-- role: app
-- Makes the tenant of the context, with its slug and first owner. $1 slug, $2 name, $3 owner.
-- Answers `ok`, `slug_taken` or `tenant_exists`.
SELECT tenancy.create_tenant($1, $2, $3)
