-- role: app
-- Ends the tenant's ingestions that nobody works on any more; answers how many.
-- No parameters. Index: kb_ingestions_open.
SELECT tenancy.kb_reap()
