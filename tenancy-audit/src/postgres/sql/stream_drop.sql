-- role: worker
-- Forgets a stream. Parameters: name.
SELECT tenancy.audit_stream_drop($1)
