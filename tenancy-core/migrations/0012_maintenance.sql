-- What is swept regularly, as the worker.

SET LOCAL ROLE tenancy_owner;

GRANT DELETE ON tenancy.platform_log TO tenancy_definer;

SET LOCAL ROLE tenancy_definer;

-- Forgets what happened outside of every tenant this many seconds ago; answers how many rows. Never of
-- the last day: who takes over a worker does not cover his tracks by it.
CREATE FUNCTION tenancy.platform_log_prune(p_keep_seconds bigint, p_limit integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH old AS MATERIALIZED (
        SELECT l.id FROM tenancy.platform_log l
        WHERE l.minute < clock_timestamp() - greatest(p_keep_seconds, 86400) * interval '1 second'
        ORDER BY l.minute LIMIT least(p_limit, 10000)
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM tenancy.platform_log l USING old WHERE l.id = old.id RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

REVOKE EXECUTE ON FUNCTION tenancy.platform_log_prune(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.platform_log_prune(bigint, integer) TO tenancy_worker;

SET LOCAL ROLE NONE;
