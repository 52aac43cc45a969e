-- role: operator (tenancy_owner)
-- The next adoptions of a tenant's log that name as lost what lies between two numbers: what one names is sorted.
-- Parameters: tenant; the adoption behind which to go on; the least and the greatest number. Index: primary key.
SELECT id, number, entries, loose, lost_numbers, lost_hashes, reason, adopted_at, key_name, signature
FROM tenancy.audit_adoptions
WHERE tenant_id = $1 AND id > $2 AND lost_numbers[1] <= $4 AND lost_numbers[cardinality(lost_numbers)] >= $3
ORDER BY id LIMIT 10
