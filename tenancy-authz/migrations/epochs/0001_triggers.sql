-- A second net under the functions that write: whatever else changes who may do what (a statement by hand,
-- a script, a login with more grants than it should have) counts the epochs of its tenants up, in its own
-- transaction. So every cache hears of it within its bound. For a single node: a cluster of shards takes no
-- triggers, and there the functions alone write.
--
-- Triggers for a statement and not for a row: a change of a million rows counts each tenant up once. Epochs
-- are locked in the order of their tenants, so that two such changes wait for each other and don't lock each
-- other out.

SET LOCAL ROLE tenancy_definer;

CREATE FUNCTION tenancy.count_changed_tenants_up(p_tenants uuid[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM tenancy.tenant_epoch WHERE tenant_id = ANY (p_tenants) ORDER BY tenant_id FOR NO KEY UPDATE;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = ANY (p_tenants);
END
$$;

-- Rows that are as they were change nothing, nor does an assignment that has ended already.
CREATE FUNCTION tenancy.rights_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed pg_catalog.uuid[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        changed := ARRAY(SELECT tenant_id FROM tenancy.tenant_epoch);
    ELSIF TG_OP = 'INSERT' THEN
        changed := ARRAY(SELECT DISTINCT tenant_id FROM rows_after);
    ELSIF TG_OP = 'UPDATE' THEN
        changed := ARRAY(
            SELECT tenant_id FROM (TABLE rows_before EXCEPT TABLE rows_after) gone
            UNION SELECT tenant_id FROM (TABLE rows_after EXCEPT TABLE rows_before) come
        );
    ELSIF TG_TABLE_NAME = 'member_roles' THEN
        changed := ARRAY(
            SELECT DISTINCT tenant_id FROM rows_before
            WHERE expires_at IS NULL OR expires_at > statement_timestamp()
        );
    ELSE
        changed := ARRAY(SELECT DISTINCT tenant_id FROM rows_before);
    END IF;
    PERFORM tenancy.count_changed_tenants_up(changed) WHERE cardinality(changed) > 0;
    RETURN NULL;
END
$$;

-- A tenant's state opens and closes what its members may do.
CREATE FUNCTION tenancy.tenant_state_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed pg_catalog.uuid[] := ARRAY(
        SELECT a.id FROM rows_after a JOIN rows_before b ON b.id = a.id WHERE a.status <> b.status
    );
BEGIN
    PERFORM tenancy.count_changed_tenants_up(changed) WHERE cardinality(changed) > 0;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.count_changed_tenants_up(uuid[]),
    tenancy.rights_changed(),
    tenancy.tenant_state_changed()
FROM PUBLIC;
-- Whoever makes a trigger may execute its function; whoever sets it off need not.
GRANT EXECUTE ON FUNCTION tenancy.rights_changed(), tenancy.tenant_state_changed() TO tenancy_owner;

SET LOCAL ROLE tenancy_owner;

DO $$
DECLARE
    changes text;
BEGIN
    FOREACH changes IN ARRAY ARRAY['roles', 'role_permissions', 'member_roles', 'memberships'] LOOP
        EXECUTE format('CREATE TRIGGER rights_come AFTER INSERT ON tenancy.%I
            REFERENCING NEW TABLE AS rows_after
            FOR EACH STATEMENT EXECUTE FUNCTION tenancy.rights_changed()', changes);
        EXECUTE format('CREATE TRIGGER rights_change AFTER UPDATE ON tenancy.%I
            REFERENCING OLD TABLE AS rows_before NEW TABLE AS rows_after
            FOR EACH STATEMENT EXECUTE FUNCTION tenancy.rights_changed()', changes);
        EXECUTE format('CREATE TRIGGER rights_go AFTER DELETE ON tenancy.%I
            REFERENCING OLD TABLE AS rows_before
            FOR EACH STATEMENT EXECUTE FUNCTION tenancy.rights_changed()', changes);
        EXECUTE format('CREATE TRIGGER rights_go_all AFTER TRUNCATE ON tenancy.%I
            FOR EACH STATEMENT EXECUTE FUNCTION tenancy.rights_changed()', changes);
    END LOOP;
END
$$;

CREATE TRIGGER rights_change AFTER UPDATE ON tenancy.tenants
    REFERENCING OLD TABLE AS rows_before NEW TABLE AS rows_after FOR EACH STATEMENT EXECUTE FUNCTION tenancy.tenant_state_changed();

SET LOCAL ROLE NONE;
