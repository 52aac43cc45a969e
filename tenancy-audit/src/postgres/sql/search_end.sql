-- role: app
-- The entry at which a search with filters that no index serves is cut short: the last of
-- so many that the other filters leave; none if there are fewer. Indexes as those of the search.
-- Parameters: tenant; ids from (inclusive) and to (exclusive); actor kind and id; action; action from and
-- to; resource; resource from and to; outcome; request; how many to pass over. And whether
-- the newest come first.
SELECT id
FROM tenancy.audit_logs
WHERE tenant_id = $1
  AND id >= $2
  AND id < $3
  AND ($4::text IS NULL OR actor_kind = $4)
  AND ($5::text IS NULL OR actor_id = $5)
  AND ($6::text IS NULL OR action = $6)
  AND ($7::text IS NULL OR action >= $7)
  AND ($8::text IS NULL OR action < $8)
  AND ($9::text IS NULL OR resource = $9)
  AND ($10::text IS NULL OR resource >= $10)
  AND ($11::text IS NULL OR resource < $11)
  AND ($12::text IS NULL OR outcome = $12)
  AND ($13::uuid IS NULL OR request_id = $13)
ORDER BY CASE WHEN $15 THEN id END DESC, id
OFFSET $14
LIMIT 1
