-- role: app
-- How many of the newest entries that a search finds belong to each group, the largest first. Planned and
-- indexed as the search.
-- Parameters: tenant; ids from (inclusive) and to (exclusive); actor kind and id; action; action from and
-- to; resource; resource from and to; outcome; request; how many; a snapshot; a target; a network; what the
-- text must be like; and what must not be: actors (`kind:id`), actions, resources (all like), targets,
-- outcomes, requests, networks, what the text is like.
-- And by what to group: action, day, outcome, or nothing.
SELECT found.name, count(*) AS entries
FROM (
    SELECT CASE $27::text
        WHEN 'action' THEN action
        WHEN 'outcome' THEN outcome
        WHEN 'day' THEN to_char(to_timestamp(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)
            AT TIME ZONE 'UTC', 'YYYY-MM-DD')
        ELSE ''
    END AS name
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
    ORDER BY id DESC
    LIMIT $14
) AS found
GROUP BY found.name
ORDER BY entries DESC, found.name
