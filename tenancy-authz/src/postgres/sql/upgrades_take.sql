-- role: app
-- Takes the next upgrades of roles of the context's tenant that are not in the audit log. $1 how many at
-- most. Index: role_upgrades_unrecorded.
SELECT role_key, version, outcome, before, after FROM tenancy.take_upgrades($1)
