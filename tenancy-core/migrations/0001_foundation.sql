-- Roles, schemas, tenants, members, invitations, and the helpers that confine every tenant table.
-- Runs as the operator's login: CREATEROLE and CREATE on the database are enough.

-- Roles belong to the whole cluster: another database may be creating them at this moment.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['tenancy_owner', 'tenancy_definer', 'tenancy_app', 'tenancy_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        IF role_name IN ('tenancy_owner', 'tenancy_definer')
            AND NOT (pg_has_role(current_user, role_name, 'SET') AND pg_has_role(current_user, role_name, 'USAGE'))
        THEN
            EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT TRUE, SET TRUE', role_name);
        END IF;
        -- The doctor attacks as the app's role.
        IF role_name = 'tenancy_app' AND NOT pg_has_role(current_user, role_name, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT FALSE, SET TRUE', role_name);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS tenancy AUTHORIZATION tenancy_owner;
CREATE SCHEMA IF NOT EXISTS util AUTHORIZATION tenancy_owner;
GRANT USAGE, CREATE ON SCHEMA tenancy, util TO tenancy_owner, tenancy_definer;
GRANT USAGE ON SCHEMA tenancy, util TO tenancy_app, tenancy_worker;

SET LOCAL ROLE tenancy_definer;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

SET LOCAL ROLE tenancy_owner;

CREATE TABLE tenancy.schema_migrations (
    component text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    checksum bytea NOT NULL CHECK (octet_length(checksum) = 32),
    -- The oldest program that the schema serves after this step, by the last step that it knows.
    compatible_from integer NOT NULL CHECK (compatible_from BETWEEN 0 AND version),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (component, version)
);
GRANT SELECT ON tenancy.schema_migrations TO tenancy_app, tenancy_worker;

-- ---------------------------------------------------------------------------------------------
-- The context of the running transaction. Plain SQL without SET or SECURITY DEFINER, so that the
-- planner inlines them and estimates for the tenant at hand. After a transaction-local setting
-- has ended it reads as '' and not as NULL.
-- ---------------------------------------------------------------------------------------------

CREATE FUNCTION util.current_tenant() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tenancy.tenant_id', true), '')::uuid;

CREATE FUNCTION util.current_user_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tenancy.user_id', true), '')::uuid;

CREATE FUNCTION util.current_request_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tenancy.request_id', true), '')::uuid;

-- 'user', 'service' or 'api_key'; NULL without a context.
CREATE FUNCTION util.current_actor_kind() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN nullif(current_setting('tenancy.tenant_id', true), '') IS NOT NULL
        THEN coalesce(nullif(current_setting('tenancy.actor_kind', true), ''), 'user') END;

CREATE FUNCTION util.current_actor_id() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(nullif(current_setting('tenancy.actor_id', true), ''),
                    nullif(current_setting('tenancy.user_id', true), ''));

-- For whom the actor acts: the user whom support impersonates, or whom a service works for.
CREATE FUNCTION util.current_on_behalf_of() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tenancy.on_behalf_of', true), '')::uuid;

-- The permissions a service or an API key brings along.
CREATE FUNCTION util.current_permissions() RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN string_to_array(nullif(current_setting('tenancy.permissions', true), ''), ',');

-- The roles a role-scoped read was opened with; empty without any.
CREATE FUNCTION util.current_roles() RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(string_to_array(nullif(current_setting('tenancy.roles', true), ''), ','), '{}'::text[]);

-- ---------------------------------------------------------------------------------------------
-- protect_table: everything that confines a table to the tenant of the transaction. Run by the
-- table's owner, as often as he likes: it does what is missing, takes the table's lock only if
-- something is, and answers with the statements it ran. What is granted and which policies exist
-- follows from p_privileges; a command that is not named has neither. The policies tenant_select,
-- tenant_insert, tenant_update and tenant_delete are its own; a host's other policies stay.
--
-- A partition gets no policy and no grant, whatever p_privileges says: the app reaches it through
-- its table. Tables that inherit from this one are closed to who names them, unless they are
-- protected themselves.
-- ---------------------------------------------------------------------------------------------

-- The statements that are missing, for whoever wants to read them first.
CREATE FUNCTION tenancy.protection_plan(
    p_table regclass,
    p_privileges text[] DEFAULT '{select,insert,update,delete}',
    p_tenant_column name DEFAULT 'tenant_id'
) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part record;
    command text;
    right_one boolean;
    mine text := format('(%I = util.current_tenant())', p_tenant_column);
    wanted text[];
    held text[];
    public_holds boolean;
    steps text[] := '{}';
BEGIN
    FOR part IN
        WITH RECURSIVE below AS (
            SELECT p_table::oid AS oid, 0 AS depth
            UNION ALL
            SELECT i.inhrelid, below.depth + 1 FROM below JOIN pg_catalog.pg_inherits i ON i.inhparent = below.oid
        )
        SELECT DISTINCT ON (c.oid) c.oid, c.oid::regclass AS name, c.relkind, c.relacl, c.relrowsecurity,
            c.relforcerowsecurity, below.depth, c.relispartition
        FROM below JOIN pg_catalog.pg_class c ON c.oid = below.oid
        ORDER BY c.oid, below.depth
    LOOP
        IF part.relkind <> 'f' THEN
            IF NOT part.relrowsecurity THEN
                steps := steps || format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part.name);
            END IF;
            IF NOT part.relforcerowsecurity THEN
                steps := steps || format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', part.name);
            END IF;
        END IF;
        -- One that merely inherits may have been protected for its own sake.
        CONTINUE WHEN part.depth > 0 AND NOT part.relispartition;
        wanted := CASE WHEN part.relispartition THEN '{}' ELSE p_privileges END;

        SELECT coalesce(bool_or(g.grantee = 0), false),
            coalesce(array_agg(g.privilege) FILTER (WHERE g.grantee <> 0), '{}')
        INTO public_holds, held
        FROM (
            SELECT x.grantee, lower(x.privilege_type) AS privilege FROM aclexplode(part.relacl) x
            UNION ALL
            SELECT x.grantee, 'a column' FROM pg_catalog.pg_attribute a, aclexplode(a.attacl) x
            WHERE a.attrelid = part.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
        ) g
        WHERE g.grantee = ANY (ARRAY[0::oid, 'tenancy_app'::regrole::oid]);
        IF public_holds THEN
            steps := steps || format('REVOKE ALL ON %s FROM PUBLIC', part.name);
        END IF;
        IF NOT held <@ wanted THEN
            steps := steps || format('REVOKE ALL ON %s FROM tenancy_app', part.name);
            held := '{}';
        END IF;

        FOREACH command IN ARRAY ARRAY['select', 'insert', 'update', 'delete'] LOOP
            SELECT p.polpermissive AND p.polroles = ARRAY['tenancy_app'::regrole::oid]
                AND p.polcmd = CASE command WHEN 'select' THEN 'r' WHEN 'insert' THEN 'a' WHEN 'update' THEN 'w' ELSE 'd' END
                AND pg_get_expr(p.polqual, p.polrelid) IS NOT DISTINCT FROM CASE WHEN command <> 'insert' THEN mine END
                AND pg_get_expr(p.polwithcheck, p.polrelid) IS NOT DISTINCT FROM CASE WHEN command IN ('insert', 'update') THEN mine END
            INTO right_one
            FROM pg_catalog.pg_policy p WHERE p.polrelid = part.oid AND p.polname = 'tenant_' || command;
            IF right_one IS NOT NULL AND NOT (command = ANY (wanted) AND right_one) THEN
                steps := steps || format('DROP POLICY %I ON %s', 'tenant_' || command, part.name);
            END IF;
            CONTINUE WHEN NOT command = ANY (wanted);
            IF right_one IS NOT TRUE THEN
                steps := steps || format('CREATE POLICY %I ON %s FOR %s TO tenancy_app%s%s',
                    'tenant_' || command, part.name, command,
                    CASE WHEN command <> 'insert' THEN ' USING ' || mine ELSE '' END,
                    CASE WHEN command IN ('insert', 'update') THEN ' WITH CHECK ' || mine ELSE '' END);
            END IF;
            IF NOT command = ANY (held) THEN
                steps := steps || format('GRANT %s ON %s TO tenancy_app', command, part.name);
            END IF;
        END LOOP;
    END LOOP;
    RETURN steps;
END
$$;

-- Refuses what can't be confined, with the reason and the way out.
CREATE FUNCTION tenancy.check_protectable(p_table regclass, p_privileges text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind text;
    owner oid;
BEGIN
    SELECT c.relkind, c.relowner INTO kind, owner FROM pg_catalog.pg_class c WHERE c.oid = p_table;
    IF kind = 'v' THEN
        RAISE EXCEPTION '% is a view, and views have no policies', p_table USING ERRCODE = 'wrong_object_type',
            HINT = format('protect the tables below it, and: ALTER VIEW %s SET (security_invoker = true)', p_table);
    ELSIF kind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '% is no table: it can have no policies', p_table USING ERRCODE = 'wrong_object_type',
            HINT = 'keep it from the app, and give it a function that asks for the tenant';
    END IF;
    IF NOT pg_has_role(current_user, owner, 'USAGE') THEN
        RAISE EXCEPTION 'table % belongs to %, whose rights % does not have', p_table, owner::regrole, current_user
            USING ERRCODE = 'insufficient_privilege',
            HINT = format('run it as the owner, or: ALTER TABLE %s OWNER TO %I', p_table, current_user);
    END IF;
    IF NOT p_privileges <@ '{select,insert,update,delete}'::text[] THEN
        RAISE EXCEPTION 'only select, insert, update and delete can be confined to a tenant, and not all of %', p_privileges
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

-- Lets the owner of the family's tables read and remove rows of the tenant whose context he has set:
-- that is how a tenant is exported and purged. Without a context he still sees nothing. What outlives
-- a tenant, its own row and the audit log, he only reads.
CREATE FUNCTION tenancy.admit_owner(p_table regclass, p_tenant_column name DEFAULT 'tenant_id') RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine text := format('(%I = util.current_tenant())', p_tenant_column);
    wanted text[] := '{select,delete}';
    command text;
    this record;
BEGIN
    SELECT c.relname, c.relispartition, n.nspname, n.nspowner INTO this
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = p_table;
    -- Rows of a partition are reached through its table.
    IF this.relispartition THEN
        RETURN;
    END IF;
    IF this.nspname = 'tenancy' AND (this.relname IN ('tenants', 'tenant_purges', 'webhook_events') OR starts_with(this.relname, 'audit_')) THEN
        wanted := '{select}';
    END IF;
    IF (SELECT count(*) FROM pg_catalog.pg_policy p
        WHERE p.polrelid = p_table AND p.polname = ANY (SELECT 'owner_' || w FROM unnest(wanted) w)
          AND pg_get_expr(p.polqual, p.polrelid) = mine) < cardinality(wanted)
    THEN
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', p_table);
        FOREACH command IN ARRAY wanted LOOP
            EXECUTE format('DROP POLICY IF EXISTS %I ON %s', 'owner_' || command, p_table);
            EXECUTE format('CREATE POLICY %I ON %s FOR %s TO tenancy_owner USING %s', 'owner_' || command, p_table, command, mine);
        END LOOP;
    END IF;
    IF NOT (has_table_privilege('tenancy_owner', p_table, 'SELECT') AND has_table_privilege('tenancy_owner', p_table, 'DELETE')) THEN
        EXECUTE format('GRANT %s ON %s TO tenancy_owner', array_to_string(wanted, ', '), p_table);
    END IF;
    IF NOT has_schema_privilege('tenancy_owner', this.nspname, 'USAGE') AND pg_has_role(current_user, this.nspowner, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO tenancy_owner', this.nspname);
    END IF;
END
$$;

CREATE FUNCTION tenancy.protect_table(
    p_table regclass,
    p_privileges text[] DEFAULT '{select,insert,update,delete}',
    p_tenant_column name DEFAULT 'tenant_id'
) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    steps text[];
    step text;
BEGIN
    PERFORM tenancy.check_protectable(p_table, p_privileges);
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute
        WHERE attrelid = p_table AND attname = p_tenant_column AND NOT attisdropped
          AND atttypid = 'pg_catalog.uuid'::pg_catalog.regtype AND attnotnull
    ) THEN
        RAISE EXCEPTION 'table % has no column % of type uuid NOT NULL', p_table, p_tenant_column
            USING ERRCODE = 'undefined_column',
            HINT = 'add it, fill it, set it NOT NULL, and call protect_table again';
    END IF;
    PERFORM tenancy.admit_owner(p_table, p_tenant_column);
    IF cardinality(tenancy.protection_plan(p_table, p_privileges, p_tenant_column)) = 0 THEN
        RETURN '{}';
    END IF;
    -- Two who protect the table at once do so one after the other, and the second finds it done.
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', p_table);
    steps := tenancy.protection_plan(p_table, p_privileges, p_tenant_column);
    FOREACH step IN ARRAY steps LOOP
        EXECUTE step;
    END LOOP;
    RETURN steps;
END
$$;

-- Takes the table from the app: no grant to it and no policy for it are left, and row-level security
-- stays on, so that nothing is opened by it. The owner's two policies stay: as long as the table holds
-- rows of tenants, a purge has to remove them, and an export to say that it leaves them out. Who means to open the table to everybody says so
-- himself: ALTER TABLE … DISABLE ROW LEVEL SECURITY, and GRANT.
CREATE FUNCTION tenancy.unprotect_table(p_table regclass) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    steps text[];
    step text;
BEGIN
    PERFORM tenancy.check_protectable(p_table, '{}');
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', p_table);
    steps := tenancy.protection_plan(p_table, '{}');
    FOREACH step IN ARRAY steps LOOP
        EXECUTE step;
    END LOOP;
    RAISE NOTICE 'the app has lost table %: row-level security stays on, without a policy for it', p_table
        USING HINT = format('to open it to all tenants: ALTER TABLE %s DISABLE ROW LEVEL SECURITY, and GRANT', p_table);
    RETURN steps;
END
$$;

-- What else keeps a table from being a sound tenant table, by the ids of the doctor's rules. The
-- doctor sees more; this is for who has just protected one, and looks at nothing else.
CREATE FUNCTION tenancy.table_advice(p_table regclass, p_tenant_column name DEFAULT 'tenant_id')
    RETURNS TABLE (rule text, severity text, detail text, fix text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE this AS (
        SELECT c.oid, c.relkind, c.relispartition, c.relowner, c.relrowsecurity, c.relforcerowsecurity,
            a.attnum AS col, a.attnotnull, a.atttypid, d.adbin
        FROM pg_catalog.pg_class c
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = p_tenant_column AND NOT a.attisdropped
        LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum AND a.attgenerated = ''
        WHERE c.oid = p_table
    ), parts AS (
        -- pg_partition_tree would lock the partitions, and stand in the way of who locks the table.
        SELECT i.inhrelid AS oid FROM this JOIN pg_catalog.pg_inherits i ON i.inhparent = this.oid AND this.relkind = 'p'
        UNION ALL
        SELECT i.inhrelid FROM parts JOIN pg_catalog.pg_inherits i ON i.inhparent = parts.oid
    ), keys AS (
        -- Foreign keys from and to this table, with the tenant columns of both sides.
        SELECT k.oid, k.conname, k.conrelid, k.confrelid, k.conkey, k.confkey, k.confdeltype, k.confupdtype,
            child.attnum AS child_col, parent.attnum AS parent_col
        FROM pg_catalog.pg_constraint k
        LEFT JOIN pg_catalog.pg_attribute child ON child.attrelid = k.conrelid AND child.attname = p_tenant_column AND NOT child.attisdropped
        JOIN pg_catalog.pg_attribute parent ON parent.attrelid = k.confrelid AND parent.attname = p_tenant_column AND NOT parent.attisdropped
        WHERE k.contype = 'f' AND k.conparentid = 0 AND p_table IN (k.conrelid, k.confrelid)
    ), uniques AS (
        SELECT i.indexrelid, i.indisprimary, i.indkey[0] AS first_col,
            this.col = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS has_tenant,
            i.indnkeyatts = 1 AND k.atttypid = 'pg_catalog.uuid'::regtype AS is_uuid,
            (SELECT string_agg(coalesce(quote_ident(n.attname), '…'), ', ' ORDER BY u.place)
             FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS u (attnum, place)
             LEFT JOIN pg_catalog.pg_attribute n ON n.attrelid = i.indrelid AND n.attnum = u.attnum
                AND n.attname <> p_tenant_column) AS columns
        FROM this
        JOIN pg_catalog.pg_index i ON i.indrelid = this.oid AND i.indisunique
        LEFT JOIN pg_catalog.pg_attribute k ON k.attrelid = this.oid AND k.attnum = i.indkey[0]
        WHERE NOT this.relispartition AND this.col IS NOT NULL
    ), said AS (
        SELECT 'TEN003' AS rule, 'error' AS severity, format('there is no column %I: tell it apart by tenant first', p_tenant_column) AS detail,
            format('ALTER TABLE %s ADD COLUMN %I uuid; -- fill it, then SET NOT NULL', p_table, p_tenant_column) AS fix
        FROM this WHERE relkind IN ('r', 'p') AND col IS NULL
        UNION ALL
        SELECT 'TEN003', 'error', format('%I may be NULL: such a row belongs to nobody', p_tenant_column),
            format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL;', p_table, p_tenant_column)
        FROM this WHERE relkind IN ('r', 'p') AND col IS NOT NULL AND NOT attnotnull
        UNION ALL
        SELECT 'TEN004', 'error', format('%I is %s, and a tenant is a uuid', p_tenant_column, format_type(atttypid, NULL)),
            format('ALTER TABLE %s ALTER COLUMN %I TYPE uuid USING %2$I::uuid;', p_table, p_tenant_column)
        FROM this WHERE relkind IN ('r', 'p') AND col IS NOT NULL AND atttypid <> 'pg_catalog.uuid'::regtype
        UNION ALL
        SELECT 'TEN010', 'error', format('%I has the default %s', p_tenant_column, pg_get_expr(adbin, oid)),
            format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT;', p_table, p_tenant_column)
        FROM this WHERE pg_get_expr(adbin, oid) <> 'util.current_tenant()'
        UNION ALL
        SELECT 'TEN001', 'error', 'row-level security is not enabled and forced', format('SELECT tenancy.protect_table(%L);', p_table::text)
        FROM this WHERE relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)
        UNION ALL
        SELECT 'TEN005', 'error', format('partition %s is not closed', child.oid::regclass), format('SELECT tenancy.protect_table(%L);', p_table::text)
        FROM parts
        JOIN pg_catalog.pg_class child ON child.oid = parts.oid
        WHERE child.relkind <> 'f' AND NOT (child.relrowsecurity AND child.relforcerowsecurity)
        UNION ALL
        SELECT 'TEN403', 'error', format('partition %s is a foreign table, and can have no policy', child.oid::regclass),
            format('REVOKE ALL ON %s FROM PUBLIC, tenancy_app;', child.oid::regclass)
        FROM parts
        JOIN pg_catalog.pg_class child ON child.oid = parts.oid AND child.relkind = 'f'
        WHERE has_any_column_privilege('tenancy_app', child.oid, 'SELECT, INSERT, UPDATE')
        UNION ALL
        SELECT 'TEN001', 'error', format('%s shows these rows too, and is not protected', parent.oid::regclass),
            format('SELECT tenancy.protect_table(%L);', parent.oid::regclass::text)
        FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_class parent ON parent.oid = i.inhparent AND NOT (parent.relrowsecurity AND parent.relforcerowsecurity)
        WHERE i.inhrelid = p_table
        UNION ALL
        SELECT CASE WHEN p.polpermissive THEN 'TEN104' ELSE 'TEN106' END, CASE WHEN p.polpermissive THEN 'error' ELSE 'warning' END,
            CASE WHEN p.polpermissive THEN format('policy %I opens rows whose tenant it does not ask for', p.polname)
                ELSE format('policy %I is restrictive, which Citus makes permissive', p.polname) END,
            format('DROP POLICY %I ON %s;', p.polname, p_table)
        FROM this
        JOIN pg_catalog.pg_policy p ON p.polrelid = this.oid
        WHERE (p.polroles && ARRAY[0::oid, 'tenancy_app'::regrole::oid])
          AND (NOT p.polpermissive OR EXISTS (
            SELECT FROM unnest(ARRAY[pg_get_expr(p.polqual, this.oid), pg_get_expr(p.polwithcheck, this.oid)]) AS part (condition)
            WHERE part.condition <> format('(%I = util.current_tenant())', p_tenant_column)
              AND NOT starts_with(part.condition, format('((%I = util.current_tenant()) AND ', p_tenant_column))))
        UNION ALL
        SELECT CASE WHEN is_uuid THEN 'TEN302' ELSE 'TEN301' END, CASE WHEN is_uuid THEN 'warning' ELSE 'error' END,
            format('%s is unique over all tenants%s', indexrelid::regclass,
                CASE WHEN is_uuid THEN '' ELSE ', and its error tells what others have' END),
            format('CREATE UNIQUE INDEX CONCURRENTLY ON %s (%I, %s); -- then drop %s', p_table, p_tenant_column, columns, indexrelid::regclass)
        FROM uniques WHERE NOT has_tenant
        UNION ALL
        SELECT 'TEN307', 'warning', format('%I stands behind other columns in %s', p_tenant_column, indexrelid::regclass),
            format('CREATE UNIQUE INDEX CONCURRENTLY ON %s (%I, %s); -- then drop %s', p_table, p_tenant_column, columns, indexrelid::regclass)
        FROM uniques, this WHERE has_tenant AND first_col <> this.col
        UNION ALL
        SELECT 'TEN306', 'warning', 'it has no primary key', format('ALTER TABLE %s ADD PRIMARY KEY (%I, id);', p_table, p_tenant_column)
        FROM this WHERE relkind IN ('r', 'p') AND NOT relispartition
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = p_table AND i.indisprimary)
        UNION ALL
        SELECT 'TEN305', 'warning', format('no index begins with %I: each statement reads the whole table', p_tenant_column),
            format('CREATE INDEX CONCURRENTLY ON %s (%I);', p_table, p_tenant_column)
        FROM this WHERE relkind IN ('r', 'p') AND NOT relispartition AND col IS NOT NULL
          AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = p_table AND i.indkey[0] = this.col AND i.indisvalid AND i.indpred IS NULL)
        UNION ALL
        SELECT CASE WHEN child_col IS NULL THEN 'TEN007' ELSE 'TEN303' END, 'error',
            format('%s.%I lets a row refer to another tenant''s row of %s', conrelid::regclass, conname, confrelid::regclass),
            CASE WHEN child_col IS NULL THEN format('ALTER TABLE %s ADD COLUMN %I uuid; -- then as for every tenant table', conrelid::regclass, p_tenant_column)
                ELSE format('ALTER TABLE %s ADD FOREIGN KEY (%I, %s) REFERENCES %s (%2$I, %5$s) NOT VALID; -- then VALIDATE, and drop %6$I',
                    conrelid::regclass, p_tenant_column,
                    (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.place) FROM unnest(conkey) WITH ORDINALITY AS u (attnum, place)
                     JOIN pg_catalog.pg_attribute a ON a.attrelid = conrelid AND a.attnum = u.attnum),
                    confrelid::regclass,
                    (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.place) FROM unnest(confkey) WITH ORDINALITY AS u (attnum, place)
                     JOIN pg_catalog.pg_attribute a ON a.attrelid = confrelid AND a.attnum = u.attnum),
                    conname) END
        FROM keys
        WHERE child_col IS NULL OR NOT EXISTS (
            SELECT FROM unnest(conkey, confkey) AS pair (mine, theirs) WHERE pair.mine = child_col AND pair.theirs = parent_col)
        UNION ALL
        SELECT 'TEN304', 'warning', format('%I writes NULL or a default when the row it refers to goes', conname),
            format('ALTER TABLE %s DROP CONSTRAINT %I; -- and add it again with RESTRICT or CASCADE', p_table, conname)
        FROM keys WHERE conrelid = p_table AND (confdeltype IN ('n', 'd') OR confupdtype IN ('n', 'd'))
        UNION ALL
        SELECT DISTINCT 'TEN401', 'error', format('view %s reads it with the rights of its owner', v.oid::regclass),
            format('ALTER VIEW %s SET (security_invoker = true);', v.oid::regclass)
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
        JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'v' AND v.oid <> p_table
        WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = p_table AND NOT EXISTS (
            SELECT FROM pg_options_to_table(v.reloptions) o
            WHERE o.option_name = 'security_invoker' AND o.option_value IN ('true', 'on', 'yes', '1'))
        UNION ALL
        SELECT DISTINCT 'TEN402', 'warning', format('materialized view %s keeps rows of all tenants, without policies', v.oid::regclass),
            format('REVOKE ALL ON %s FROM PUBLIC, tenancy_app;', v.oid::regclass)
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
        JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'm'
        WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = p_table
        UNION ALL
        SELECT 'TEN602', 'error', format('its owner %s is of the app: an owner can switch policies off', relowner::regrole),
            format('ALTER TABLE %s OWNER TO tenancy_owner;', p_table)
        FROM this WHERE pg_has_role(relowner, 'tenancy_app'::name, 'USAGE')
          AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid = relowner) AND relowner <> 'tenancy_owner'::regrole
        UNION ALL
        SELECT 'TEN901', 'info', format('trigger %I: Citus has none on distributed tables', g.tgname), format('DROP TRIGGER %I ON %s;', g.tgname, p_table)
        FROM pg_catalog.pg_trigger g WHERE g.tgrelid = p_table AND NOT g.tgisinternal AND g.tgparentid = 0
    )
    SELECT s.rule, s.severity, s.detail, s.fix
    FROM said s
    ORDER BY array_position('{error,warning,info}', s.severity), s.rule, s.detail
