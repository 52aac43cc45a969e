-- The job queue: a lean table of what is to be done, and beside it what became of the rest.
-- A job is in exactly one of `jobs`, `job_dead` and `job_history`.

SET LOCAL ROLE tenancy_owner;

-- ---------------------------------------------------------------------------------------------
-- What is to be done. Rows live for as long as their job does. No foreign key to tenants: it would
-- lock the tenant's row at every enqueue.
-- ---------------------------------------------------------------------------------------------

CREATE TABLE tenancy.jobs (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    -- The process that has it. A fresh one for each start, so that a restart is never taken for
    -- the process that died.
    worker_id uuid,
    request_id uuid,
    run_at timestamptz NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    timeout_ms integer NOT NULL CHECK (timeout_ms > 0),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    max_attempts integer NOT NULL CHECK (max_attempts >= 1),
    priority smallint NOT NULL DEFAULT 0,
    state text COLLATE "C" NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'scheduled', 'running')),
    queue text COLLATE "C" NOT NULL CHECK (octet_length(queue) BETWEEN 1 AND 63),
    kind text COLLATE "C" NOT NULL CHECK (octet_length(kind) BETWEEN 1 AND 127),
    key_hash bytea CHECK (octet_length(key_hash) = 32),
    payload jsonb NOT NULL,
    -- Who enqueued it: the job acts as him and is checked again.
    principal jsonb NOT NULL,
    -- Why the last try failed.
    error_code text,
    error text,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT jobs_running_has_worker CHECK ((state = 'running') = (worker_id IS NOT NULL))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The next tenant with work is one probe, and within a tenant the next job is one more.
CREATE INDEX jobs_ready ON tenancy.jobs (queue, tenant_id, priority, run_at, id) WHERE state = 'ready';
-- What runs, by worker; and what waits for its time, under no worker.
CREATE INDEX jobs_held ON tenancy.jobs (worker_id, run_at) WHERE state <> 'ready';

SELECT tenancy.protect_table('tenancy.jobs', '{select,insert}');
-- What the queue itself decides can't be claimed by an INSERT.
REVOKE INSERT ON tenancy.jobs FROM tenancy_app;
GRANT INSERT (
    tenant_id, id, request_id, run_at, timeout_ms, max_attempts, priority, state, queue, kind,
    key_hash, payload, principal
) ON tenancy.jobs TO tenancy_app;
-- Nobody enqueues in another's name, or with more rights than the context brings.
DROP POLICY tenant_insert ON tenancy.jobs;
CREATE POLICY tenant_insert ON tenancy.jobs FOR INSERT TO tenancy_app WITH CHECK (
    tenant_id = util.current_tenant()
    AND request_id IS NOT DISTINCT FROM util.current_request_id()
    AND tenancy.is_current_principal(principal)
);
SELECT tenancy.admit_definer('tenancy.jobs');

-- Idempotency keys outlive the row of their job: unlimited while it lives, then for a while.
CREATE TABLE tenancy.job_keys (
    tenant_id uuid NOT NULL,
    key_hash bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    job_id uuid NOT NULL,
    retain_seconds integer NOT NULL CHECK (retain_seconds >= 0),
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, key_hash)
);
CREATE INDEX job_keys_expired ON tenancy.job_keys (expires_at) WHERE expires_at IS NOT NULL;
SELECT tenancy.protect_table('tenancy.job_keys', '{select,insert,update}');
SELECT tenancy.admit_definer('tenancy.job_keys');

-- How far a job is, and where a batch goes on. Kept for a job that may be tried again.
CREATE TABLE tenancy.job_progress (
    tenant_id uuid NOT NULL,
    job_id uuid NOT NULL,
    done bigint NOT NULL CHECK (done >= 0),
    total bigint CHECK (total >= 0),
    cursor jsonb,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, job_id)
) WITH (fillfactor = 50);
SELECT tenancy.protect_table('tenancy.job_progress', '{select}');
SELECT tenancy.admit_definer('tenancy.job_progress');

