-- Data keys, sealed secrets and keys of subjects, and the runs that move them from one key to the next.

SET LOCAL ROLE tenancy_owner;

-- A tenant's data keys, each wrapped by a key that never comes here. One seals; older ones open.
CREATE TABLE tenancy.tenant_data_keys (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    key_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'active', 'decrypt_only', 'destroyed')),
    kek_id text COLLATE "C" NOT NULL CHECK (char_length(kek_id) BETWEEN 1 AND 100),
    wrapped bytea CHECK (octet_length(wrapped) BETWEEN 1 AND 8192),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    activated_at timestamptz,
    retired_at timestamptz,
    destroyed_at timestamptz,
    PRIMARY KEY (tenant_id, key_id),
    CHECK ((state = 'destroyed') = (wrapped IS NULL)),
    CHECK ((state = 'destroyed') = (destroyed_at IS NOT NULL))
);
CREATE UNIQUE INDEX tenant_data_keys_active ON tenancy.tenant_data_keys (tenant_id) WHERE state = 'active';
SELECT tenancy.protect_table('tenancy.tenant_data_keys', '{select}');
SELECT tenancy.admit_definer('tenancy.tenant_data_keys');

-- `encrypted` is the envelope: {"v": 1, "envelope": "<base64>"}. The envelope names its key in
-- bytes 3 to 18; it can't be filed under another one.
CREATE TABLE tenancy.integration_secrets (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    provider text COLLATE "C" NOT NULL CHECK (provider ~ '^[a-z][a-z0-9_]{0,62}$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    field text COLLATE "C" NOT NULL CHECK (field ~ '^[a-z][a-z0-9_]{0,62}$'),
    -- Set for the tokens of an OAuth connection, which the vault does not hand out by name.
    connection_id uuid,
    encrypted jsonb NOT NULL CHECK (
        jsonb_typeof(encrypted) = 'object' AND encrypted ->> 'v' = '1'
        AND char_length(encrypted ->> 'envelope') BETWEEN 132 AND 90000
        AND substring(decode(encrypted ->> 'envelope', 'base64') FROM 3 FOR 16) = uuid_send(key_id)
    ),
    key_id uuid NOT NULL,
    -- Counts the values the secret has had; sealed into the envelope.
    version bigint NOT NULL CHECK (version >= 1),
    -- Counts every rewrite of the row, re-encryption included: the compare-and-set of writers.
    generation bigint NOT NULL CHECK (generation >= 1),
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenancy.tenant_data_keys (tenant_id, key_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX integration_secrets_path ON tenancy.integration_secrets (tenant_id, provider, name, field);
CREATE INDEX integration_secrets_key ON tenancy.integration_secrets (tenant_id, key_id, id);
SELECT tenancy.protect_table('tenancy.integration_secrets', '{select,delete}');
SELECT tenancy.admit_definer('tenancy.integration_secrets');

-- A key for each subject whose data may have to be erased, sealed under the tenant's data key. The
-- subject's name is kept as a hash only. One that was erased leaves its row, without the key.
CREATE TABLE tenancy.subject_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    subject_hash bytea NOT NULL CHECK (octet_length(subject_hash) = 32),
    encrypted jsonb CHECK (
        jsonb_typeof(encrypted) = 'object' AND encrypted ->> 'v' = '1'
        AND substring(decode(encrypted ->> 'envelope', 'base64') FROM 3 FOR 16) = uuid_send(key_id)
    ),
    key_id uuid,
    -- Counts the rewrites of the row: the compare-and-set of a rotation.
    generation bigint NOT NULL DEFAULT 1 CHECK (generation >= 1),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenancy.tenant_data_keys (tenant_id, key_id) ON DELETE CASCADE,
    CHECK ((encrypted IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((encrypted IS NULL) = (key_id IS NULL))
);
CREATE UNIQUE INDEX subject_keys_subject ON tenancy.subject_keys (tenant_id, subject_hash);
CREATE INDEX subject_keys_key ON tenancy.subject_keys (tenant_id, key_id, id);
SELECT tenancy.protect_table('tenancy.subject_keys', '{select}');
SELECT tenancy.admit_definer('tenancy.subject_keys');

-- One row for each change of a tenant's data key. An unfinished one is resumed, never doubled.
CREATE TABLE tenancy.rotation_runs (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    to_key uuid NOT NULL,
    state text NOT NULL DEFAULT 'added' CHECK (state IN ('added', 'promoted', 'done')),
    -- The last row looked at; the run goes on behind it.
    cursor uuid,
    done bigint NOT NULL DEFAULT 0,
    total bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, to_key) REFERENCES tenancy.tenant_data_keys (tenant_id, key_id) ON DELETE CASCADE,
    CHECK ((state = 'done') = (finished_at IS NOT NULL))
);
CREATE UNIQUE INDEX rotation_runs_open ON tenancy.rotation_runs (tenant_id) WHERE state <> 'done';
SELECT tenancy.protect_table('tenancy.rotation_runs', '{select}');
SELECT tenancy.admit_definer('tenancy.rotation_runs');

-- ---------------------------------------------------------------------------------------------
-- For the app role, in a tenant's context. Rows are written by functions only, because each
-- write has to hold the lock that keeps its key from being retired at the same moment.
-- ---------------------------------------------------------------------------------------------

SET LOCAL ROLE tenancy_definer;

-- Stores the tenant's first key. The one that is active afterwards may be somebody else's.
CREATE FUNCTION tenancy.install_data_key(p_key uuid, p_kek text, p_wrapped bytea) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    INSERT INTO tenancy.tenant_data_keys (tenant_id, key_id, state, kek_id, wrapped, activated_at)
    VALUES (this_tenant, p_key, 'active', p_kek, p_wrapped, clock_timestamp())
    ON CONFLICT (tenant_id) WHERE state = 'active' DO NOTHING;
    RETURN (SELECT key_id FROM tenancy.tenant_data_keys WHERE tenant_id = this_tenant AND state = 'active');
END
$$;

-- Whether the key may seal. Holds it in that state until the transaction ends: a promotion waits
-- for every write under the old key, and a write that comes later is told.
CREATE FUNCTION tenancy.hold_data_key(p_tenant uuid, p_key uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM tenancy.tenant_data_keys
    WHERE tenant_id = p_tenant AND key_id = p_key AND state = 'active'
    FOR SHARE;
    RETURN FOUND;
END
$$;

-- Stores a secret: a new one where p_generation is 0, else the one that has this generation.
-- 'ok', 'key_retired', or 'stale' where the row has moved on or the name is taken.
CREATE FUNCTION tenancy.put_secret(
    p_id uuid, p_provider text, p_name text, p_field text, p_connection uuid,
    p_encrypted jsonb, p_key uuid, p_version bigint, p_generation bigint
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    IF NOT tenancy.hold_data_key(this_tenant, p_key) THEN
        RETURN 'key_retired';
    END IF;
    IF p_generation = 0 THEN
        INSERT INTO tenancy.integration_secrets
            (tenant_id, id, provider, name, field, connection_id, encrypted, key_id, version, generation, created_by)
        VALUES (this_tenant, p_id, p_provider, p_name, p_field, p_connection, p_encrypted, p_key, p_version, 1,
            util.current_user_id())
        ON CONFLICT DO NOTHING;
    ELSE
        UPDATE tenancy.integration_secrets
        SET encrypted = p_encrypted, key_id = p_key, version = p_version, generation = generation + 1,
            updated_at = clock_timestamp()
        WHERE tenant_id = this_tenant AND id = p_id AND generation = p_generation
          AND provider = p_provider AND field = p_field
          AND connection_id IS NOT DISTINCT FROM p_connection;
    END IF;
    RETURN CASE WHEN FOUND THEN 'ok' ELSE 'stale' END;
END
$$;

-- Stores a subject's key: 'ok', 'key_retired', or 'stale' where the subject has one, or had.
CREATE FUNCTION tenancy.put_subject_key(p_id uuid, p_subject bytea, p_encrypted jsonb, p_key uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    IF NOT tenancy.hold_data_key(this_tenant, p_key) THEN
        RETURN 'key_retired';
    END IF;
    INSERT INTO tenancy.subject_keys (tenant_id, id, subject_hash, encrypted, key_id)
    VALUES (this_tenant, p_id, p_subject, p_encrypted, p_key)
    ON CONFLICT DO NOTHING;
    RETURN CASE WHEN FOUND THEN 'ok' ELSE 'stale' END;
END
$$;

-- Destroys a subject's key for good; p_id is for a subject that never had one. Answers the row that
-- was changed, or NULL where nothing was left to erase.
CREATE FUNCTION tenancy.erase_subject_key(p_id uuid, p_subject bytea) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    erased pg_catalog.uuid;
BEGIN
    INSERT INTO tenancy.subject_keys AS k (tenant_id, id, subject_hash, erased_at)
    VALUES (this_tenant, p_id, p_subject, clock_timestamp())
    ON CONFLICT (tenant_id, subject_hash) DO UPDATE
    SET encrypted = NULL, key_id = NULL, erased_at = clock_timestamp(), generation = k.generation + 1
    WHERE k.erased_at IS NULL
    RETURNING k.id INTO erased;
    RETURN erased;
END
$$;

-- ---------------------------------------------------------------------------------------------
-- For the worker role, across tenants. What passes through is sealed or wrapped.
-- ---------------------------------------------------------------------------------------------

-- The tenants that have a data key, in order, after the one given.
CREATE FUNCTION tenancy.tenants_with_data_keys(p_after uuid, p_limit integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tenant_id FROM tenancy.tenant_data_keys
    WHERE state = 'active' AND (p_after IS NULL OR tenant_id > p_after)
    ORDER BY tenant_id
    LIMIT p_limit
$$;

-- Opens a run with a new key, or finds the one that was left unfinished. The locked key keeps two
-- who begin at once apart.
CREATE FUNCTION tenancy.begin_rotation(p_tenant uuid, p_run uuid, p_key uuid, p_kek text, p_wrapped bytea)
    RETURNS TABLE (id uuid, to_key uuid, state text, cursor uuid, done bigint, total bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM tenancy.tenant_data_keys k
    WHERE k.tenant_id = p_tenant AND k.state = 'active'
    FOR UPDATE;
    IF NOT EXISTS (SELECT FROM tenancy.rotation_runs r WHERE r.tenant_id = p_tenant AND r.state <> 'done') THEN
        INSERT INTO tenancy.tenant_data_keys (tenant_id, key_id, state, kek_id, wrapped)
        VALUES (p_tenant, p_key, 'pending', p_kek, p_wrapped);
        INSERT INTO tenancy.rotation_runs (tenant_id, id, to_key, total)
        SELECT p_tenant, p_run, p_key,
            (SELECT count(*) FROM tenancy.integration_secrets s WHERE s.tenant_id = p_tenant)
            + (SELECT count(*) FROM tenancy.subject_keys k WHERE k.tenant_id = p_tenant AND k.key_id IS NOT NULL);
    END IF;
    RETURN QUERY
        SELECT r.id, r.to_key, r.state, r.cursor, r.done, r.total
        FROM tenancy.rotation_runs r WHERE r.tenant_id = p_tenant AND r.state <> 'done';
END
$$;

-- From here on the new key seals. Waits for writers that hold the old one.
CREATE FUNCTION tenancy.promote_data_key(p_tenant uuid, p_run uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_key pg_catalog.uuid;
BEGIN
    UPDATE tenancy.rotation_runs SET state = 'promoted'
    WHERE tenant_id = p_tenant AND id = p_run AND state = 'added'
    RETURNING to_key INTO new_key;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE tenancy.tenant_data_keys SET state = 'decrypt_only', retired_at = clock_timestamp()
    WHERE tenant_id = p_tenant AND state = 'active';
    UPDATE tenancy.tenant_data_keys SET state = 'active', activated_at = clock_timestamp()
    WHERE tenant_id = p_tenant AND key_id = new_key AND state = 'pending';
    RETURN true;
END
$$;

CREATE FUNCTION tenancy.wrapped_data_key(p_tenant uuid, p_key uuid)
    RETURNS TABLE (kek_id text, wrapped bytea)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.kek_id, k.wrapped FROM tenancy.tenant_data_keys k
    WHERE k.tenant_id = p_tenant AND k.key_id = p_key AND k.state <> 'destroyed'
$$;

-- The next sealed rows that are not yet under the run's key: secrets, and keys of subjects, which
-- have a subject's hash and no provider.
CREATE FUNCTION tenancy.rotation_batch(p_tenant uuid, p_run uuid, p_limit integer)
    RETURNS TABLE (
        id uuid, provider text, field text, subject_hash bytea, encrypted jsonb, key_id uuid, version bigint,
        generation bigint
    )
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.id, u.provider, u.field, u.subject_hash, u.encrypted, u.key_id, u.version, u.generation
    FROM tenancy.rotation_runs r
    CROSS JOIN LATERAL (
        (SELECT s.id, s.provider, s.field, NULL::bytea AS subject_hash, s.encrypted, s.key_id, s.version, s.generation
        FROM tenancy.integration_secrets s
        WHERE s.tenant_id = r.tenant_id AND s.key_id <> r.to_key AND (r.cursor IS NULL OR s.id > r.cursor)
        ORDER BY s.id LIMIT p_limit)
        UNION ALL
        (SELECT k.id, NULL, NULL, k.subject_hash, k.encrypted, k.key_id, 1, k.generation
        FROM tenancy.subject_keys k
        WHERE k.tenant_id = r.tenant_id AND k.key_id <> r.to_key AND (r.cursor IS NULL OR k.id > r.cursor)
        ORDER BY k.id LIMIT p_limit)
    ) u
    WHERE r.tenant_id = p_tenant AND r.id = p_run AND r.state = 'promoted'
    ORDER BY u.id
    LIMIT p_limit
$$;

-- Puts a batch back under the run's key, and the run's cursor with it. A row that somebody wrote
-- meanwhile keeps what he wrote. Answers how many rows were replaced.
CREATE FUNCTION tenancy.store_rotated(
    p_tenant uuid, p_run uuid, p_cursor uuid,
    p_ids uuid[], p_old_keys uuid[], p_generations bigint[], p_encrypted jsonb[]
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_key pg_catalog.uuid;
    moved bigint;
    moved_subjects bigint;
BEGIN
    SELECT r.to_key INTO new_key FROM tenancy.rotation_runs r
    WHERE r.tenant_id = p_tenant AND r.id = p_run AND r.state = 'promoted'
    FOR UPDATE;
    IF NOT FOUND OR NOT tenancy.hold_data_key(p_tenant, new_key) THEN
        RETURN NULL;
    END IF;
    UPDATE tenancy.integration_secrets s
    SET encrypted = b.encrypted, key_id = new_key, generation = s.generation + 1
    FROM unnest(p_ids, p_old_keys, p_generations, p_encrypted) AS b (id, old_key, generation, encrypted)
    WHERE s.tenant_id = p_tenant AND s.id = b.id AND s.key_id = b.old_key AND s.generation = b.generation;
    GET DIAGNOSTICS moved = ROW_COUNT;
    UPDATE tenancy.subject_keys k
    SET encrypted = b.encrypted, key_id = new_key, generation = k.generation + 1
    FROM unnest(p_ids, p_old_keys, p_generations, p_encrypted) AS b (id, old_key, generation, encrypted)
    WHERE k.tenant_id = p_tenant AND k.id = b.id AND k.key_id = b.old_key AND k.generation = b.generation;
    GET DIAGNOSTICS moved_subjects = ROW_COUNT;
    moved := moved + moved_subjects;
    UPDATE tenancy.rotation_runs r SET cursor = p_cursor, done = r.done + moved
    WHERE r.tenant_id = p_tenant AND r.id = p_run;
    RETURN moved;
END
$$;

-- Ends the run if no row is left under another key; else sends its cursor back to the start.
-- Answers how many rows are left.
CREATE FUNCTION tenancy.finish_rotation(p_tenant uuid, p_run uuid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    left_over bigint;
BEGIN
    SELECT (SELECT count(*) FROM tenancy.integration_secrets s
            WHERE s.tenant_id = r.tenant_id AND s.key_id <> r.to_key)
        + (SELECT count(*) FROM tenancy.subject_keys k WHERE k.tenant_id = r.tenant_id AND k.key_id <> r.to_key)
    INTO left_over
    FROM tenancy.rotation_runs r
    WHERE r.tenant_id = p_tenant AND r.id = p_run;
    UPDATE tenancy.rotation_runs r
    SET state = CASE WHEN left_over = 0 THEN 'done' ELSE r.state END,
        finished_at = CASE WHEN left_over = 0 THEN clock_timestamp() END,
        cursor = NULL
    WHERE r.tenant_id = p_tenant AND r.id = p_run AND r.state = 'promoted';
    RETURN left_over;
END
$$;

-- Data keys that are wrapped by another key than the primary one.
CREATE FUNCTION tenancy.data_keys_to_rewrap(p_primary text, p_after_tenant uuid, p_after_key uuid, p_limit integer)
    RETURNS TABLE (tenant_id uuid, key_id uuid, kek_id text, wrapped bytea)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.tenant_id, k.key_id, k.kek_id, k.wrapped
    FROM tenancy.tenant_data_keys k
    WHERE k.kek_id <> p_primary AND k.state <> 'destroyed'
      AND (p_after_tenant IS NULL OR (k.tenant_id, k.key_id) > (p_after_tenant, p_after_key))
    ORDER BY k.tenant_id, k.key_id
    LIMIT p_limit
$$;

CREATE FUNCTION tenancy.rewrap_data_key(
    p_tenant uuid, p_key uuid, p_old_kek text, p_new_kek text, p_wrapped bytea
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tenancy.tenant_data_keys SET kek_id = p_new_kek, wrapped = p_wrapped
    WHERE tenant_id = p_tenant AND key_id = p_key AND kek_id = p_old_kek AND state <> 'destroyed';
    RETURN FOUND;
END
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.install_data_key(uuid, text, bytea),
    tenancy.put_secret(uuid, text, text, text, uuid, jsonb, uuid, bigint, bigint),
    tenancy.put_subject_key(uuid, bytea, jsonb, uuid),
    tenancy.erase_subject_key(uuid, bytea)
TO tenancy_app;

GRANT EXECUTE ON FUNCTION
    tenancy.tenants_with_data_keys(uuid, integer),
    tenancy.begin_rotation(uuid, uuid, uuid, text, bytea),
    tenancy.promote_data_key(uuid, uuid),
    tenancy.wrapped_data_key(uuid, uuid),
    tenancy.rotation_batch(uuid, uuid, integer),
    tenancy.store_rotated(uuid, uuid, uuid, uuid[], uuid[], bigint[], jsonb[]),
    tenancy.finish_rotation(uuid, uuid),
    tenancy.data_keys_to_rewrap(text, uuid, uuid, integer),
    tenancy.rewrap_data_key(uuid, uuid, text, text, bytea)
TO tenancy_worker;

SET LOCAL ROLE NONE;
