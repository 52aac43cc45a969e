-- The audit log: one append-only table, partitioned by the month that each entry's uuid v7 names.
-- Nothing refers to it and it refers to nothing, so that entries outlive users and tenants.

SET LOCAL ROLE tenancy_owner;

CREATE TABLE tenancy.audit_logs (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    actor_user_id uuid,
    actor_kind text NOT NULL CHECK (actor_kind IN ('user', 'service', 'api_key')),
    actor_id text COLLATE "C" NOT NULL CHECK (octet_length(actor_id) BETWEEN 1 AND 128),
    on_behalf_of uuid,
    action text COLLATE "C" NOT NULL CHECK (octet_length(action) BETWEEN 3 AND 127),
    resource text COLLATE "C" CHECK (octet_length(resource) <= 640),
    outcome text NOT NULL CHECK (outcome IN ('allowed', 'denied', 'error')),
    targets jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(targets) = 'array'),
    context jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(context) = 'object'),
    -- Details about a person, each as [salt, value]. Only the commitments enter the hash, so that
    -- a detail can be erased and the entry still proves to be the one that was written.
    personal jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(personal) = 'object'),
    commitments jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(commitments) = 'object'),
    request_id uuid,
    meta jsonb NOT NULL DEFAULT '{}'
        CHECK (jsonb_typeof(meta) = 'object' AND pg_column_size(meta) <= 1048576),
    redacted boolean NOT NULL DEFAULT false,
    truncated boolean NOT NULL DEFAULT false,
    -- The shape of the entry and the bytes that were hashed.
    schema_version smallint NOT NULL CHECK (schema_version >= 1),
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    -- Which transaction wrote it: everything below the oldest running one is final.
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    -- The id's time is the writer's; it may not hide an entry in another month.
    CONSTRAINT audit_logs_id_time CHECK (
        get_byte(uuid_send(id), 6) >> 4 = 7
        AND abs(
            date_part('epoch', created_at) * 1000
            - ((get_byte(uuid_send(id), 0)::bigint << 40) | (get_byte(uuid_send(id), 1)::bigint << 32)
                | (get_byte(uuid_send(id), 2)::bigint << 24) | (get_byte(uuid_send(id), 3)::bigint << 16)
                | (get_byte(uuid_send(id), 4)::bigint << 8) | get_byte(uuid_send(id), 5)::bigint)
        ) <= 86400000
    )
) PARTITION BY RANGE (id);

CREATE INDEX audit_logs_action ON tenancy.audit_logs (tenant_id, action, id);
CREATE INDEX audit_logs_actor ON tenancy.audit_logs (tenant_id, actor_id, id);
CREATE INDEX audit_logs_resource ON tenancy.audit_logs (tenant_id, resource, id) WHERE resource IS NOT NULL;
CREATE INDEX audit_logs_request ON tenancy.audit_logs (tenant_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX audit_logs_not_allowed ON tenancy.audit_logs (tenant_id, outcome, id) WHERE outcome <> 'allowed';

-- Append and read, nothing else. The columns that the database fills are not granted.
SELECT tenancy.protect_table('tenancy.audit_logs', '{select,insert}');
REVOKE INSERT ON tenancy.audit_logs FROM tenancy_app;
GRANT INSERT (
    tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
    targets, context, personal, commitments, request_id, meta, redacted, truncated,
    schema_version, content_hash
) ON tenancy.audit_logs TO tenancy_app;

-- Nobody signs with another's name: the actor is the one of the transaction's context.
DROP POLICY tenant_insert ON tenancy.audit_logs;
CREATE POLICY tenant_insert ON tenancy.audit_logs FOR INSERT TO tenancy_app WITH CHECK (
    tenant_id = util.current_tenant()
    AND actor_kind = util.current_actor_kind()
    AND actor_id = util.current_actor_id()
    AND actor_user_id IS NOT DISTINCT FROM
        CASE WHEN util.current_actor_kind() = 'user' THEN util.current_actor_id()::uuid END
    AND on_behalf_of IS NOT DISTINCT FROM util.current_on_behalf_of()
);

-- Catches what no month covers. It should stay empty.
CREATE TABLE tenancy.audit_logs_default PARTITION OF tenancy.audit_logs DEFAULT;
ALTER TABLE tenancy.audit_logs_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON tenancy.audit_logs_default FROM PUBLIC;

-- The smallest uuid v7 of an instant.
CREATE FUNCTION tenancy.uuid_v7_floor(p_at timestamptz) RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (lpad(to_hex((extract(epoch FROM p_at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
REVOKE EXECUTE ON FUNCTION tenancy.uuid_v7_floor(timestamptz) FROM PUBLIC;

-- Makes the partitions from last month up to p_ahead months from now. A new one is filled in on
-- the side and then attached, so that readers and writers are not locked out. For each month it
-- answers 'made', 'there', 'blocked' (rows of that month lie in the default partition) or 'busy'
-- (a lock could not be had: ask again).
--
-- The one definer function that belongs to tenancy_owner: only a table's owner makes partitions.
-- It takes a number and touches no row.
CREATE FUNCTION tenancy.audit_make_partitions(p_ahead integer)
    RETURNS TABLE (partition_name text, state text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '3s'
AS $$
DECLARE
    this_month timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
    starts timestamp;
BEGIN
    IF p_ahead IS NULL OR p_ahead NOT BETWEEN 1 AND 120 THEN
        RAISE EXCEPTION 'between 1 and 120 months can be made ahead, not %', p_ahead;
    END IF;
    FOR step IN -1 .. p_ahead LOOP
        starts := this_month + make_interval(months => step);
        partition_name := 'audit_logs_' || to_char(starts, '"y"YYYY"m"MM');
        state := 'there';
        IF to_regclass(format('tenancy.%I', partition_name)) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE TABLE tenancy.%I (LIKE tenancy.audit_logs INCLUDING ALL)', partition_name);
                EXECUTE format('ALTER TABLE tenancy.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', partition_name);
                EXECUTE format('REVOKE ALL ON tenancy.%I FROM PUBLIC', partition_name);
                EXECUTE format('ALTER TABLE tenancy.audit_logs ATTACH PARTITION tenancy.%I FOR VALUES FROM (%L) TO (%L)',
                    partition_name,
                    tenancy.uuid_v7_floor(starts AT TIME ZONE 'UTC'),
                    tenancy.uuid_v7_floor((starts + interval '1 month') AT TIME ZONE 'UTC'));
                -- Where there is the second net: triggers on rows go with the parent, this one does not.
                IF to_regprocedure('tenancy.audit_refuse_change()') IS NOT NULL THEN
                    EXECUTE format('CREATE TRIGGER audit_append_only_all BEFORE TRUNCATE ON tenancy.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION tenancy.audit_refuse_change()', partition_name);
                END IF;
                state := 'made';
            EXCEPTION
                WHEN duplicate_table OR unique_violation THEN NULL;
                WHEN check_violation THEN state := 'blocked';
                WHEN lock_not_available OR deadlock_detected THEN state := 'busy';
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.audit_make_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.audit_make_partitions(integer) TO tenancy_worker;

SELECT tenancy.audit_make_partitions(12);

SET LOCAL ROLE NONE;
