-- role: worker
-- Forgets slugs that are nobody's any more; how many. $1 how many at most. Index: tenant_slugs_former.
SELECT tenancy.free_slugs($1)
