-- role: app
-- Chunks whose text stays, at the places they have in the new version.
-- $1 tenant, $2 version, $3 roles; and one array a column: $4 ids, $5 ordinals, $6 starts, $7 ends,
-- $8 and $9 origins, $10 pages, $11 headings. Index: primary key.
UPDATE tenancy.kb_chunks c
SET version = $2, allowed_roles = $3, ordinal = n.ordinal, byte_start = n.byte_start,
    byte_end = n.byte_end, origin_start = n.origin_start, origin_end = n.origin_end,
    page = n.page, heading = n.heading
FROM unnest($4::uuid[], $5::integer[], $6::integer[], $7::integer[], $8::integer[], $9::integer[],
    $10::integer[], $11::text[])
    AS n (id, ordinal, byte_start, byte_end, origin_start, origin_end, page, heading)
WHERE c.tenant_id = $1 AND c.id = n.id
