-- role: operator (tenancy_owner)
-- Whether anything was ever sealed, and from which id on entries without a seal are looked for. No parameters.
SELECT begun, oldest FROM tenancy.audit_adopt_start()
