-- The planner's samples hold no personal details: they would outlive an erasure, and go into dumps with statistics.

SET LOCAL ROLE tenancy_owner;

-- Samples that were taken already go with a change of the column's type, also where it stays the same: the owner of a
-- table has no other way to have them removed before Postgres 18.
ALTER TABLE tenancy.audit_logs ALTER COLUMN personal TYPE jsonb;

DO $$
DECLARE
    log_table regclass;
BEGIN
    FOR log_table IN
        SELECT 'tenancy.audit_logs'::regclass
        UNION ALL
        SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = 'tenancy.audit_logs'::regclass
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN personal SET STATISTICS 0', log_table);
    END LOOP;
END
$$;

-- As before, and the new partition takes no sample of personal details either.
CREATE OR REPLACE FUNCTION tenancy.audit_make_partitions(p_ahead integer)
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
                EXECUTE format('ALTER TABLE tenancy.%I ALTER COLUMN personal SET STATISTICS 0', partition_name);
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

SET LOCAL ROLE NONE;