$$;

-- Lets the owner of the definer functions reach a table; they hold the tenant's condition.
CREATE FUNCTION tenancy.admit_definer(p_table regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_table);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', p_table);
    EXECUTE format('DROP POLICY IF EXISTS definer_all ON %s', p_table);
    EXECUTE format('CREATE POLICY definer_all ON %s TO tenancy_definer USING (true) WITH CHECK (true)', p_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO tenancy_definer', p_table);
    IF EXISTS (
        SELECT FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = p_table AND a.attname = 'tenant_id' AND a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype
    ) THEN
        PERFORM tenancy.admit_owner(p_table);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.admit_definer(regclass) FROM PUBLIC;

-- ---------------------------------------------------------------------------------------------
-- Tenants and members. The app role reads them; they are written by the functions below, which
-- also bump the epoch that every cache of rights checks.
-- ---------------------------------------------------------------------------------------------

CREATE TABLE tenancy.tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    status text NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'suspended_read_only', 'suspended_blocked', 'deleting', 'purging', 'deleted')),
    status_reason text CHECK (char_length(status_reason) <= 500),
    status_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whether the platform put it into its state: then only the platform takes it out.
    status_by_platform boolean NOT NULL DEFAULT false,
    -- Where a tenant that is to be deleted came from, and returns to if that is taken back.
    status_before text,
    before_by_platform boolean NOT NULL DEFAULT false,
    delete_after timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((status = 'deleting') = (status_before IS NOT NULL)),
    CHECK ((status = 'deleting') = (delete_after IS NOT NULL))
);
SELECT tenancy.protect_table('tenancy.tenants', '{select}', 'id');
SELECT tenancy.admit_definer('tenancy.tenants');

