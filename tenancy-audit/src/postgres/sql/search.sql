-- role: app
-- A page of entries. Planned for the values at hand (sent as an unnamed statement), so
-- that a filter that is NULL disappears and the best index is taken:
-- primary key, audit_logs_action, _actor, _resource, _request, _not_allowed.
-- Parameters: tenant; ids from (inclusive) and to (exclusive); actor kind and id; action; action from and
-- to; resource; resource from and to; outcome; request; how many; a snapshot; a target; a network; what the
-- text must be like; and what must not be: actors (`kind:id`), actions, resources (all like), targets,
-- outcomes, requests, networks, what the text is like. (An address is what programs take for one: without a mask,
-- without zeros in front, which some read as octal, and with all of its numbers.) And whether the newest come first: planned for a value, one of
-- the two keys of the order is constant or the same as the other.
SELECT tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
       targets, context, personal, commitments, request_id, meta, redacted, truncated,
       schema_version, content_hash, created_at
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
  AND ($15::text IS NULL OR pg_visible_in_snapshot(txid, $15::text::pg_snapshot))
  AND ($16::jsonb IS NULL OR targets @> $16)
  AND ($17::text IS NULL OR CASE WHEN pg_input_is_valid(personal #>> '{ip,1}', 'inet')
      AND personal #>> '{ip,1}' !~ '/|^0[0-9]+[.]|[.]0[0-9]|:[0-9]+([.][0-9]+){1,2}$'
      THEN (personal #>> '{ip,1}')::inet <<= $17::text::inet ELSE false END)
  AND ($18::text[] IS NULL OR lower(concat_ws(' ', action, coalesce(resource, ''), meta::text) COLLATE "C") LIKE ALL ($18))
  AND ($19::text[] IS NULL OR actor_kind || ':' || actor_id <> ALL ($19))
  AND ($20::text[] IS NULL OR action NOT LIKE ALL ($20))
  AND ($21::text[] IS NULL OR coalesce(resource, '') NOT LIKE ALL ($21))
  AND ($22::jsonb[] IS NULL OR NOT EXISTS (SELECT FROM unnest($22) AS t (target) WHERE targets @> t.target))
  AND ($23::text[] IS NULL OR outcome <> ALL ($23))
  AND ($24::uuid[] IS NULL OR request_id IS NULL OR request_id <> ALL ($24))
  AND ($25::text[] IS NULL OR NOT CASE WHEN pg_input_is_valid(personal #>> '{ip,1}', 'inet')
      AND personal #>> '{ip,1}' !~ '/|^0[0-9]+[.]|[.]0[0-9]|:[0-9]+([.][0-9]+){1,2}$'
      THEN (personal #>> '{ip,1}')::inet <<= ANY ($25::text[]::inet[]) ELSE false END)
  AND ($26::text[] IS NULL OR lower(concat_ws(' ', action, coalesce(resource, ''), meta::text) COLLATE "C") NOT LIKE ALL ($26))
ORDER BY CASE WHEN $27 THEN id END DESC, id
LIMIT $14
