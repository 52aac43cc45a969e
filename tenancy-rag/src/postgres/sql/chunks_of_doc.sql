-- role: app
-- A document's chunks without texts and vectors. $1 tenant, $2 document. Index: kb_chunks_doc.
SELECT id, ordinal, byte_start, byte_end, content_hash
FROM tenancy.kb_chunks
WHERE tenant_id = $1 AND doc_id = $2
ORDER BY ordinal
