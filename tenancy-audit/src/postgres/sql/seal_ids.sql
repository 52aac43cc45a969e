-- role: app
-- The next seals by the least of their ids. Parameters: tenant; the least id and the number of the seal behind
-- which to go on; up to which id. Index: audit_seals_starts.
SELECT number, id_min, id_max, ids FROM tenancy.audit_seals
WHERE tenant_id = $1 AND (id_min, number) > ($2, $3) AND id_min <= $4
ORDER BY id_min, number LIMIT 16
