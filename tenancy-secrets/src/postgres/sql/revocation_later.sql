-- role: app
-- Puts a revocation off after a try that failed. $1 tenant, $2 id, $3 seconds. Index: primary key.
UPDATE tenancy.oauth_revocations
SET attempts = attempts + 1, due_at = clock_timestamp() + make_interval(secs => $3)
WHERE tenant_id = $1 AND id = $2
