-- Registers permissions and templates, and brings tenants up to date with them.
--
-- Registering is one short transaction; tenants follow in batches. What a template did to a role of
-- a tenant is a row of role_upgrades, in the transaction that did it.

SET LOCAL ROLE tenancy_owner;

-- How far a tenant has caught up.
CREATE TABLE tenancy.role_state (
    tenant_id uuid PRIMARY KEY REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    serial bigint NOT NULL
);
SELECT tenancy.protect_table('tenancy.role_state', '{select}');
SELECT tenancy.admit_definer('tenancy.role_state');

CREATE TABLE tenancy.role_upgrades (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    role_key text COLLATE "C" NOT NULL,
    -- The template's revision that reached the tenant.
    revision integer NOT NULL CHECK (revision > 0),
    -- upgraded: the role was as its template had it. edited: the tenant keeps its own, and gets only
    -- what was registered since. taken: the tenant had a role of this key that is its own.
    outcome text NOT NULL CHECK (outcome IN ('edited', 'taken', 'upgraded')),
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whether the audit log has it.
    recorded boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, role_key, revision)
);
CREATE INDEX role_upgrades_unrecorded ON tenancy.role_upgrades (tenant_id) WHERE NOT recorded;
SELECT tenancy.protect_table('tenancy.role_upgrades', '{select}');
SELECT tenancy.admit_definer('tenancy.role_upgrades');

SET LOCAL ROLE tenancy_definer;

