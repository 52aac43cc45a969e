-- role: worker
-- Makes a stream, if there is none. Parameters: name; tenant or none; whether from the first entry.
SELECT tenancy.audit_stream_open($1, $2, $3)
