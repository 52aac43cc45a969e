//! What is done to a sound database, and which rule has to notice.

/// A host's tables as they should be.
pub(crate) const HOST: &str = "
    CREATE TABLE public.notes (tenant_id uuid NOT NULL, id uuid NOT NULL, body text, meta jsonb, PRIMARY KEY (tenant_id, id));
    SELECT tenancy.protect_table('public.notes');
    CREATE TABLE public.events (tenant_id uuid NOT NULL, id uuid NOT NULL, at date NOT NULL, PRIMARY KEY (tenant_id, id, at))
        PARTITION BY RANGE (at);
    SELECT tenancy.protect_table('public.events');
    CREATE TABLE public.events_rest PARTITION OF public.events DEFAULT;
    SELECT tenancy.protect_table('public.events_rest', '{}');
";

pub(crate) const FAULTS: &[(&str, &str)] = &[
    ("TEN001", "ALTER TABLE public.notes DISABLE ROW LEVEL SECURITY"),
    ("TEN001", "ALTER TABLE tenancy.memberships DISABLE ROW LEVEL SECURITY"),
    ("TEN001", "CREATE TABLE public.fresh (tenant_id uuid NOT NULL, id int, PRIMARY KEY (tenant_id, id))"),
    ("TEN001", "CREATE TABLE public.fresh (org uuid NOT NULL REFERENCES tenancy.tenants (id), id int, PRIMARY KEY (org, id))"),
    ("TEN001", "DROP POLICY tenant_select ON tenancy.tenants; ALTER TABLE tenancy.tenants DISABLE ROW LEVEL SECURITY"),
    ("TEN002", "ALTER TABLE public.notes NO FORCE ROW LEVEL SECURITY"),
    ("TEN003", "ALTER TABLE public.notes DROP CONSTRAINT notes_pkey; ALTER TABLE public.notes ALTER tenant_id DROP NOT NULL"),
    ("TEN004", "CREATE TABLE public.texts (tenant_id text NOT NULL, id int, PRIMARY KEY (tenant_id, id))"),
    ("TEN005", "ALTER TABLE public.events_rest DISABLE ROW LEVEL SECURITY"),
    ("TEN005", "ALTER TABLE public.events_rest NO FORCE ROW LEVEL SECURITY"),
    ("TEN006", "GRANT SELECT ON public.events_rest TO tenancy_app"),
    ("TEN006", "GRANT INSERT ON public.events_rest TO PUBLIC"),
    (
        "TEN007",
        "CREATE UNIQUE INDEX solo ON public.notes (id);
         CREATE TABLE public.lines (id int PRIMARY KEY, note uuid REFERENCES public.notes (id));
         GRANT SELECT ON public.lines TO tenancy_app",
    ),
    ("TEN008", "CREATE TABLE public.colors (name text PRIMARY KEY); GRANT INSERT ON public.colors TO tenancy_app"),
    ("TEN009", "ALTER TABLE public.notes SET UNLOGGED"),
    ("TEN010", "ALTER TABLE public.notes ALTER tenant_id SET DEFAULT '01910000-0000-7000-8000-00000000000a'"),
    ("TEN101", "DROP POLICY tenant_delete ON public.notes"),
    ("TEN101", "CREATE POLICY p ON public.events TO tenancy_definer USING (true); DROP POLICY tenant_select ON public.events"),
    ("TEN102", "CREATE POLICY p ON public.notes FOR SELECT USING (tenant_id = util.current_tenant())"),
    ("TEN103", "CREATE ROLE doctor_reporting; CREATE POLICY p ON public.notes FOR SELECT TO doctor_reporting USING (true)"),
    ("TEN104", "ALTER POLICY tenant_select ON public.notes USING (tenant_id = current_setting('tenancy.tenant_id')::uuid)"),
    ("TEN104", "ALTER POLICY tenant_select ON public.notes USING (tenant_id = util.current_tenant() OR body = 'public')"),
    ("TEN104", "ALTER POLICY tenant_select ON public.notes USING ((tenant_id = util.current_tenant() AND body = 'a') OR body = 'b')"),
    ("TEN104", "ALTER POLICY tenant_select ON public.notes USING ((tenant_id = util.current_tenant() AND body = 'a') IS NOT FALSE)"),
    ("TEN104", "ALTER POLICY tenant_select ON public.notes USING (coalesce(tenant_id = util.current_tenant() AND body = 'a', true))"),
    ("TEN104", "ALTER POLICY tenant_select ON public.notes USING (id = util.current_tenant())"),
    ("TEN104", "ALTER POLICY tenant_select ON public.notes USING (tenant_id = util.current_user_id())"),
    ("TEN104", "ALTER POLICY tenant_update ON public.notes WITH CHECK (tenant_id IS NOT NULL)"),
    ("TEN104", "CREATE POLICY p ON public.notes TO tenancy_dev_app USING (body = 'public')"),
    (
        "TEN104",
        "CREATE ROLE doctor_group; GRANT doctor_group TO tenancy_app;
         CREATE POLICY p ON public.notes TO doctor_group USING (body = 'public')",
    ),
    (
        "TEN104",
        "CREATE FUNCTION public.same(uuid, uuid) RETURNS boolean LANGUAGE sql RETURN true;
         CREATE OPERATOR public.= (FUNCTION = public.same, LEFTARG = uuid, RIGHTARG = uuid);
         ALTER POLICY tenant_select ON public.notes USING (tenant_id OPERATOR(public.=) util.current_tenant())",
    ),
    ("TEN105", "ALTER POLICY tenant_select ON public.notes USING (true)"),
    ("TEN105", "ALTER POLICY tenant_insert ON public.notes WITH CHECK (true)"),
    ("TEN106", "CREATE POLICY p ON public.notes AS RESTRICTIVE TO tenancy_app USING (body <> 'x')"),
    (
        "TEN107",
        "ALTER POLICY tenant_select ON public.notes USING (tenant_id = util.current_tenant()
         AND EXISTS (SELECT FROM tenancy.memberships m WHERE m.user_id = util.current_user_id()))",
    ),
    ("TEN108", "CREATE POLICY p ON public.notes FOR SELECT TO tenancy_app USING (tenant_id = util.current_tenant())"),
    ("TEN201", "GRANT TRUNCATE ON public.notes TO tenancy_app"),
    ("TEN201", "GRANT REFERENCES (id) ON public.notes TO tenancy_dev_app"),
    ("TEN201", "CREATE ROLE doctor_group; GRANT doctor_group TO tenancy_app; GRANT TRIGGER ON tenancy.tenants TO doctor_group"),
    ("TEN202", "GRANT SELECT ON public.notes TO PUBLIC"),
    ("TEN202", "GRANT UPDATE (body) ON public.notes TO PUBLIC"),
    ("TEN203", "GRANT CREATE ON SCHEMA public TO PUBLIC"),
    ("TEN203", "CREATE SCHEMA doctor_own AUTHORIZATION tenancy_dev_app"),
    ("TEN204", "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO tenancy_app', current_database()); END $$"),
    ("TEN205", "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO tenancy_app"),
    ("TEN205", "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC"),
    ("TEN206", "GRANT SELECT ON public.notes TO tenancy_app WITH GRANT OPTION"),
    ("TEN207", "GRANT UPDATE (is_owner) ON tenancy.memberships TO tenancy_app"),
    ("TEN207", "GRANT INSERT ON tenancy.schema_migrations TO tenancy_dev_app"),
    ("TEN208", "GRANT SELECT ON tenancy.invitation_tokens TO tenancy_app"),
    (
        "TEN209",
        "CREATE TABLE public.audit_logs (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id));
         SELECT tenancy.protect_table('public.audit_logs')",
    ),
    ("TEN301", "CREATE UNIQUE INDEX body_once ON public.notes (body)"),
    ("TEN301", "CREATE UNIQUE INDEX body_once ON public.notes (body) INCLUDE (tenant_id)"),
    ("TEN302", "CREATE UNIQUE INDEX id_once ON public.notes (id)"),
    (
        "TEN303",
        "CREATE UNIQUE INDEX solo ON public.notes (id);
         CREATE TABLE public.lines (tenant_id uuid NOT NULL, id int, note uuid REFERENCES public.notes (id), PRIMARY KEY (tenant_id, id));
         SELECT tenancy.protect_table('public.lines')",
    ),
    (
        "TEN304",
        "CREATE TABLE public.lines (tenant_id uuid NOT NULL, id int, note uuid, PRIMARY KEY (tenant_id, id),
            FOREIGN KEY (tenant_id, note) REFERENCES public.notes (tenant_id, id) ON DELETE SET NULL (note));
         SELECT tenancy.protect_table('public.lines')",
    ),
    ("TEN305", "ALTER TABLE public.notes DROP CONSTRAINT notes_pkey"),
    ("TEN305", "ALTER TABLE public.notes DROP CONSTRAINT notes_pkey; CREATE INDEX part ON public.notes (tenant_id) WHERE body = 'x'"),
    ("TEN306", "ALTER TABLE public.notes DROP CONSTRAINT notes_pkey"),
    ("TEN307", "ALTER TABLE public.notes DROP CONSTRAINT notes_pkey, ADD PRIMARY KEY (id, tenant_id)"),
    ("TEN308", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.notes_pkey'::regclass"),
    ("TEN309", "ALTER TABLE public.notes ADD CONSTRAINT once EXCLUDE USING btree (body WITH =)"),
    ("TEN310", "ALTER TABLE public.notes ADD CONSTRAINT short CHECK (char_length(body) < 9) NOT VALID"),
    ("TEN311", "CREATE INDEX found ON public.notes USING gin (meta)"),
    ("TEN311", "CREATE INDEX found ON public.notes USING gin (to_tsvector('simple', body))"),
    ("TEN401", "CREATE VIEW public.v AS SELECT * FROM public.notes; GRANT SELECT ON public.v TO tenancy_app"),
    ("TEN401", "CREATE VIEW public.v WITH (security_invoker = false) AS SELECT id FROM public.notes; GRANT SELECT (id) ON public.v TO PUBLIC"),
    (
        "TEN401",
        "CREATE VIEW public.inner_view WITH (security_invoker) AS SELECT * FROM public.notes;
         CREATE VIEW public.v AS SELECT count(*) FROM public.inner_view; GRANT SELECT ON public.v TO tenancy_dev_app",
    ),
    ("TEN402", "CREATE MATERIALIZED VIEW public.m AS SELECT * FROM public.notes; GRANT SELECT ON public.m TO tenancy_app"),
    (
        "TEN402",
        "CREATE VIEW public.v AS SELECT * FROM public.notes;
         CREATE MATERIALIZED VIEW public.m AS SELECT * FROM public.v; GRANT SELECT ON public.m TO PUBLIC",
    ),
    (
        "TEN403",
        "CREATE FOREIGN DATA WRAPPER doctor_fdw; CREATE SERVER doctor_far FOREIGN DATA WRAPPER doctor_fdw;
         CREATE FOREIGN TABLE public.far (tenant_id uuid, id int) SERVER doctor_far; GRANT SELECT ON public.far TO tenancy_app",
    ),
    ("TEN404", "CREATE RULE r AS ON INSERT TO public.notes DO ALSO NOTHING"),
    ("TEN501", "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"),
    ("TEN501", "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS 'SELECT 1'"),
    ("TEN501", "ALTER FUNCTION tenancy.enter(uuid, uuid) RESET search_path"),
    ("TEN502", "ALTER FUNCTION tenancy.create_tenant(text, text, uuid) SET search_path = ''"),
    (
        "TEN503",
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT 1';
         GRANT EXECUTE ON FUNCTION public.f() TO PUBLIC",
    ),
    ("TEN503", "GRANT EXECUTE ON FUNCTION tenancy.remove_member(uuid) TO PUBLIC"),
    (
        "TEN504",
        "CREATE FUNCTION public.f() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
         AS 'SELECT count(*) FROM public.notes'; REVOKE EXECUTE ON FUNCTION public.f() FROM PUBLIC;
         GRANT EXECUTE ON FUNCTION public.f() TO tenancy_app",
    ),
    ("TEN505", "ALTER FUNCTION tenancy.enter(uuid, uuid) OWNER TO tenancy_owner"),
    (
        "TEN506",
        "SET LOCAL ROLE tenancy_definer;
         CREATE FUNCTION tenancy.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
         AS 'SELECT count(*) FROM tenancy.tenants'; GRANT EXECUTE ON FUNCTION tenancy.peek() TO tenancy_worker",
    ),
    (
        "TEN507",
        "SET LOCAL ROLE tenancy_definer;
         CREATE FUNCTION tenancy.jobs_sweep() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
         AS 'SELECT count(*) FROM tenancy.tenants'; GRANT EXECUTE ON FUNCTION tenancy.jobs_sweep() TO tenancy_app",
    ),
    ("TEN508", "ALTER FUNCTION util.current_tenant() SECURITY DEFINER"),
    ("TEN508", "ALTER FUNCTION util.current_roles() SET search_path = pg_catalog"),
    ("TEN508", "ALTER FUNCTION util.current_user_id() VOLATILE"),
    (
        "TEN509",
        "CREATE OR REPLACE FUNCTION util.current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
         RETURN coalesce(nullif(current_setting('tenancy.tenant_id', true), ''), '01910000-0000-7000-8000-00000000000a')::uuid",
    ),
    (
        "TEN509",
        "CREATE OR REPLACE FUNCTION util.current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
         AS 'SELECT nullif(current_setting(''tenancy.tenant_id'', true), '''')::uuid'",
    ),
    ("TEN510", "CREATE FUNCTION public.f(text) RETURNS boolean LANGUAGE sql LEAKPROOF RETURN true"),
    ("TEN511", "ALTER DEFAULT PRIVILEGES FOR ROLE tenancy_definer GRANT EXECUTE ON FUNCTIONS TO PUBLIC"),
    ("TEN511", "ALTER DEFAULT PRIVILEGES FOR ROLE tenancy_owner GRANT EXECUTE ON FUNCTIONS TO tenancy_app"),
    ("TEN511", "ALTER DEFAULT PRIVILEGES IN SCHEMA tenancy GRANT EXECUTE ON FUNCTIONS TO PUBLIC"),
    ("TEN511", "ALTER DEFAULT PRIVILEGES IN SCHEMA util GRANT EXECUTE ON ROUTINES TO tenancy_dev_app"),
    (
        "TEN511",
        "CREATE ROLE doctor_group; ALTER DEFAULT PRIVILEGES FOR ROLE tenancy_definer GRANT EXECUTE ON FUNCTIONS TO doctor_group",
    ),
    (
        "TEN511",
        "CREATE ROLE doctor_group; ALTER DEFAULT PRIVILEGES FOR ROLE tenancy_definer IN SCHEMA util GRANT EXECUTE ON FUNCTIONS TO doctor_group",
    ),
    ("TEN601", "CREATE ROLE doctor_login LOGIN SUPERUSER; GRANT tenancy_app TO doctor_login"),
    (
        "TEN601",
        "CREATE ROLE doctor_strong BYPASSRLS; CREATE ROLE doctor_login LOGIN;
         GRANT tenancy_app TO doctor_login; GRANT doctor_strong TO doctor_login WITH INHERIT FALSE, SET TRUE",
    ),
    ("TEN602", "CREATE ROLE doctor_login LOGIN; GRANT tenancy_app, tenancy_owner TO doctor_login"),
    ("TEN602", "CREATE ROLE doctor_login LOGIN; GRANT tenancy_app, tenancy_worker TO doctor_login"),
    ("TEN602", "ALTER TABLE public.notes OWNER TO tenancy_dev_app"),
    ("TEN603", "CREATE ROLE doctor_login LOGIN CREATEROLE; GRANT tenancy_app TO doctor_login"),
    ("TEN603", "CREATE ROLE doctor_login LOGIN REPLICATION; GRANT tenancy_app TO doctor_login"),
    ("TEN604", "CREATE ROLE doctor_login LOGIN; GRANT tenancy_app, pg_read_all_data TO doctor_login"),
    ("TEN605", "ALTER ROLE tenancy_definer LOGIN"),
    ("TEN606", "CREATE ROLE doctor_login LOGIN; ALTER ROLE doctor_login SET tenancy.tenant_id = '01910000-0000-7000-8000-00000000000a'"),
    ("TEN606", "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET tenancy.roles = ''admin''', current_database()); END $$"),
    ("TEN607", "SET LOCAL tenancy.tenant_id = '01910000-0000-7000-8000-00000000000a'"),
    ("TEN701", "SET LOCAL tenancy_doctor.server_version_num = '160009'"),
    ("TEN701", "SET LOCAL tenancy_doctor.server_version_num = '170005'"),
    ("TEN801", "DELETE FROM tenancy.schema_migrations; INSERT INTO tenancy.schema_migrations VALUES ('core', 2, 'x', decode(repeat('00', 32), 'hex'), 0)"),
    ("TEN802", "CREATE TABLE tenancy.extra (id int)"),
    ("TEN802", "ALTER FUNCTION util.current_tenant() OWNER TO tenancy_dev_app"),
    ("TEN803", "GRANT CREATE ON SCHEMA util TO tenancy_app"),
    (
        "TEN901",
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER g BEFORE UPDATE ON public.notes FOR EACH ROW EXECUTE FUNCTION public.f()",
    ),
    (
        "TEN902",
        "CREATE TABLE public.counted (tenant_id uuid NOT NULL, id serial, PRIMARY KEY (tenant_id, id));
         SELECT tenancy.protect_table('public.counted')",
    ),
];
