-- role: operator (tenancy_owner)
-- Whether anything was ever sealed; from which id on entries are looked for that the sealer has not come to, and from
-- which on also such that it has passed; which entry it has passed. No parameters.
SELECT begun, oldest, recent, at_txid, at_tenant, at_entry FROM tenancy.audit_adopt_start()