-- Registers permissions and templates: permissions are added and never taken away, a template gets
-- a revision if it says something else. A version lower than the newest is that of an older process,
-- and is let be. Unless the answer is ok the caller rolls back.
CREATE FUNCTION tenancy.register_permissions(
    p_templates jsonb, p_permissions jsonb, OUT outcome text, OUT detail text, OUT added text[]
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_bit pg_catalog.int4;
    one pg_catalog.record;
    newest tenancy.role_templates;
    wanted pg_catalog.text[];
    revised pg_catalog.int4 := 0;
BEGIN
    SELECT next_bit INTO first_bit FROM tenancy.permission_bits FOR UPDATE;
    -- What the column of the bit takes.
    IF first_bit + (
        SELECT count(*) FROM jsonb_to_recordset(p_permissions) AS d(key pg_catalog.text)
        WHERE d.key NOT IN (SELECT key FROM tenancy.permissions)
    ) > 65536 THEN
        outcome := 'too_many_permissions';
        RETURN;
    END IF;
    WITH fresh AS (
        INSERT INTO tenancy.permissions (key, description, bit)
        SELECT d.key, d.description, first_bit + row_number() OVER (ORDER BY d.key) - 1
        FROM jsonb_to_recordset(p_permissions) AS d(key pg_catalog.text, description pg_catalog.text)
        WHERE d.key NOT IN (SELECT key FROM tenancy.permissions)
        RETURNING key
    )
    SELECT coalesce(array_agg(key ORDER BY key), '{}') INTO added FROM fresh;
    UPDATE tenancy.permissions p SET description = d.description
    FROM jsonb_to_recordset(p_permissions) AS d(key pg_catalog.text, description pg_catalog.text)
    WHERE p.key = d.key AND p.description <> d.description;

    FOR one IN
        SELECT d.* FROM jsonb_to_recordset(p_templates) AS d(
            key pg_catalog.text, name pg_catalog.text, version pg_catalog.int4, grants_all pg_catalog.bool,
            permissions pg_catalog.text[], wildcards pg_catalog.text[], parents pg_catalog.text[]
        )
        ORDER BY d.key
    LOOP
        SELECT * INTO newest FROM tenancy.role_templates t
        WHERE t.key = one.key ORDER BY t.revision DESC LIMIT 1;
        CONTINUE WHEN newest.version > one.version;
        -- A default role only gains: what an older process does not know stays.
        wanted := ARRAY(
            SELECT DISTINCT p COLLATE "C" FROM unnest(
                one.permissions || CASE WHEN one.version = 0 THEN ARRAY(
                    SELECT k.key FROM tenancy.permissions k WHERE k.key = ANY (newest.permissions)
                ) END
            ) p ORDER BY 1
        );
        detail := (SELECT min(p) FROM unnest(wanted) p WHERE p NOT IN (SELECT key FROM tenancy.permissions));
        IF detail IS NOT NULL THEN
            outcome := 'permission_unknown';
            RETURN;
        END IF;
        CONTINUE WHEN newest.version = one.version AND newest.permissions = wanted AND newest.name = one.name
            AND newest.wildcards = one.wildcards AND newest.parents = one.parents;
        IF newest.version = one.version AND one.version > 0 THEN
            outcome := 'template_changed';
            detail := one.key;
            RETURN;
        END IF;
        INSERT INTO tenancy.role_templates
            (key, revision, version, name, permissions, wildcards, parents, fresh, grants_all)
        VALUES (
            one.key, coalesce(newest.revision, 0) + 1, one.version, one.name, wanted, one.wildcards, one.parents,
            ARRAY(SELECT p FROM unnest(added) p WHERE p = ANY (wanted)), one.grants_all
        );
        revised := revised + 1;
    END LOOP;
    UPDATE tenancy.permission_bits SET next_bit = next_bit + cardinality(added), serial = serial + 1
    WHERE cardinality(added) + revised > 0;
    outcome := 'ok';
END
$$;

-- What a role grants by name, by wildcards, and from which parents.
CREATE FUNCTION tenancy.role_content(
    p_tenant uuid, p_role text, OUT permissions text[], OUT wildcards text[], OUT parents text[]
)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    permissions := ARRAY(
        SELECT g.permission_key FROM tenancy.role_permissions g
        WHERE g.tenant_id = p_tenant AND g.role_key = p_role AND g.is_direct ORDER BY g.permission_key
    );
    wildcards := ARRAY(
        SELECT w.pattern FROM tenancy.role_wildcards w
        WHERE w.tenant_id = p_tenant AND w.role_key = p_role ORDER BY w.pattern
    );
    parents := ARRAY(
        SELECT p.parent_key FROM tenancy.role_parents p
        WHERE p.tenant_id = p_tenant AND p.role_key = p_role ORDER BY p.parent_key
    );
END
$$;

-- Gives a role the parents its template names, as far as the tenant has them and they may stand
-- above it. For when every role has let go of the parents that its own template no longer names: so two
-- roles can change places, and what is in the way then is the tenant's own doing.
CREATE FUNCTION tenancy.give_template_parents(p_tenant uuid, p_role text, p_parents text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parent pg_catalog.text;
BEGIN
    FOREACH parent IN ARRAY p_parents LOOP
        INSERT INTO tenancy.role_parents (tenant_id, role_key, parent_key)
        SELECT p_tenant, p_role, r.key FROM tenancy.roles r
        WHERE r.tenant_id = p_tenant AND r.key = parent AND parent <> 'owner'
          AND parent <> ALL (tenancy.role_heirs(p_tenant, p_role))
          AND tenancy.role_depth(p_tenant, p_role, false) + 1 + tenancy.role_depth(p_tenant, parent, true) <= 8
        ON CONFLICT DO NOTHING;
    END LOOP;
END
$$;

-- Brings one role in line with the newest revision of its template but for the parents that it gains,
-- or notes that it was edited.
CREATE FUNCTION tenancy.begin_upgrade(p_tenant uuid, p_role text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this tenancy.roles;
    was tenancy.role_templates;
    newest tenancy.role_templates;
    had pg_catalog.record;
    said pg_catalog.text := 'edited';
BEGIN
    SELECT * INTO this FROM tenancy.roles WHERE tenant_id = p_tenant AND key = p_role;
    SELECT * INTO newest FROM tenancy.role_templates WHERE key = p_role ORDER BY revision DESC LIMIT 1;
    SELECT * INTO was FROM tenancy.role_templates WHERE key = p_role AND revision = this.template_revision;
    had := tenancy.role_content(p_tenant, p_role);
    IF (had.permissions, had.wildcards, had.parents) = (was.permissions, was.wildcards, was.parents) THEN
        said := 'upgraded';
        DELETE FROM tenancy.role_permissions
        WHERE tenant_id = p_tenant AND role_key = p_role AND is_direct
          AND permission_key <> ALL (newest.permissions);
        INSERT INTO tenancy.role_permissions AS g (tenant_id, role_key, permission_key)
        SELECT p_tenant, p_role, unnest(newest.permissions)
        ON CONFLICT (tenant_id, role_key, permission_key) DO UPDATE SET is_direct = true WHERE NOT g.is_direct;
        DELETE FROM tenancy.role_wildcards
        WHERE tenant_id = p_tenant AND role_key = p_role AND pattern <> ALL (newest.wildcards);
        INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern)
        SELECT p_tenant, p_role, unnest(newest.wildcards)
        ON CONFLICT DO NOTHING;
        DELETE FROM tenancy.role_parents
        WHERE tenant_id = p_tenant AND role_key = p_role AND parent_key <> ALL (newest.parents);
    ELSE
        -- Nobody decided about these yet.
        INSERT INTO tenancy.role_permissions AS g (tenant_id, role_key, permission_key)
        SELECT DISTINCT p_tenant, p_role, p
        FROM tenancy.role_templates t CROSS JOIN unnest(t.fresh) p
        WHERE t.key = p_role AND t.revision > this.template_revision AND p = ANY (newest.permissions)
        ON CONFLICT (tenant_id, role_key, permission_key) DO UPDATE SET is_direct = true WHERE NOT g.is_direct;
    END IF;
    UPDATE tenancy.roles SET
        template_revision = newest.revision,
        name = CASE WHEN name = was.name THEN newest.name ELSE name END
    WHERE tenant_id = p_tenant AND key = p_role;
    INSERT INTO tenancy.role_upgrades (tenant_id, role_key, revision, outcome, before, after)
    VALUES (p_tenant, p_role, newest.revision, said, to_jsonb(had), '{}');
END
$$;

-- Gives a role the parents that it gains, and notes what became of it. One that can't have all that its
-- template says, because of something that the tenant made, counts as edited.
CREATE FUNCTION tenancy.finish_upgrade(p_tenant uuid, p_role text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest tenancy.role_templates;
    said pg_catalog.text;
    has pg_catalog.record;
BEGIN
    SELECT * INTO newest FROM tenancy.role_templates WHERE key = p_role ORDER BY revision DESC LIMIT 1;
    SELECT u.outcome INTO said FROM tenancy.role_upgrades u
    WHERE u.tenant_id = p_tenant AND u.role_key = p_role AND u.revision = newest.revision;
    PERFORM tenancy.give_template_parents(p_tenant, p_role, newest.parents) WHERE said = 'upgraded';
    has := tenancy.role_content(p_tenant, p_role);
    IF (has.permissions, has.wildcards, has.parents) <> (newest.permissions, newest.wildcards, newest.parents) THEN
        said := 'edited';
    END IF;
    UPDATE tenancy.role_upgrades SET outcome = said, after = to_jsonb(has)
    WHERE tenant_id = p_tenant AND role_key = p_role AND revision = newest.revision;
    RETURN said;
END
$$;

-- Brings a tenant up to date: makes the roles of templates that it neither has nor retired, and
-- upgrades those it has. The caller holds the tenant's row. Answers what was made or changed.
CREATE FUNCTION tenancy.catch_up_tenant(p_tenant uuid, OUT made bigint, OUT upgraded bigint, OUT edited bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_serial pg_catalog.int8;
    fresh pg_catalog.text[];
    behind pg_catalog.text[] := '{}';
    one pg_catalog.record;
    said pg_catalog.text;
    expanded pg_catalog.int8;
BEGIN
    SELECT made_of.serial, 0, 0, 0 INTO this_serial, made, upgraded, edited FROM tenancy.permission_bits made_of;
    WITH newest AS (
        SELECT DISTINCT ON (key) * FROM tenancy.role_templates ORDER BY key, revision DESC
    ), come AS (
        INSERT INTO tenancy.roles (tenant_id, key, name, is_system, template_revision)
        SELECT p_tenant, n.key, n.name, true, n.revision FROM newest n
        WHERE n.key NOT IN (SELECT key FROM tenancy.retired_roles WHERE tenant_id = p_tenant)
        ORDER BY n.key
        ON CONFLICT DO NOTHING
        RETURNING key
    ), granted AS (
        INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
        SELECT p_tenant, c.key, unnest(n.permissions) FROM come c JOIN newest n ON n.key = c.key
    ), wild AS (
        INSERT INTO tenancy.role_wildcards (tenant_id, role_key, pattern)
        SELECT p_tenant, c.key, unnest(n.wildcards) FROM come c JOIN newest n ON n.key = c.key
    )
    SELECT coalesce(array_agg(key ORDER BY key), '{}') INTO fresh FROM come;
    made := cardinality(fresh);
    FOR one IN
        SELECT DISTINCT ON (t.key) t.key, r.is_system, r.template_revision, t.revision
        FROM tenancy.role_templates t JOIN tenancy.roles r ON r.tenant_id = p_tenant AND r.key = t.key
        ORDER BY t.key, t.revision DESC
    LOOP
        IF one.key = ANY (fresh) THEN
            CONTINUE;
        ELSIF NOT one.is_system THEN
            INSERT INTO tenancy.role_upgrades (tenant_id, role_key, revision, outcome, before, after)
            VALUES (p_tenant, one.key, one.revision, 'taken', '{}', '{}')
            ON CONFLICT DO NOTHING;
            edited := edited + CASE WHEN FOUND THEN 1 ELSE 0 END;
        ELSIF one.template_revision < one.revision THEN
            PERFORM tenancy.begin_upgrade(p_tenant, one.key);
            behind := behind || one.key;
        END IF;
    END LOOP;
    behind := behind || fresh;
    FOR one IN
        SELECT DISTINCT ON (t.key) t.key, t.parents FROM tenancy.role_templates t
        WHERE t.key = ANY (behind) ORDER BY t.key, t.revision DESC
    LOOP
        IF one.key = ANY (fresh) THEN
            PERFORM tenancy.give_template_parents(p_tenant, one.key, one.parents);
        ELSE
            said := tenancy.finish_upgrade(p_tenant, one.key);
            upgraded := upgraded + CASE said WHEN 'upgraded' THEN 1 ELSE 0 END;
            edited := edited + CASE said WHEN 'edited' THEN 1 ELSE 0 END;
        END IF;
    END LOOP;
    expanded := tenancy.expand_roles(p_tenant, ARRAY(
        SELECT role_key FROM tenancy.role_wildcards WHERE tenant_id = p_tenant
        UNION SELECT role_key FROM tenancy.role_parents WHERE tenant_id = p_tenant
        UNION SELECT key FROM tenancy.role_templates
    ));
    -- Tenants that are older than this part of the schema have owners already.
    INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key)
    SELECT p_tenant, m.user_id, 'owner' FROM tenancy.memberships m
    WHERE m.tenant_id = p_tenant AND m.is_owner AND 'owner' = ANY (fresh)
    ON CONFLICT DO NOTHING;
    INSERT INTO tenancy.role_state AS s (tenant_id, serial) VALUES (p_tenant, this_serial)
    ON CONFLICT (tenant_id) DO UPDATE SET serial = excluded.serial WHERE s.serial <> excluded.serial;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1
    WHERE tenant_id = p_tenant AND made + upgraded + edited + expanded > 0;
END
$$;

-- Makes the default roles of the context's tenant, and gives its owner the role `owner`. A role that
-- is there already is left as the tenant made it.
CREATE FUNCTION tenancy.seed_roles(
    p_owner uuid, OUT outcome text, OUT detail text, OUT before jsonb
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    done pg_catalog.record;
    given pg_catalog.int8;
BEGIN
    -- A tenant seeded while permissions are being registered would miss the new ones.
    PERFORM FROM tenancy.permission_bits FOR KEY SHARE;
    IF NOT EXISTS (SELECT FROM tenancy.role_templates WHERE key = 'owner') THEN
        outcome := 'not_synchronised';
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM tenancy.memberships
        WHERE tenant_id = this_tenant AND user_id = p_owner AND is_owner
    ) THEN
        outcome := 'member_unknown';
        RETURN;
    END IF;
    PERFORM FROM tenancy.tenants WHERE id = this_tenant FOR NO KEY UPDATE;
    done := tenancy.catch_up_tenant(this_tenant);
    INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key)
    VALUES (this_tenant, p_owner, 'owner')
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS given = ROW_COUNT;
    PERFORM tenancy.bump_epoch() WHERE given > 0;
    outcome := CASE WHEN done.made + done.upgraded + done.edited + given > 0 THEN 'ok' ELSE 'unchanged' END;
END
$$;

-- Brings the next tenants that are behind up to date; none are left when it answers 0 tenants. Two
-- processes that do it at once wait for each other's tenants and find nothing left to do in them.
CREATE FUNCTION tenancy.catch_up_roles(
    p_limit integer, OUT tenants bigint, OUT upgraded bigint, OUT edited bigint
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest_serial pg_catalog.int8;
    behind pg_catalog.uuid;
    done pg_catalog.record;
BEGIN
    SELECT serial, 0, 0, 0 INTO newest_serial, tenants, upgraded, edited
    FROM tenancy.permission_bits FOR KEY SHARE;
    FOR behind IN
        SELECT t.id FROM tenancy.tenants t
        LEFT JOIN tenancy.role_state s ON s.tenant_id = t.id
        WHERE s.serial IS DISTINCT FROM newest_serial AND t.status NOT IN ('purging', 'deleted')
        ORDER BY t.id
        LIMIT p_limit
        FOR NO KEY UPDATE OF t
    LOOP
        done := tenancy.catch_up_tenant(behind);
        tenants := tenants + 1;
        upgraded := upgraded + done.upgraded;
        edited := edited + done.edited;
    END LOOP;
END
$$;

-- A page of the roles that the newest revision of their template did not reach, over all tenants.
CREATE FUNCTION tenancy.edited_roles(p_after_tenant uuid, p_after_role text, p_limit integer)
    RETURNS TABLE (tenant_id uuid, role_key text, version integer, outcome text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT u.tenant_id, u.role_key, t.version, u.outcome
        FROM tenancy.role_upgrades u
        JOIN (
            SELECT DISTINCT ON (n.key) n.key, n.revision, n.version
            FROM tenancy.role_templates n ORDER BY n.key, n.revision DESC
        ) t ON t.key = u.role_key AND t.revision = u.revision
        WHERE u.outcome <> 'upgraded'
          AND (p_after_tenant IS NULL OR (u.tenant_id, u.role_key) > (p_after_tenant, coalesce(p_after_role, '')))
        ORDER BY u.tenant_id, u.role_key
        LIMIT p_limit;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.register_permissions(jsonb, jsonb),
    tenancy.role_content(uuid, text),
    tenancy.give_template_parents(uuid, text, text[]),
    tenancy.begin_upgrade(uuid, text),
    tenancy.finish_upgrade(uuid, text),
    tenancy.catch_up_tenant(uuid),
    tenancy.seed_roles(uuid),
    tenancy.catch_up_roles(integer),
    tenancy.edited_roles(uuid, text, integer)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.seed_roles(uuid) TO tenancy_app;
GRANT EXECUTE ON FUNCTION
    tenancy.register_permissions(jsonb, jsonb),
    tenancy.catch_up_roles(integer),
    tenancy.edited_roles(uuid, text, integer)
TO tenancy_owner;

SET LOCAL ROLE NONE;
