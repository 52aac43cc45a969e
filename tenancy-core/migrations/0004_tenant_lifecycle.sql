-- The life of a tenant: states, slugs that are kept for a while, legal holds, and its end.

SET LOCAL ROLE tenancy_owner;

-- While one stands, nothing of the tenant is purged and none of its slugs goes to somebody else.
CREATE TABLE tenancy.tenant_holds (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    reference text NOT NULL CHECK (char_length(reference) BETWEEN 1 AND 200),
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, reference)
);
SELECT tenancy.protect_table('tenancy.tenant_holds', '{select}');
SELECT tenancy.admit_definer('tenancy.tenant_holds');

-- What a purge has removed so far, table by table; it outlives the rows it counts.
CREATE TABLE tenancy.tenant_purges (
    tenant_id uuid PRIMARY KEY REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    forced boolean NOT NULL,
    started_by text NOT NULL CHECK (char_length(started_by) BETWEEN 1 AND 200),
    counts jsonb NOT NULL DEFAULT '{}'
);
SELECT tenancy.protect_table('tenancy.tenant_purges', '{select}');
SELECT tenancy.admit_definer('tenancy.tenant_purges');

-- What is free again, the longest first.
CREATE INDEX tenant_slugs_former ON tenancy.tenant_slugs (former_until) WHERE former_until IS NOT NULL;

SET LOCAL ROLE tenancy_definer;

-- Gives a slug to the context's tenant: a new one, one of its own former ones, or one that is free
-- again. Of two that claim one slug, one waits at the primary key and gets false. Where it runs with
-- the app's rights, policies show it no slug of others: what is free again is so when the worker has
-- seen to it (free_slugs).
CREATE FUNCTION tenancy.claim_slug(p_slug text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    former record;
BEGIN
    IF this_tenant IS NULL THEN
        RETURN false;
    END IF;
    SELECT s.tenant_id, s.former_until INTO former FROM tenancy.tenant_slugs s WHERE s.slug = p_slug;
    IF former.former_until IS NOT NULL AND (former.tenant_id = this_tenant OR former.former_until <= clock_timestamp()
        AND NOT EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = former.tenant_id))
    THEN
        -- As it was read: somebody else may have claimed it, or its tenant taken it back.
        DELETE FROM tenancy.tenant_slugs s
        WHERE s.slug = p_slug AND s.tenant_id = former.tenant_id AND s.former_until = former.former_until;
    END IF;
    INSERT INTO tenancy.tenant_slugs (slug, tenant_id) VALUES (p_slug, this_tenant) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

-- Forgets slugs that are nobody's any more, p_limit of them; answers how many.
CREATE FUNCTION tenancy.free_slugs(p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    over text[] := ARRAY(
        SELECT s.slug FROM tenancy.tenant_slugs s
        WHERE s.former_until <= clock_timestamp()
          AND NOT EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = s.tenant_id)
        ORDER BY s.former_until LIMIT least(p_limit, 10000));
    gone bigint;
BEGIN
    -- One that was claimed since is a tenant's again.
    DELETE FROM tenancy.tenant_slugs s WHERE s.slug = ANY (over) AND s.former_until <= clock_timestamp();
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;

