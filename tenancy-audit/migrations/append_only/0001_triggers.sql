-- A second net under the grants, for a login that has more of them than it should: rows are deleted, and their
-- personal details erased, only by the functions of retention. For a single node: a cluster of shards takes no
-- triggers, and loses nothing that the grants don't hold.

SET LOCAL ROLE tenancy_owner;

CREATE FUNCTION tenancy.audit_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_user = 'tenancy_definer' THEN
        RETURN OLD;
    ELSIF TG_OP = 'UPDATE' AND current_user = 'tenancy_definer' AND TG_TABLE_NAME LIKE 'audit_logs%'
        AND to_jsonb(NEW) - 'personal' = to_jsonb(OLD) - 'personal'
        AND (to_jsonb(OLD) -> 'personal') - '*erased' @> (to_jsonb(NEW) -> 'personal') - '*erased'
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only'
        USING ERRCODE = 'insufficient_privilege',
        HINT = 'retention removes entries: see the guide on the audit log';
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.audit_refuse_change() FROM PUBLIC;

CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON tenancy.audit_logs
    FOR EACH ROW EXECUTE FUNCTION tenancy.audit_refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON tenancy.audit_seals
    FOR EACH ROW EXECUTE FUNCTION tenancy.audit_refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON tenancy.audit_removals
    FOR EACH ROW EXECUTE FUNCTION tenancy.audit_refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON tenancy.audit_adoptions
    FOR EACH ROW EXECUTE FUNCTION tenancy.audit_refuse_change();
CREATE TRIGGER audit_append_only_all BEFORE TRUNCATE ON tenancy.audit_adoptions
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.audit_refuse_change();
-- Not handed down to partitions, each of which can be truncated by itself.
DO $$
DECLARE
    log_table regclass;
BEGIN
    FOR log_table IN
        SELECT 'tenancy.audit_logs'::regclass
        UNION ALL
        SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = 'tenancy.audit_logs'::regclass
    LOOP
        EXECUTE format('CREATE TRIGGER audit_append_only_all BEFORE TRUNCATE ON %s
            FOR EACH STATEMENT EXECUTE FUNCTION tenancy.audit_refuse_change()', log_table);
    END LOOP;
END
$$;
CREATE TRIGGER audit_append_only_all BEFORE TRUNCATE ON tenancy.audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.audit_refuse_change();
CREATE TRIGGER audit_append_only_all BEFORE TRUNCATE ON tenancy.audit_removals
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.audit_refuse_change();

SET LOCAL ROLE NONE;