-- Unique across tenants, and so in a table of its own. A former slug stays its tenant's for a while.
CREATE TABLE tenancy.tenant_slugs (
    slug text COLLATE "C" PRIMARY KEY
        CHECK (char_length(slug) BETWEEN 3 AND 63 AND slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    tenant_id uuid NOT NULL,
    former_until timestamptz
);
CREATE INDEX tenant_slugs_tenant ON tenancy.tenant_slugs (tenant_id);
CREATE UNIQUE INDEX tenant_slugs_current ON tenancy.tenant_slugs (tenant_id) WHERE former_until IS NULL;
SELECT tenancy.protect_table('tenancy.tenant_slugs', '{select}');
SELECT tenancy.admit_definer('tenancy.tenant_slugs');

CREATE TABLE tenancy.tenant_epoch (
    tenant_id uuid PRIMARY KEY REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    epoch bigint NOT NULL DEFAULT 1
);
SELECT tenancy.protect_table('tenancy.tenant_epoch', '{select}');
SELECT tenancy.admit_definer('tenancy.tenant_epoch');

CREATE TABLE tenancy.memberships (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'deactivated')),
    is_owner boolean NOT NULL DEFAULT false,
    -- When the transaction began that last made him an owner, or no longer one: what goes with it goes in
    -- that one only.
    ownership_since timestamptz,
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_user ON tenancy.memberships (user_id);
SELECT tenancy.protect_table('tenancy.memberships', '{select}');
SELECT tenancy.admit_definer('tenancy.memberships');

