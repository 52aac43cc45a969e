-- Sources, documents, chunks with their vectors, quotas and ingestions.
--
-- Rows that hold what a document says carry the document's allowed_roles, and their policies show
-- them only to a transaction that was opened with one of these roles: SQL that forgets every
-- predicate gets nothing that its caller may not see. No roles are no rows.

SET LOCAL ROLE tenancy_owner;

CREATE TABLE tenancy.kb_sources (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    -- Who may add, replace and remove its documents, whether he may read them or not. None: nobody but
    -- holders of `kb.manage` and the host's services.
    writer_roles text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
SELECT tenancy.protect_table('tenancy.kb_sources');

-- Which model a tenant's vectors come from. Vectors of two models never meet in one generation.
CREATE TABLE tenancy.kb_generations (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    generation integer NOT NULL CHECK (generation > 0),
    model text COLLATE "C" NOT NULL CHECK (char_length(model) BETWEEN 1 AND 200),
    dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 1536),
    active boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, generation)
);
CREATE UNIQUE INDEX kb_generations_active ON tenancy.kb_generations (tenant_id) WHERE active;
SELECT tenancy.protect_table('tenancy.kb_generations', '{select,insert}');

-- Limits (NULL: the host's default), what is stored, and what running ingestions have reserved.
CREATE TABLE tenancy.kb_quotas (
    tenant_id uuid PRIMARY KEY REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    limit_bytes bigint CHECK (limit_bytes >= 0),
    limit_docs bigint CHECK (limit_docs >= 0),
    limit_chunks bigint CHECK (limit_chunks >= 0),
    used_bytes bigint NOT NULL DEFAULT 0 CHECK (used_bytes >= 0),
    used_docs bigint NOT NULL DEFAULT 0 CHECK (used_docs >= 0),
    used_chunks bigint NOT NULL DEFAULT 0 CHECK (used_chunks >= 0),
    held_bytes bigint NOT NULL DEFAULT 0 CHECK (held_bytes >= 0),
    held_docs bigint NOT NULL DEFAULT 0 CHECK (held_docs >= 0),
    held_chunks bigint NOT NULL DEFAULT 0 CHECK (held_chunks >= 0)
);
SELECT tenancy.protect_table('tenancy.kb_quotas', '{select,insert,update}');
-- The app counts; the limits are set by the function below, for parts of the host alone.
REVOKE INSERT, UPDATE ON tenancy.kb_quotas FROM tenancy_app;
GRANT INSERT (tenant_id), UPDATE (used_bytes, used_docs, used_chunks, held_bytes, held_docs, held_chunks)
    ON tenancy.kb_quotas TO tenancy_app;

CREATE TABLE tenancy.kb_docs (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    source_id uuid NOT NULL,
    uri text COLLATE "C" NOT NULL CHECK (octet_length(uri) BETWEEN 1 AND 2000),
    title text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 500),
    media_type text NOT NULL CHECK (char_length(media_type) BETWEEN 3 AND 200),
    -- The version whose text and chunks are stored; the others are gone.
    version integer NOT NULL CHECK (version > 0),
    generation integer NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    bytes bigint NOT NULL CHECK (bytes > 0),
    chunk_count integer NOT NULL CHECK (chunk_count > 0),
    -- The truth; texts and chunks have a copy, changed in the same transaction.
    allowed_roles text[] NOT NULL CHECK (cardinality(allowed_roles) > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, source_id, uri),
    FOREIGN KEY (tenant_id, source_id) REFERENCES tenancy.kb_sources (tenant_id, id) ON DELETE RESTRICT,
    FOREIGN KEY (tenant_id, generation) REFERENCES tenancy.kb_generations (tenant_id, generation)
        ON DELETE RESTRICT
);