-- Jobs that failed for good or may no longer run: kept whole until somebody retries or drops them.
CREATE TABLE tenancy.job_dead (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    request_id uuid,
    enqueued_at timestamptz NOT NULL,
    started_at timestamptz,
    died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    timeout_ms integer NOT NULL,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    priority smallint NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('failed', 'parked')),
    queue text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key_hash bytea,
    payload jsonb NOT NULL,
    principal jsonb NOT NULL,
    error_code text,
    error text,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX job_dead_age ON tenancy.job_dead (died_at);
SELECT tenancy.protect_table('tenancy.job_dead', '{select}');
SELECT tenancy.admit_definer('tenancy.job_dead');

-- What ended. Append-only; old months are dropped whole.
CREATE TABLE tenancy.job_history (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    request_id uuid,
    enqueued_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done bigint,
    total bigint,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    priority smallint NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('succeeded', 'failed', 'cancelled')),
    queue text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    principal jsonb NOT NULL,
    result jsonb,
    error_code text,
    error text,
    PRIMARY KEY (tenant_id, id, finished_at)
) PARTITION BY RANGE (finished_at);
SELECT tenancy.protect_table('tenancy.job_history', '{select}');
SELECT tenancy.admit_definer('tenancy.job_history');

-- Catches what no month covers, so that a job can always end.
CREATE TABLE tenancy.job_history_default PARTITION OF tenancy.job_history DEFAULT;
SELECT tenancy.protect_table('tenancy.job_history_default', '{}');

-- One row a process, not one a job: a heartbeat is one update however many jobs it holds.
CREATE TABLE tenancy.job_workers (
    id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    dead_after_ms integer NOT NULL CHECK (dead_after_ms > 0),
    queue text COLLATE "C" NOT NULL,
    name text NOT NULL
) WITH (fillfactor = 50);
SELECT tenancy.admit_definer('tenancy.job_workers');

-- What the host decides about a tenant's share; a tenant without a row has weight 1 and no limit.
CREATE TABLE tenancy.job_policies (
    tenant_id uuid PRIMARY KEY,
    weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    max_in_flight integer CHECK (max_in_flight >= 1),
    paused boolean NOT NULL DEFAULT false
);
SELECT tenancy.protect_table('tenancy.job_policies', '{select}');
SELECT tenancy.admit_definer('tenancy.job_policies');

-- ---------------------------------------------------------------------------------------------
-- Months of the history, made and dropped by the operator.
-- ---------------------------------------------------------------------------------------------

-- Makes the partition of a month (UTC). False: it is there, or the default partition already
-- holds rows of that month. It is made on the side and then attached, so that jobs go on ending.
CREATE FUNCTION tenancy.job_history_add_month(p_month date) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '3s'
AS $$
DECLARE
    first_day date := pg_catalog.date_trunc('month', p_month)::date;
    partition text := 'job_history_' || pg_catalog.to_char(first_day, 'YYYYMM');
