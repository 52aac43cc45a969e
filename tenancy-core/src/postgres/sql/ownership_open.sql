-- role: app
-- The offer that can be accepted now. $1 tenant. Index: ownership_offers_open.
SELECT id, from_user, to_user, expires_at
FROM tenancy.ownership_offers
WHERE tenant_id = $1 AND status = 'open' AND expires_at > clock_timestamp()
