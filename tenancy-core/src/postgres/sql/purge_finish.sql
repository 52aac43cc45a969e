-- role: app
-- Leaves the tombstone of the context's tenant. $1 how long its slugs are kept from others.
-- Answers what the purge has removed; no row if there is none.
SELECT answer, started_at, finished_at, forced, started_by, counts FROM tenancy.finish_purge($1)
