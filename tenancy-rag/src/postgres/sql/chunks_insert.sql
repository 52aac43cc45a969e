-- role: app
-- New chunks, each with the vector that was staged for its text or that another chunk of the same
-- text and the same source has. A chunk without a vector is left out: the caller counts.
-- $1 tenant, $2 ingestion, $3 document, $4 version, $5 generation, $6 roles; and one array a
-- column: $7 ids, $8 ordinals, $9 starts, $10 ends, $11 and $12 origins, $13 pages, $14 headings,
-- $15 contents, $16 hashes; $17 source. Index: primary keys of kb_staged and kb_docs, kb_chunks_hash.
INSERT INTO tenancy.kb_chunks (tenant_id, id, doc_id, version, generation, ordinal, byte_start,
    byte_end, origin_start, origin_end, page, heading, content, content_hash, allowed_roles, embedding)
SELECT $1, n.id, $3, $4, $5, n.ordinal, n.byte_start, n.byte_end, n.origin_start, n.origin_end,
    n.page, n.heading, n.content, n.content_hash, $6, v.embedding
FROM unnest($7::uuid[], $8::integer[], $9::integer[], $10::integer[], $11::integer[],
    $12::integer[], $13::integer[], $14::text[], $15::text[], $16::bytea[])
    AS n (id, ordinal, byte_start, byte_end, origin_start, origin_end, page, heading, content, content_hash)
CROSS JOIN LATERAL (
    SELECT s.embedding FROM tenancy.kb_staged s
    WHERE s.tenant_id = $1 AND s.ingestion_id = $2 AND s.content_hash = n.content_hash
    UNION ALL
    (SELECT c.embedding FROM tenancy.kb_chunks c
    JOIN tenancy.kb_docs d ON d.tenant_id = $1 AND d.id = c.doc_id AND d.source_id = $17
    WHERE c.tenant_id = $1 AND c.content_hash = n.content_hash AND c.generation = $5
    LIMIT 1)
    LIMIT 1
) v
