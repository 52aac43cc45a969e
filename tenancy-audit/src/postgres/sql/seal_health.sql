-- role: worker
-- How far the sealer is, and whether the default partition has been used. No parameters.
SELECT waiting_since, begun, restored, stray_entries FROM tenancy.audit_seal_health()