-- Whose slug it is or was. Tells that a tenant exists: for routing.
CREATE FUNCTION tenancy.find_slug(p_slug text)
    RETURNS TABLE (tenant_id uuid, current_slug text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.tenant_id, now.slug
    FROM tenancy.tenant_slugs s
    JOIN tenancy.tenant_slugs now ON now.tenant_id = s.tenant_id AND now.former_until IS NULL
    WHERE s.slug = p_slug AND (s.former_until IS NULL OR s.former_until > clock_timestamp())
$$;

-- Moves the context's tenant from one state to another, if it is in the first and may go to the
-- second. What the platform has closed, only the platform opens. To be deleted is a promise for
-- later, and ends in the state it began in. Purging and deleted are reached by a purge alone.
CREATE FUNCTION tenancy.move_tenant(p_from text, p_to text, p_reason text, p_grace interval) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    by_platform boolean := util.current_actor_kind() IS NOT DISTINCT FROM 'service';
    this tenancy.tenants;
BEGIN
    SELECT * INTO this FROM tenancy.tenants WHERE id = this_tenant FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'no_tenant';
    END IF;
    IF this.status <> p_from THEN
        RETURN 'stale';
    END IF;
    IF p_from = p_to OR p_from NOT IN ('active', 'suspended_read_only', 'suspended_blocked', 'deleting')
        OR p_to NOT IN ('active', 'suspended_read_only', 'suspended_blocked', 'deleting')
        OR p_from = 'deleting' AND p_to <> this.status_before
    THEN
        RETURN 'not_allowed';
    END IF;
    IF this.status_by_platform AND p_from <> 'active' AND NOT by_platform THEN
        RETURN 'not_yours';
    END IF;
    UPDATE tenancy.tenants SET
        status = p_to,
        status_reason = p_reason,
        status_since = clock_timestamp(),
        -- A deletion that is taken back leaves a suspension to whoever imposed it.
        status_by_platform = CASE WHEN p_from = 'deleting' THEN this.before_by_platform ELSE by_platform END,
        status_before = CASE WHEN p_to = 'deleting' THEN p_from END,
        before_by_platform = p_to = 'deleting' AND this.status_by_platform,
        delete_after = CASE WHEN p_to = 'deleting' THEN clock_timestamp() + p_grace END,
        updated_at = clock_timestamp()
    WHERE id = this_tenant;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    RETURN 'ok';
END
$$;

-- Answers the name it had; NULL if there is no such tenant, or one whose days are over.
CREATE FUNCTION tenancy.rename_tenant(p_name text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    old_name text;
BEGIN
    SELECT name INTO old_name FROM tenancy.tenants
    WHERE id = this_tenant AND status NOT IN ('purging', 'deleted') FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE tenancy.tenants SET name = p_name, updated_at = clock_timestamp() WHERE id = this_tenant;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    RETURN old_name;
END
$$;

-- Gives the context's tenant another slug and keeps the old one for it, p_most of them at once.
CREATE FUNCTION tenancy.change_slug(p_slug text, p_keep interval, p_most integer)
    RETURNS TABLE (answer text, old_slug text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    slug_now text;
BEGIN
    -- Of two that change it at once, one waits here.
    PERFORM FROM tenancy.tenants WHERE id = this_tenant AND status NOT IN ('purging', 'deleted') FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'no_tenant'::text, NULL::text;
        RETURN;
    END IF;
    SELECT s.slug INTO slug_now FROM tenancy.tenant_slugs s
    WHERE s.tenant_id = this_tenant AND s.former_until IS NULL;
    IF slug_now = p_slug THEN
        RETURN QUERY SELECT 'same'::text, slug_now;
        RETURN;
    END IF;
    IF p_most <= (
        SELECT count(*) FROM tenancy.tenant_slugs s
        WHERE s.tenant_id = this_tenant AND s.former_until > clock_timestamp() AND s.slug <> p_slug)
    THEN
        RETURN QUERY SELECT 'too_many'::text, slug_now;
        RETURN;
    END IF;
    UPDATE tenancy.tenant_slugs s SET former_until = clock_timestamp() + p_keep
    WHERE s.tenant_id = this_tenant AND s.former_until IS NULL;
    IF NOT tenancy.claim_slug(p_slug) THEN
        -- The caller may go on with his transaction: nothing has changed.
        UPDATE tenancy.tenant_slugs s SET former_until = NULL WHERE s.tenant_id = this_tenant AND s.slug = slug_now;
        RETURN QUERY SELECT 'slug_taken'::text, slug_now;
        RETURN;
    END IF;
    UPDATE tenancy.tenants SET updated_at = clock_timestamp() WHERE id = this_tenant;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    RETURN QUERY SELECT 'ok'::text, slug_now;
END
$$;

-- Places a legal hold on the context's tenant or releases it. Of the platform alone: who is being
-- looked into does not decide what is kept.
CREATE FUNCTION tenancy.hold_tenant(p_reference text, p_place boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    IF util.current_actor_kind() IS DISTINCT FROM 'service' THEN
        RETURN 'not_platform';
    END IF;
    -- A purge locks the same row for each of its batches: the hold stands before the next one.
    PERFORM FROM tenancy.tenants WHERE id = this_tenant AND status <> 'deleted' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'no_tenant';
    END IF;
    IF p_place THEN
        INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES (this_tenant, p_reference) ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM tenancy.tenant_holds WHERE tenant_id = this_tenant AND reference = p_reference;
    END IF;
    RETURN CASE WHEN FOUND THEN 'ok' ELSE 'unchanged' END;
END
$$;

-- Begins to purge the context's tenant, or goes on. Nothing leads back from here.
CREATE FUNCTION tenancy.begin_purge(p_force boolean, p_by text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    this tenancy.tenants;
BEGIN
    IF util.current_actor_kind() IS DISTINCT FROM 'service' THEN
        RETURN 'not_platform';
    END IF;
    SELECT * INTO this FROM tenancy.tenants WHERE id = this_tenant FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'no_tenant';
    ELSIF this.status = 'deleted' THEN
        RETURN 'deleted';
    ELSIF EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = this_tenant) THEN
        RETURN 'held';
    ELSIF this.status = 'purging' THEN
        RETURN 'ok';
    ELSIF this.status <> 'deleting' THEN
        RETURN 'not_deleting';
    ELSIF this.delete_after > clock_timestamp() AND NOT p_force THEN
        RETURN 'too_early';
    END IF;
    INSERT INTO tenancy.tenant_purges (tenant_id, forced, started_by)
    VALUES (this_tenant, this.delete_after > clock_timestamp(), p_by);
    UPDATE tenancy.tenants SET
        status = 'purging', status_since = clock_timestamp(), status_by_platform = true,
        status_before = NULL, before_by_platform = false, delete_after = NULL, updated_at = clock_timestamp()
    WHERE id = this_tenant;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    RETURN 'begun';
END
$$;

-- Counts rows that the owner has just removed, in the same transaction; unless it answers ok, he
-- rolls back. The row's lock makes a hold stand before or after this batch, not within it. Rows that
-- somebody wrote with an old context when the tenant was gone already are removed and counted as well.
CREATE FUNCTION tenancy.purge_progress(p_table text, p_count bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    PERFORM FROM tenancy.tenants WHERE id = this_tenant AND status IN ('purging', 'deleted') FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'not_purging';
    ELSIF EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = this_tenant) THEN
        RETURN 'held';
    END IF;
    UPDATE tenancy.tenant_purges
    SET counts = counts || jsonb_build_object(p_table, coalesce((counts ->> p_table)::bigint, 0) + p_count)
    WHERE tenant_id = this_tenant;
    RETURN 'ok';
END
$$;

-- Leaves the tombstone, and keeps the slugs from others for a while.
CREATE FUNCTION tenancy.finish_purge(p_keep interval)
    RETURNS TABLE (answer text, started_at timestamptz, finished_at timestamptz, forced boolean, started_by text, counts jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    status_now text;
BEGIN
    SELECT t.status INTO status_now FROM tenancy.tenants t WHERE t.id = this_tenant FOR NO KEY UPDATE;
    IF util.current_actor_kind() IS DISTINCT FROM 'service' OR coalesce(status_now, '') NOT IN ('purging', 'deleted') THEN
        RETURN;
    END IF;
    IF status_now = 'purging' THEN
        UPDATE tenancy.tenants t SET
            status = 'deleted', status_since = clock_timestamp(), status_reason = NULL, name = 'deleted',
            updated_at = clock_timestamp()
        WHERE t.id = this_tenant;
        UPDATE tenancy.tenant_slugs s SET former_until = clock_timestamp() + p_keep
        WHERE s.tenant_id = this_tenant AND s.former_until IS NULL;
        UPDATE tenancy.tenant_purges p SET finished_at = clock_timestamp() WHERE p.tenant_id = this_tenant;
        UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    END IF;
    RETURN QUERY
        SELECT CASE status_now WHEN 'purging' THEN 'ok' ELSE 'deleted' END,
            p.started_at, p.finished_at, p.forced, p.started_by, p.counts
        FROM tenancy.tenant_purges p WHERE p.tenant_id = this_tenant;
END
$$;

-- A page of all tenants, for the platform's own staff and jobs.
CREATE FUNCTION tenancy.list_tenants(p_status text, p_due boolean, p_after uuid, p_limit integer)
    RETURNS TABLE (id uuid, slug text, name text, status text, created_at timestamptz, delete_after timestamptz, held boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.id, s.slug, t.name, t.status, t.created_at, t.delete_after,
        EXISTS (SELECT FROM tenancy.tenant_holds h WHERE h.tenant_id = t.id)
    FROM tenancy.tenants t
    LEFT JOIN tenancy.tenant_slugs s ON s.tenant_id = t.id AND s.former_until IS NULL
    WHERE (p_after IS NULL OR t.id > p_after)
      AND (p_status IS NULL OR t.status = p_status)
      AND (NOT p_due OR t.status = 'purging' OR t.status = 'deleting' AND t.delete_after <= clock_timestamp())
    ORDER BY t.id
    LIMIT least(p_limit, 1000)
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.find_slug(text),
    tenancy.move_tenant(text, text, text, interval),
    tenancy.rename_tenant(text),
    tenancy.change_slug(text, interval, integer),
    tenancy.hold_tenant(text, boolean),
    tenancy.begin_purge(boolean, text),
    tenancy.finish_purge(interval)
TO tenancy_app;
GRANT EXECUTE ON FUNCTION tenancy.purge_progress(text, bigint) TO tenancy_owner;
GRANT EXECUTE ON FUNCTION
    tenancy.list_tenants(text, boolean, uuid, integer),
    tenancy.free_slugs(integer)
TO tenancy_worker;

SET LOCAL ROLE NONE;
