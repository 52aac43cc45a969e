-- role: worker
-- Gives a stream back. Parameters: name; fence.
SELECT tenancy.audit_stream_release($1, $2)