-- Users of an outside login, for hosts whose users are no uuids.
CREATE TABLE tenancy.user_identities (
    issuer text COLLATE "C" NOT NULL CHECK (char_length(issuer) BETWEEN 1 AND 512),
    subject text COLLATE "C" NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 512),
    user_id uuid NOT NULL,
    PRIMARY KEY (issuer, subject)
);
SELECT tenancy.admit_definer('tenancy.user_identities');

CREATE TABLE tenancy.invitations (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    email text NOT NULL CHECK (char_length(email) <= 254),
    email_norm text COLLATE "C" NOT NULL CHECK (email_norm = lower(email_norm)),
    role_keys text[] NOT NULL CHECK (cardinality(role_keys) BETWEEN 1 AND 20),
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'declined', 'revoked')),
    invited_by uuid NOT NULL,
    accepted_by uuid,
    -- When the transaction began that accepted it: what comes with it is given in that one only.
    accepted_at timestamptz,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    CHECK ((status = 'accepted') = (accepted_by IS NOT NULL))
);
CREATE UNIQUE INDEX invitations_pending ON tenancy.invitations (tenant_id, email_norm) WHERE status = 'pending';
CREATE INDEX invitations_email ON tenancy.invitations (tenant_id, email_norm);
SELECT tenancy.protect_table('tenancy.invitations', '{select}');
SELECT tenancy.admit_definer('tenancy.invitations');

