-- role: operator
-- Adds to the platform's log what an operator did. Index: platform_log_event.
-- $1 kind, $2 code, $3 tenant (or NULL), $4 who acted (or NULL: this login), $5 from where (or NULL).
INSERT INTO tenancy.platform_log AS l
    (minute, kind, code, tenant_named, actor, address, count, first_at, last_at)
SELECT date_trunc('minute', e.at, 'UTC'), $1::text, $2::text, $3::uuid,
    coalesce($4::text, 'operator:' || session_user), $5::text::inet, 1, e.at, e.at
FROM (SELECT clock_timestamp() AS at) e
ON CONFLICT ON CONSTRAINT platform_log_event DO UPDATE
SET count = l.count + 1, last_at = greatest(l.last_at, excluded.last_at)
