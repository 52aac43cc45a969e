-- role: app
-- Ends the tenant's ingestions that nobody works on any more, and forgets old ones; answers how many
-- were ended. No parameters. Index: kb_ingestions_open, kb_ingestions_ended.
SELECT tenancy.kb_reap()
