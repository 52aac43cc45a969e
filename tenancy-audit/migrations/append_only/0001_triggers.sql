-- A second net under the grants, for a login that has more of them than it should: rows are not updated,
-- but for personal details that are taken out, and deleted only by the functions of retention. For a single node: a cluster of shards takes no triggers,
-- and loses nothing that the grants don't hold.

SET LOCAL ROLE tenancy_owner;

CREATE FUNCTION tenancy.audit_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_user = 'tenancy_definer' THEN
        RETURN OLD;
    ELSIF TG_OP = 'UPDATE' AND TG_TABLE_NAME LIKE 'audit_logs%'
        AND to_jsonb(NEW) - 'personal' = to_jsonb(OLD) - 'personal'
        AND to_jsonb(OLD) -> 'personal' @> (to_jsonb(NEW) -> 'personal')
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
CREATE TRIGGER audit_append_only_all BEFORE TRUNCATE ON tenancy.audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.audit_refuse_change();
CREATE TRIGGER audit_append_only_all BEFORE TRUNCATE ON tenancy.audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.audit_refuse_change();
CREATE TRIGGER audit_append_only_all BEFORE TRUNCATE ON tenancy.audit_removals
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy.audit_refuse_change();

SET LOCAL ROLE NONE;