-- The text that citations point into and, where that was taken out of something else (HTML, PDF),
-- the upload itself.
CREATE TABLE tenancy.kb_doc_versions (
    tenant_id uuid NOT NULL,
    doc_id uuid NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    text text NOT NULL CHECK (octet_length(text) > 0),
    original bytea,
    allowed_roles text[] NOT NULL CHECK (cardinality(allowed_roles) > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, doc_id, version),
    FOREIGN KEY (tenant_id, doc_id) REFERENCES tenancy.kb_docs (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE tenancy.kb_chunks (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    doc_id uuid NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    generation integer NOT NULL,
    ordinal integer NOT NULL CHECK (ordinal >= 0),
    -- Bytes of the version's text, the end excluded.
    byte_start integer NOT NULL CHECK (byte_start >= 0),
    byte_end integer NOT NULL,
    -- Bytes of the upload, where that is not the text and the place is known.
    origin_start integer,
    origin_end integer,
    page integer CHECK (page > 0),
    heading text,
    content text NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    allowed_roles text[] NOT NULL CHECK (cardinality(allowed_roles) > 0),
    embedding vector(1536) NOT NULL,
    -- One bit a dimension, in the row itself: a search reads these first, and few of the vectors.
    embedding_bits bit(1536) NOT NULL
        GENERATED ALWAYS AS (binary_quantize(embedding)::bit(1536)) STORED,
    PRIMARY KEY (tenant_id, id),
    CHECK (byte_end - byte_start = octet_length(content) AND byte_end > byte_start),
    CHECK ((origin_start IS NULL) = (origin_end IS NULL) AND origin_end >= origin_start),
    FOREIGN KEY (tenant_id, doc_id) REFERENCES tenancy.kb_docs (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE tenancy.kb_chunks ALTER COLUMN embedding_bits SET STORAGE PLAIN;
CREATE INDEX kb_chunks_doc ON tenancy.kb_chunks (tenant_id, doc_id, ordinal);
CREATE INDEX kb_chunks_hash ON tenancy.kb_chunks (tenant_id, content_hash);

-- One run of an upload through extraction, chunking and embedding: its counters are the progress.
CREATE TABLE tenancy.kb_ingestions (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    source_id uuid NOT NULL,
    uri text COLLATE "C" NOT NULL CHECK (octet_length(uri) BETWEEN 1 AND 2000),
    title text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 500),
    media_type text NOT NULL CHECK (char_length(media_type) BETWEEN 3 AND 200),
    allowed_roles text[] NOT NULL CHECK (cardinality(allowed_roles) > 0),
    started_by text NOT NULL,
    stage text NOT NULL DEFAULT 'receiving' CHECK (stage IN
        ('receiving', 'queued', 'extracting', 'chunking', 'embedding', 'publishing', 'done', 'failed')),
    bytes_received bigint NOT NULL DEFAULT 0,
    chunks_total integer NOT NULL DEFAULT 0,
    chunks_ready integer NOT NULL DEFAULT 0,
    chunks_embedded integer NOT NULL DEFAULT 0,
    embed_calls integer NOT NULL DEFAULT 0,
    embed_retries integer NOT NULL DEFAULT 0,
    held_bytes bigint NOT NULL DEFAULT 0 CHECK (held_bytes >= 0),
    held_docs bigint NOT NULL DEFAULT 0 CHECK (held_docs >= 0),
    held_chunks bigint NOT NULL DEFAULT 0 CHECK (held_chunks >= 0),
    doc_id uuid,
    doc_version integer,
    error_code text,
    error_message text,
    -- Past this time nobody works on it any more, and what it holds is given back.
    lease_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, source_id) REFERENCES tenancy.kb_sources (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX kb_ingestions_open ON tenancy.kb_ingestions (tenant_id, lease_until)
    WHERE stage NOT IN ('done', 'failed');
CREATE INDEX kb_ingestions_ended ON tenancy.kb_ingestions (tenant_id, updated_at)
    WHERE stage IN ('done', 'failed');

-- The upload in parts, until it is published or given up.
CREATE TABLE tenancy.kb_uploads (
    tenant_id uuid NOT NULL,
    ingestion_id uuid NOT NULL,
    part integer NOT NULL CHECK (part >= 0),
    bytes bytea NOT NULL CHECK (octet_length(bytes) > 0),
    allowed_roles text[] NOT NULL CHECK (cardinality(allowed_roles) > 0),
    PRIMARY KEY (tenant_id, ingestion_id, part),
    FOREIGN KEY (tenant_id, ingestion_id) REFERENCES tenancy.kb_ingestions (tenant_id, id)
        ON DELETE CASCADE
);

-- Vectors of chunks that no reader sees yet.
CREATE TABLE tenancy.kb_staged (
    tenant_id uuid NOT NULL,
    ingestion_id uuid NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    embedding vector(1536) NOT NULL,
    allowed_roles text[] NOT NULL CHECK (cardinality(allowed_roles) > 0),
    PRIMARY KEY (tenant_id, ingestion_id, content_hash),
    FOREIGN KEY (tenant_id, ingestion_id) REFERENCES tenancy.kb_ingestions (tenant_id, id)
        ON DELETE CASCADE
);

-- Whoever may write may add rows for any role; to see, change or remove one takes one of its
-- roles. UPDATE and DELETE say so themselves: without a WHERE they do not consult the SELECT
-- policy.
DO $$
DECLARE
    this_table text;
    command text;
BEGIN
    FOREACH this_table IN ARRAY ARRAY['kb_docs', 'kb_doc_versions', 'kb_chunks', 'kb_uploads', 'kb_staged'] LOOP
        PERFORM tenancy.protect_table(format('tenancy.%I', this_table)::regclass, '{insert}');
        FOREACH command IN ARRAY ARRAY['select', 'update', 'delete'] LOOP
            EXECUTE format(
                'CREATE POLICY %I ON tenancy.%I FOR %s TO tenancy_app '
                'USING (tenant_id = util.current_tenant() AND allowed_roles && util.current_roles()) %s',
                'tenant_' || command, this_table, command,
                CASE WHEN command = 'update' THEN 'WITH CHECK (tenant_id = util.current_tenant())' END);
            EXECUTE format('GRANT %s ON tenancy.%I TO tenancy_app', command, this_table);
        END LOOP;
    END LOOP;
END
$$;

-- An ingestion is seen by whoever started it, too: he may not be a reader of what he brought.
SELECT tenancy.protect_table('tenancy.kb_ingestions', '{insert}');
CREATE POLICY tenant_select ON tenancy.kb_ingestions FOR SELECT TO tenancy_app
    USING (tenant_id = util.current_tenant()
        AND (started_by = util.current_actor_id() OR allowed_roles && util.current_roles()));
CREATE POLICY tenant_update ON tenancy.kb_ingestions FOR UPDATE TO tenancy_app
    USING (tenant_id = util.current_tenant()
        AND (started_by = util.current_actor_id() OR allowed_roles && util.current_roles()))
    WITH CHECK (tenant_id = util.current_tenant());
CREATE POLICY tenant_delete ON tenancy.kb_ingestions FOR DELETE TO tenancy_app
    USING (tenant_id = util.current_tenant()
        AND (started_by = util.current_actor_id() OR allowed_roles && util.current_roles()));
GRANT SELECT, UPDATE, DELETE ON tenancy.kb_ingestions TO tenancy_app;

SELECT tenancy.admit_definer('tenancy.kb_docs');
SELECT tenancy.admit_definer('tenancy.kb_quotas');
SELECT tenancy.admit_definer('tenancy.kb_ingestions');
SELECT tenancy.admit_definer('tenancy.kb_uploads');
SELECT tenancy.admit_definer('tenancy.kb_staged');

SET LOCAL ROLE tenancy_definer;

-- Sets the limits of the context's tenant, which has its row of counters. A tenant's own members and
-- keys don't raise their quotas.
CREATE FUNCTION tenancy.kb_set_limits(p_bytes bigint, p_docs bigint, p_chunks bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF util.current_actor_kind() IS DISTINCT FROM 'service' THEN
        RETURN 'not_platform';
    END IF;
    UPDATE tenancy.kb_quotas SET limit_bytes = p_bytes, limit_docs = p_docs, limit_chunks = p_chunks
    WHERE tenant_id = util.current_tenant();
    RETURN CASE WHEN FOUND THEN 'ok' ELSE 'no_tenant' END;
END
$$;

-- A document by its place, whoever may read it: an ingestion by a writer of the source has to know that
-- it exists. Answers nothing that the document says.
CREATE FUNCTION tenancy.kb_find_doc(p_source uuid, p_uri text)
    RETURNS TABLE (id uuid, allowed_roles text[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.id, d.allowed_roles
    FROM tenancy.kb_docs d
    WHERE d.tenant_id = util.current_tenant() AND d.source_id = p_source AND d.uri = p_uri
$$;

-- The source and the roles of a document, whoever may read it, to decide who may change it.
CREATE FUNCTION tenancy.kb_doc_place(p_doc uuid) RETURNS TABLE (source_id uuid, allowed_roles text[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.source_id, d.allowed_roles FROM tenancy.kb_docs d
    WHERE d.tenant_id = util.current_tenant() AND d.id = p_doc
$$;

-- Ends the tenant's ingestions that nobody works on any more, and gives back what they hold; forgets
-- those that ended more than 30 days ago, 1,000 at a time. Answers how many were ended.
CREATE FUNCTION tenancy.kb_reap() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    ended uuid[];
    bytes bigint;
    docs bigint;
    chunks bigint;
BEGIN
    DELETE FROM tenancy.kb_ingestions i
    WHERE i.tenant_id = this_tenant AND i.id = ANY (ARRAY(
        SELECT o.id FROM tenancy.kb_ingestions o
        WHERE o.tenant_id = this_tenant AND o.stage IN ('done', 'failed')
          AND o.updated_at < clock_timestamp() - interval '30 days'
        ORDER BY o.updated_at
        LIMIT 1000
        FOR UPDATE SKIP LOCKED));
    WITH dead AS (
        UPDATE tenancy.kb_ingestions i
        SET stage = 'failed', error_code = 'abandoned',
            error_message = 'the process that worked on it went away',
            updated_at = clock_timestamp()
        WHERE i.tenant_id = this_tenant AND i.stage NOT IN ('done', 'failed')
          AND i.lease_until < clock_timestamp()
        RETURNING i.id, i.held_bytes, i.held_docs, i.held_chunks
    )
    SELECT array_agg(d.id), sum(d.held_bytes), sum(d.held_docs), sum(d.held_chunks)
    INTO ended, bytes, docs, chunks
    FROM dead d;
    IF ended IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM tenancy.kb_uploads u WHERE u.tenant_id = this_tenant AND u.ingestion_id = ANY (ended);
    DELETE FROM tenancy.kb_staged s WHERE s.tenant_id = this_tenant AND s.ingestion_id = ANY (ended);
    UPDATE tenancy.kb_quotas q
    SET held_bytes = q.held_bytes - bytes, held_docs = q.held_docs - docs, held_chunks = q.held_chunks - chunks
    WHERE q.tenant_id = this_tenant;
    RETURN cardinality(ended);
END
$$;

-- Across tenants, for the operator who builds indexes: who has how many chunks.
CREATE FUNCTION tenancy.kb_large_tenants(p_min_chunks bigint)
    RETURNS TABLE (tenant_id uuid, chunks bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT q.tenant_id, q.used_chunks
    FROM tenancy.kb_quotas q
    WHERE q.used_chunks >= p_min_chunks
    ORDER BY q.used_chunks DESC, q.tenant_id
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.kb_set_limits(bigint, bigint, bigint),
    tenancy.kb_find_doc(uuid, text),
    tenancy.kb_doc_place(uuid),
    tenancy.kb_reap()
TO tenancy_app;
GRANT EXECUTE ON FUNCTION tenancy.kb_large_tenants(bigint) TO tenancy_owner;

SET LOCAL ROLE NONE;