BEGIN
    IF pg_catalog.to_regclass('tenancy.' || partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE tenancy.%I (LIKE tenancy.job_history INCLUDING ALL)', partition);
    PERFORM tenancy.protect_table(('tenancy.' || partition)::pg_catalog.regclass, '{}');
    EXECUTE format('ALTER TABLE tenancy.job_history ATTACH PARTITION tenancy.%I FOR VALUES FROM (%L) TO (%L)',
        partition, first_day || ' 00:00:00+00', (first_day + interval '1 month')::date || ' 00:00:00+00');
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RETURN false;
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.job_history_add_month(date) FROM PUBLIC;

-- Drops the months that ended before a day; answers how many. The default partition stays.
CREATE FUNCTION tenancy.job_history_drop_before(p_day date) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition text;
    dropped integer := 0;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tenancy.job_history'::pg_catalog.regclass
          AND c.relname ~ '^job_history_[0-9]{6}$'
          AND c.relname < 'job_history_' || pg_catalog.to_char(p_day, 'YYYYMM')
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE tenancy.%I', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.job_history_drop_before(date) FROM PUBLIC;

-- The first year; the operator makes the months after it.
SELECT tenancy.job_history_add_month((now() AT TIME ZONE 'UTC' + make_interval(months => ahead))::date)
FROM generate_series(0, 12) AS ahead;

SET LOCAL ROLE tenancy_definer;

-- ---------------------------------------------------------------------------------------------
-- Workers.
-- ---------------------------------------------------------------------------------------------

CREATE FUNCTION tenancy.job_worker_register(p_worker uuid, p_queue text, p_name text, p_dead_after_ms integer)
    RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO tenancy.job_workers (id, queue, name, dead_after_ms)
    VALUES (p_worker, p_queue, p_name, p_dead_after_ms)
$$;

-- False: it was taken for dead, and its jobs are somebody else's by now.
CREATE FUNCTION tenancy.job_worker_beat(p_worker uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tenancy.job_workers SET beat_at = clock_timestamp() WHERE id = p_worker;
    RETURN FOUND;
END
$$;

-- What the worker has and may go on with: jobs of a tenant that was suspended meanwhile are left
-- out, so that their handlers are told to stop.
CREATE FUNCTION tenancy.job_worker_owns(p_worker uuid)
    RETURNS TABLE (tenant_id uuid, id uuid, attempt integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT j.tenant_id, j.id, j.attempt
    FROM tenancy.jobs j
    WHERE j.worker_id = p_worker AND j.state <> 'ready'
      AND (SELECT t.status FROM tenancy.tenants t WHERE t.id = j.tenant_id) = 'active'
$$;

-- Hands back what the worker still has, as if it had not been started, and takes it off the list.
CREATE FUNCTION tenancy.job_worker_retire(p_worker uuid) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    handed_back integer;
BEGIN
    UPDATE tenancy.jobs
    SET state = 'ready', worker_id = NULL, started_at = NULL, attempt = greatest(attempt - 1, 0)
    WHERE worker_id = p_worker AND state <> 'ready';
    GET DIAGNOSTICS handed_back = ROW_COUNT;
    DELETE FROM tenancy.job_workers WHERE id = p_worker;
    RETURN handed_back;
END
$$;

-- Gives the jobs of dead workers to others. A worker without a row is dead too. Rows that a
-- running transaction holds are left: it is about to end the job or to commit a step of it.
CREATE FUNCTION tenancy.jobs_sweep() RETURNS TABLE (workers integer, jobs integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM tenancy.job_workers w
    USING (
        SELECT d.id FROM tenancy.job_workers d
        WHERE d.beat_at + d.dead_after_ms * interval '1 millisecond' < clock_timestamp()
        FOR UPDATE SKIP LOCKED
    ) dead
    WHERE w.id = dead.id;
    GET DIAGNOSTICS workers = ROW_COUNT;

    UPDATE tenancy.jobs j
    SET state = 'ready', worker_id = NULL, started_at = NULL,
        error_code = 'worker_lost', error = 'the worker stopped answering'
    FROM (
        SELECT o.tenant_id, o.id FROM tenancy.jobs o
        WHERE o.worker_id IS NOT NULL AND o.state <> 'ready'
          AND NOT EXISTS (SELECT FROM tenancy.job_workers w WHERE w.id = o.worker_id)
        FOR UPDATE OF o SKIP LOCKED
    ) orphan
    WHERE j.tenant_id = orphan.tenant_id AND j.id = orphan.id;
    GET DIAGNOSTICS jobs = ROW_COUNT;
    RETURN NEXT;
END
$$;

-- ---------------------------------------------------------------------------------------------
-- Claiming, fair over tenants. The planner is told to use the indexes: a plan that was made while
-- the table was empty would otherwise scan it when it is full.
-- ---------------------------------------------------------------------------------------------

-- The next tenants with ready work behind p_after (up to p_to), without those that are suspended
-- or paused: one index probe a tenant, however many jobs it has.
CREATE FUNCTION tenancy.jobs_tenants(p_queue text, p_after uuid, p_to uuid, p_limit integer) RETURNS uuid[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH RECURSIVE ring AS (
            (SELECT j.tenant_id FROM tenancy.jobs j
             WHERE j.queue = p_queue AND j.state = 'ready' AND j.tenant_id > p_after
             ORDER BY j.tenant_id LIMIT 1)
            UNION ALL
            SELECT (SELECT n.tenant_id FROM tenancy.jobs n
                    WHERE n.queue = p_queue AND n.state = 'ready' AND n.tenant_id > r.tenant_id
                    ORDER BY n.tenant_id LIMIT 1)
            FROM ring r
            WHERE r.tenant_id IS NOT NULL AND (p_to IS NULL OR r.tenant_id < p_to)
        )
        SELECT array_agg(open.tenant_id)
        FROM (
            SELECT r.tenant_id FROM ring r
            WHERE r.tenant_id IS NOT NULL AND (p_to IS NULL OR r.tenant_id <= p_to)
              AND (SELECT t.status FROM tenancy.tenants t WHERE t.id = r.tenant_id) = 'active'
              AND NOT coalesce((SELECT p.paused FROM tenancy.job_policies p WHERE p.tenant_id = r.tenant_id), false)
            LIMIT p_limit
        ) open
    );
END
$$;

-- How many jobs each of these tenants may be given out of p_room, by weight. Only tenants with a
-- limit pay for it: their row is locked, so that two claims at once can't both find room. A limit
-- that another claim holds at this moment counts as reached.
CREATE FUNCTION tenancy.jobs_quota(p_tenants uuid[], p_room integer) RETURNS integer[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted uuid[];
BEGIN
    SELECT array_agg(l.tenant_id) INTO counted
    FROM (
        SELECT p.tenant_id FROM tenancy.job_policies p
        WHERE p.tenant_id = ANY (p_tenants) AND p.max_in_flight IS NOT NULL
        ORDER BY p.tenant_id
        FOR UPDATE SKIP LOCKED
    ) l;
    -- A statement of its own: it sees what was committed before the locks were granted.
    RETURN (
        SELECT array_agg(
            CASE
                WHEN s.max_in_flight IS NULL THEN s.share
                WHEN NOT s.tenant_id = ANY (coalesce(counted, '{}')) THEN 0
                ELSE least(s.share, greatest(0, s.max_in_flight - (
                    SELECT count(*)::integer FROM tenancy.jobs r
                    WHERE r.worker_id IS NOT NULL AND r.state <> 'ready' AND r.tenant_id = s.tenant_id
                )))
            END ORDER BY s.place)
        FROM (
            SELECT t.tenant_id, t.place, p.max_in_flight,
                   ceil(p_room * coalesce(p.weight, 1)::float8 / sum(coalesce(p.weight, 1)) OVER ())::integer AS share
            FROM unnest(p_tenants) WITH ORDINALITY AS t (tenant_id, place)
            LEFT JOIN tenancy.job_policies p ON p.tenant_id = t.tenant_id
        ) s
    );
END
$$;

-- Takes at most p_limit jobs from these tenants, each up to its quota of p_room.
CREATE FUNCTION tenancy.jobs_take(
    p_worker uuid, p_queue text, p_kinds text[], p_tenants uuid[], p_room integer, p_limit integer
) RETURNS SETOF tenancy.jobs
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    quotas integer[] := tenancy.jobs_quota(p_tenants, p_room);
BEGIN
    RETURN QUERY
    WITH picked AS (
        SELECT top.tenant_id, top.id
        FROM unnest(p_tenants, quotas) AS t (tenant_id, quota)
        CROSS JOIN LATERAL (
            SELECT j.tenant_id, j.id
            FROM tenancy.jobs j
            WHERE j.queue = p_queue AND j.state = 'ready' AND j.tenant_id = t.tenant_id
              AND j.kind = ANY (p_kinds)
            ORDER BY j.priority, j.run_at, j.id
            LIMIT t.quota
            FOR UPDATE SKIP LOCKED
        ) top
        LIMIT p_limit
    )
    UPDATE tenancy.jobs j
    SET state = 'running', worker_id = p_worker, attempt = j.attempt + 1, started_at = clock_timestamp()
    FROM picked
    WHERE j.tenant_id = picked.tenant_id AND j.id = picked.id
    RETURNING j.*;
END
$$;

-- Claims up to p_limit jobs of these kinds. The tenants with work form a ring that is entered
-- behind p_after; each gets its share before any gets more. Fewer than p_limit means that there
-- is no more. A worker that was taken for dead gets nothing.
CREATE FUNCTION tenancy.jobs_claim(p_worker uuid, p_queue text, p_kinds text[], p_after uuid, p_limit integer)
    RETURNS SETOF tenancy.jobs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    moment CONSTANT timestamptz := clock_timestamp();
    place uuid := coalesce(p_after, nobody);
    final uuid;
    wrapped boolean := p_after IS NULL;
    remaining integer := p_limit;
    room integer;
    got integer;
    chunk uuid[];
    seen uuid[] := '{}';
BEGIN
    IF p_limit < 1 THEN
        RETURN;
    END IF;
    -- A sweep that wants to bury this worker waits for the claim, or the claim finds it gone.
    PERFORM FROM tenancy.job_workers WHERE id = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    UPDATE tenancy.jobs j SET state = 'ready'
    FROM (
        SELECT s.tenant_id, s.id FROM tenancy.jobs s
        WHERE s.worker_id IS NULL AND s.state <> 'ready' AND s.run_at <= moment
        ORDER BY s.run_at
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE j.tenant_id = due.tenant_id AND j.id = due.id;

    LOOP
        chunk := tenancy.jobs_tenants(p_queue, place, final, greatest(remaining, 32));
        IF chunk IS NULL THEN
            EXIT WHEN wrapped;
            wrapped := true;
            place := nobody;
            final := p_after;
            CONTINUE;
        END IF;
        place := chunk[cardinality(chunk)];
        seen := seen || chunk;
        RETURN QUERY SELECT * FROM tenancy.jobs_take(p_worker, p_queue, p_kinds, chunk, remaining, remaining);
        GET DIAGNOSTICS got = ROW_COUNT;
        remaining := remaining - got;
        EXIT WHEN remaining <= 0;
    END LOOP;

    -- Shares that were not used up go to whoever has more.
    room := remaining;
    WHILE remaining > 0 AND cardinality(seen) > 0 LOOP
        room := least(room * 2, 1000000);
        RETURN QUERY SELECT * FROM tenancy.jobs_take(p_worker, p_queue, p_kinds, seen, room, remaining);
        GET DIAGNOSTICS got = ROW_COUNT;
        EXIT WHEN got = 0;
        remaining := remaining - got;
    END LOOP;
END
$$;

-- ---------------------------------------------------------------------------------------------
-- Ending a try. Every row is fenced by (id, attempt, worker): what somebody else has got since is
-- left alone and answered as stale.
-- ---------------------------------------------------------------------------------------------

-- Outcomes: succeeded (to the history); failed, parked (to the dead); retry (again after
-- p_delays_ms); resume (the same, but the try does not count); release (as if it had not been
-- started). Answers the stale ones.
CREATE FUNCTION tenancy.jobs_settle(
    p_worker uuid, p_tenants uuid[], p_ids uuid[], p_attempts integer[], p_outcomes text[],
    p_delays_ms bigint[], p_results jsonb[], p_codes text[], p_errors text[], p_done bigint[], p_total bigint[]
) RETURNS TABLE (stale_tenant uuid, stale_id uuid)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF cardinality(p_ids) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH verdict AS MATERIALIZED (
        SELECT * FROM unnest(
            p_tenants, p_ids, p_attempts, p_outcomes, p_delays_ms, p_results, p_codes, p_errors, p_done, p_total
        ) AS v (tenant_id, id, attempt, outcome, delay_ms, result, code, message, done, total)
    ), again AS (
        UPDATE tenancy.jobs j
        SET state = CASE WHEN v.outcome <> 'release' AND v.delay_ms > 0 THEN 'scheduled' ELSE 'ready' END,
            run_at = CASE WHEN v.outcome <> 'release'
                THEN clock_timestamp() + v.delay_ms * interval '1 millisecond' ELSE j.run_at END,
            attempt = CASE WHEN v.outcome = 'retry' THEN j.attempt ELSE greatest(j.attempt - 1, 0) END,
            worker_id = NULL,
            started_at = NULL,
            error_code = coalesce(v.code, j.error_code),
            error = coalesce(v.message, j.error)
        FROM verdict v
        WHERE v.outcome IN ('retry', 'resume', 'release')
          AND j.tenant_id = v.tenant_id AND j.id = v.id
          AND j.attempt = v.attempt AND j.worker_id = p_worker AND j.state = 'running'
        RETURNING j.tenant_id, j.id
    ), ended AS (
        DELETE FROM tenancy.jobs j
        USING verdict v
        WHERE v.outcome IN ('succeeded', 'failed', 'parked')
          AND j.tenant_id = v.tenant_id AND j.id = v.id
          AND j.attempt = v.attempt AND j.worker_id = p_worker AND j.state = 'running'
        RETURNING j.tenant_id, j.id, j.request_id, j.enqueued_at, j.started_at, j.timeout_ms, j.attempt,
            j.max_attempts, j.priority, j.queue, j.kind, j.key_hash, j.payload, j.principal,
            v.outcome, v.result, v.code, v.message, v.done, v.total
    ), forgotten AS (
        DELETE FROM tenancy.job_progress p
        USING ended e
        WHERE e.outcome = 'succeeded' AND p.tenant_id = e.tenant_id AND p.job_id = e.id
    ), kept AS (
        INSERT INTO tenancy.job_history (
            tenant_id, id, request_id, enqueued_at, started_at, done, total, attempt, max_attempts,
            priority, state, queue, kind, principal, result, error_code, error
        )
        SELECT e.tenant_id, e.id, e.request_id, e.enqueued_at, e.started_at, coalesce(e.done, p.done),
            coalesce(e.total, p.total), e.attempt, e.max_attempts, e.priority, e.outcome, e.queue, e.kind,
            e.principal, e.result, e.code, e.message
        FROM ended e
        LEFT JOIN tenancy.job_progress p ON p.tenant_id = e.tenant_id AND p.job_id = e.id
        WHERE e.outcome = 'succeeded'
    ), died AS (
        INSERT INTO tenancy.job_dead (
            tenant_id, id, request_id, enqueued_at, started_at, timeout_ms, attempt, max_attempts,
            priority, state, queue, kind, key_hash, payload, principal, error_code, error
        )
        SELECT e.tenant_id, e.id, e.request_id, e.enqueued_at, e.started_at, e.timeout_ms, e.attempt,
            e.max_attempts, e.priority, e.outcome, e.queue, e.kind, e.key_hash, e.payload, e.principal,
            e.code, e.message
        FROM ended e
        WHERE e.outcome IN ('failed', 'parked')
    ), expiring AS (
        UPDATE tenancy.job_keys k
        SET expires_at = clock_timestamp() + k.retain_seconds * interval '1 second'
        FROM ended e
        WHERE e.key_hash IS NOT NULL
          AND k.tenant_id = e.tenant_id AND k.key_hash = e.key_hash AND k.job_id = e.id
    )
    SELECT v.tenant_id, v.id
    FROM verdict v
    -- NOT IN, because that is hashed: joins by hash are off, and a loop over both is quadratic.
    WHERE (v.tenant_id, v.id) NOT IN (
        SELECT a.tenant_id, a.id FROM again a UNION ALL SELECT e.tenant_id, e.id FROM ended e
    );
END
$$;

-- The same for one job of the context's tenant, in the caller's transaction. False: stale.
CREATE FUNCTION tenancy.job_settle(
    p_worker uuid, p_id uuid, p_attempt integer, p_outcome text, p_delay_ms bigint,
    p_result jsonb, p_code text, p_error text, p_done bigint, p_total bigint
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    RETURN this_tenant IS NOT NULL AND NOT EXISTS (
        SELECT FROM tenancy.jobs_settle(
            p_worker, ARRAY[this_tenant], ARRAY[p_id], ARRAY[p_attempt], ARRAY[p_outcome], ARRAY[p_delay_ms],
            ARRAY[p_result], ARRAY[p_code], ARRAY[p_error], ARRAY[p_done], ARRAY[p_total])
    );
END
$$;

-- Writes how far a job of the context's tenant is, and where it goes on, in the caller's
-- transaction. The lock holds until that ends: nobody else can be given the job before. False: stale,
-- or the tenant was suspended meanwhile.
CREATE FUNCTION tenancy.job_checkpoint(
    p_worker uuid, p_id uuid, p_attempt integer, p_done bigint, p_total bigint, p_cursor jsonb
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    PERFORM FROM tenancy.jobs j
    WHERE j.tenant_id = this_tenant AND j.id = p_id
      AND j.attempt = p_attempt AND j.worker_id = p_worker AND j.state = 'running'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- After the lock, so that a step that had to wait looks once more.
    PERFORM FROM tenancy.tenants t WHERE t.id = this_tenant AND t.status = 'active';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO tenancy.job_progress AS p (tenant_id, job_id, done, total, cursor)
    VALUES (this_tenant, p_id, p_done, p_total, p_cursor)
    ON CONFLICT (tenant_id, job_id) DO UPDATE
    SET done = excluded.done,
        total = coalesce(excluded.total, p.total),
        cursor = coalesce(excluded.cursor, p.cursor),
        updated_at = clock_timestamp();
    RETURN true;
END
$$;

-- ---------------------------------------------------------------------------------------------
-- What people do with a job of their tenant.
-- ---------------------------------------------------------------------------------------------

-- Ends a job that waits, runs or is dead. A running one loses its fence: what it does in the
-- queue's own transactions is rolled back. False: there is no such job, or it ended.
CREATE FUNCTION tenancy.job_cancel(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    WITH live AS (
        DELETE FROM tenancy.jobs j WHERE j.tenant_id = this_tenant AND j.id = p_id
        RETURNING j.id, j.request_id, j.enqueued_at, j.started_at, j.attempt, j.max_attempts, j.priority,
            j.queue, j.kind, j.principal, j.key_hash, j.error_code, j.error
    ), dead AS (
        DELETE FROM tenancy.job_dead d WHERE d.tenant_id = this_tenant AND d.id = p_id
        RETURNING d.id, d.request_id, d.enqueued_at, d.started_at, d.attempt, d.max_attempts, d.priority,
            d.queue, d.kind, d.principal, d.key_hash, d.error_code, d.error
    ), ended AS (
        SELECT * FROM live UNION ALL SELECT * FROM dead
    ), forgotten AS (
        DELETE FROM tenancy.job_progress p USING ended e
        WHERE p.tenant_id = this_tenant AND p.job_id = e.id
        RETURNING p.done, p.total
    ), expiring AS (
        UPDATE tenancy.job_keys k SET expires_at = clock_timestamp() + k.retain_seconds * interval '1 second'
        FROM ended e
        WHERE k.tenant_id = this_tenant AND k.key_hash = e.key_hash AND k.job_id = e.id
    )
    INSERT INTO tenancy.job_history (
        tenant_id, id, request_id, enqueued_at, started_at, done, total, attempt, max_attempts, priority,
        state, queue, kind, principal, error_code, error
    )
    SELECT this_tenant, e.id, e.request_id, e.enqueued_at, e.started_at, f.done, f.total, e.attempt,
        e.max_attempts, e.priority, 'cancelled', e.queue, e.kind, e.principal, e.error_code, e.error
    FROM ended e LEFT JOIN forgotten f ON true;
    RETURN FOUND;
END
$$;

-- Puts a dead job back, with this many tries more; a batch goes on at its last checkpoint. The
-- attempts count on, so that no late completion of an earlier try fits. Answers the job's queue,
-- or NULL where there is no such dead job.
CREATE FUNCTION tenancy.job_retry(p_id uuid, p_attempts integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    revived text;
BEGIN
    WITH dead AS (
        DELETE FROM tenancy.job_dead d WHERE d.tenant_id = this_tenant AND d.id = p_id RETURNING d.*
    ), keys AS (
        UPDATE tenancy.job_keys k SET expires_at = NULL FROM dead d
        WHERE k.tenant_id = this_tenant AND k.key_hash = d.key_hash AND k.job_id = d.id
    )
    INSERT INTO tenancy.jobs (
        tenant_id, id, request_id, run_at, enqueued_at, timeout_ms, attempt, max_attempts, priority,
        queue, kind, key_hash, payload, principal, error_code, error
    )
    SELECT d.tenant_id, d.id, d.request_id, clock_timestamp(), d.enqueued_at, d.timeout_ms, d.attempt,
        d.attempt + p_attempts, d.priority, d.queue, d.kind, d.key_hash, d.payload, d.principal,
        d.error_code, d.error
    FROM dead d
    RETURNING queue INTO revived;
    RETURN revived;
END
$$;

-- ---------------------------------------------------------------------------------------------
-- Housekeeping and policy, for the worker.
-- ---------------------------------------------------------------------------------------------

-- Forgets keys whose time is up, and moves dead jobs older than p_dead_days to the history: at
-- most p_limit of each.
CREATE FUNCTION tenancy.jobs_purge(p_dead_days integer, p_limit integer)
    RETURNS TABLE (keys integer, dead integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM tenancy.job_keys k
    USING (
        SELECT e.tenant_id, e.key_hash FROM tenancy.job_keys e
        WHERE e.expires_at <= now()
        ORDER BY e.expires_at LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ) expired
    WHERE k.tenant_id = expired.tenant_id AND k.key_hash = expired.key_hash;
    GET DIAGNOSTICS keys = ROW_COUNT;

    WITH old AS (
        DELETE FROM tenancy.job_dead d
        USING (
            SELECT o.tenant_id, o.id FROM tenancy.job_dead o
            WHERE o.died_at <= now() - p_dead_days * interval '1 day'
            ORDER BY o.died_at LIMIT p_limit
            FOR UPDATE SKIP LOCKED
        ) aged
        WHERE d.tenant_id = aged.tenant_id AND d.id = aged.id
        RETURNING d.*
    ), forgotten AS (
        DELETE FROM tenancy.job_progress p USING old o
        WHERE p.tenant_id = o.tenant_id AND p.job_id = o.id
        RETURNING p.tenant_id, p.job_id, p.done, p.total
    )
    INSERT INTO tenancy.job_history (
        tenant_id, id, request_id, enqueued_at, started_at, done, total, attempt, max_attempts, priority,
        state, queue, kind, principal, error_code, error
    )
    SELECT o.tenant_id, o.id, o.request_id, o.enqueued_at, o.started_at, f.done, f.total, o.attempt,
        o.max_attempts, o.priority, 'failed', o.queue, o.kind, o.principal, o.error_code, o.error
    FROM old o LEFT JOIN forgotten f ON f.tenant_id = o.tenant_id AND f.job_id = o.id;
    GET DIAGNOSTICS dead = ROW_COUNT;
    RETURN NEXT;
END
$$;

-- False: there is no such tenant.
CREATE FUNCTION tenancy.job_policy_set(p_tenant uuid, p_weight integer, p_max_in_flight integer, p_paused boolean)
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO tenancy.job_policies (tenant_id, weight, max_in_flight, paused)
    SELECT t.id, p_weight, p_max_in_flight, p_paused FROM tenancy.tenants t WHERE t.id = p_tenant
    ON CONFLICT (tenant_id) DO UPDATE
    SET weight = excluded.weight, max_in_flight = excluded.max_in_flight, paused = excluded.paused;
    RETURN FOUND;
END
$$;

-- A tenant's share, by default where nothing was set; no row where there is no such tenant.
CREATE FUNCTION tenancy.job_policy_get(p_tenant uuid)
    RETURNS TABLE (weight integer, max_in_flight integer, paused boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(p.weight, 1), p.max_in_flight, coalesce(p.paused, false)
    FROM tenancy.tenants t
    LEFT JOIN tenancy.job_policies p ON p.tenant_id = t.id
    WHERE t.id = p_tenant
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.job_worker_register(uuid, text, text, integer),
    tenancy.job_worker_beat(uuid),
    tenancy.job_worker_owns(uuid),
    tenancy.job_worker_retire(uuid),
    tenancy.jobs_sweep(),
    tenancy.jobs_claim(uuid, text, text[], uuid, integer),
    tenancy.jobs_settle(uuid, uuid[], uuid[], integer[], text[], bigint[], jsonb[], text[], text[], bigint[], bigint[]),
    tenancy.jobs_purge(integer, integer),
    tenancy.job_policy_set(uuid, integer, integer, boolean),
    tenancy.job_policy_get(uuid)
TO tenancy_worker;

GRANT EXECUTE ON FUNCTION
    tenancy.job_settle(uuid, uuid, integer, text, bigint, jsonb, text, text, bigint, bigint),
    tenancy.job_checkpoint(uuid, uuid, integer, bigint, bigint, jsonb),
    tenancy.job_cancel(uuid),
    tenancy.job_retry(uuid, integer)
TO tenancy_app;

SET LOCAL ROLE NONE;
