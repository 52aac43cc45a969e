-- role: worker
-- Tries a parked stream again. Parameters: name.
SELECT tenancy.audit_stream_resume($1)
