-- role: app
-- What is committed, as a snapshot.
SELECT pg_current_snapshot()::text
