-- role: worker
-- Notes a failure. Parameters: name; fence; code; milliseconds to wait; whether to park.
SELECT tenancy.audit_stream_fail($1, $2, $3, $4, $5)
