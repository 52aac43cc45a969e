-- One HNSW over the chunks of all tenants. Tenant and roles are filtered behind it: measured with
-- 200 tenants of very different sizes, its defaults found 53 of the 100 best chunks, and 36 % of
-- the questions got no answer at all. The retriever does not choose it by itself.
SET LOCAL ROLE tenancy_owner;

CREATE INDEX kb_chunks_hnsw_global ON tenancy.kb_chunks
    USING hnsw ((embedding::halfvec(1536)) halfvec_cosine_ops);

SET LOCAL ROLE NONE;
