-- role: worker
-- Takes or keeps a stream. Parameters: name; the fence held, or 0; for how many seconds.
SELECT state, fence, failures, code, wait_ms, below FROM tenancy.audit_stream_hold($1, $2, $3)
