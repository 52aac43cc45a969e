-- role: app
-- Which texts have no vector yet, neither staged nor in a chunk of the same source. Chunks of other
-- sources don't count: how many vectors an upload asks for would tell its uploader what they say.
-- $1 tenant, $2 ingestion, $3 generation, $4 hashes, $5 source.
-- Index: primary keys of kb_staged and kb_docs, kb_chunks_hash.
SELECT n.hash
FROM unnest($4::bytea[]) AS n (hash)
WHERE NOT EXISTS (
        SELECT FROM tenancy.kb_staged s
        WHERE s.tenant_id = $1 AND s.ingestion_id = $2 AND s.content_hash = n.hash)
  AND NOT EXISTS (
        SELECT FROM tenancy.kb_chunks c
        JOIN tenancy.kb_docs d ON d.tenant_id = $1 AND d.id = c.doc_id AND d.source_id = $5
        WHERE c.tenant_id = $1 AND c.content_hash = n.hash AND c.generation = $3)