-- Unique across tenants; only the hash of a token is ever stored.
CREATE TABLE tenancy.invitation_tokens (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    tenant_id uuid NOT NULL,
    invitation_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- A newer token of the same invitation was sent: this one says so, and opens nothing.
    replaced boolean NOT NULL DEFAULT false,
    FOREIGN KEY (tenant_id, invitation_id) REFERENCES tenancy.invitations (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX invitation_tokens_invitation ON tenancy.invitation_tokens (tenant_id, invitation_id);
SELECT tenancy.admit_definer('tenancy.invitation_tokens');

-- ---------------------------------------------------------------------------------------------
-- Functions that cross tenants or write what the app role may only read. Each answers with a
-- word that says what happened, so that the caller's transaction stays usable.
-- ---------------------------------------------------------------------------------------------

SET LOCAL ROLE tenancy_definer;

-- The one check that leads to a context. Answers no row where there is no such membership.
CREATE FUNCTION tenancy.enter(p_tenant uuid, p_user uuid)
    RETURNS TABLE (tenant_status text, member_status text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.status, m.status
    FROM tenancy.memberships m
    JOIN tenancy.tenants t ON t.id = m.tenant_id
    WHERE m.tenant_id = p_tenant AND m.user_id = p_user
$$;

CREATE FUNCTION tenancy.tenant_status(p_tenant uuid) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT status FROM tenancy.tenants WHERE id = p_tenant $$;

-- In pages: behind this name and id, or from the first.
CREATE FUNCTION tenancy.tenants_of(p_user uuid, p_after_name text, p_after_id uuid, p_limit integer)
    RETURNS TABLE (id uuid, slug text, name text, status text, created_at timestamptz, is_owner boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.id, s.slug, t.name, t.status, t.created_at, m.is_owner
    FROM tenancy.memberships m
    JOIN tenancy.tenants t ON t.id = m.tenant_id
    JOIN tenancy.tenant_slugs s ON s.tenant_id = m.tenant_id AND s.former_until IS NULL
    WHERE m.user_id = p_user AND m.status = 'active' AND t.status NOT IN ('purging', 'deleted')
      AND (p_after_id IS NULL OR (t.name, t.id) > (p_after_name, p_after_id))
    ORDER BY t.name, t.id
    LIMIT least(p_limit, 1000)
$$;

CREATE FUNCTION tenancy.user_for_identity(p_issuer text, p_subject text, p_new uuid) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO tenancy.user_identities (issuer, subject, user_id)
    VALUES (p_issuer, p_subject, p_new)
    ON CONFLICT DO NOTHING;
    RETURN (SELECT user_id FROM tenancy.user_identities WHERE issuer = p_issuer AND subject = p_subject);
END
$$;

CREATE FUNCTION tenancy.create_tenant(p_slug text, p_name text, p_owner uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    IF this_tenant IS NULL THEN
        RETURN 'no_context';
    END IF;
    INSERT INTO tenancy.tenants (id, name) VALUES (this_tenant, p_name) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'tenant_exists';
    END IF;
    IF NOT tenancy.claim_slug(p_slug) THEN
        RETURN 'slug_taken';
    END IF;
    INSERT INTO tenancy.tenant_epoch (tenant_id) VALUES (this_tenant);
    INSERT INTO tenancy.memberships (tenant_id, user_id, is_owner) VALUES (this_tenant, p_owner, true);
    RETURN 'ok';
END
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.enter(uuid, uuid),
    tenancy.tenant_status(uuid),
    tenancy.tenants_of(uuid, text, uuid, integer),
    tenancy.user_for_identity(text, text, uuid),
    tenancy.create_tenant(text, text, uuid)
TO tenancy_app;

SET LOCAL ROLE NONE;
