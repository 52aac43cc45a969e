-- role: worker
-- Goes on behind an entry. Parameters: name; fence; transaction, tenant and id; how many were delivered; for
-- how many seconds to keep the stream.
SELECT tenancy.audit_stream_advance($1, $2, $3, $4, $5, $6, $7)
