-- role: operator
-- One migration run at a time in this database; ends with the transaction. The number is arbitrary.
SELECT pg_advisory_xact_lock(7366354870)
