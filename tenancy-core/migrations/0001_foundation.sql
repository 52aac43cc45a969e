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
    breaking boolean NOT NULL,
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
-- table's owner, as often as he likes. What is granted and which policies exist follows from
-- p_privileges; a command that is not named has neither.
-- ---------------------------------------------------------------------------------------------

CREATE FUNCTION tenancy.protect_table(
    p_table regclass,
    p_privileges text[] DEFAULT '{select,insert,update,delete}',
    p_tenant_column name DEFAULT 'tenant_id'
) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    command text;
    mine text := format('%I = util.current_tenant()', p_tenant_column);
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute
        WHERE attrelid = p_table AND attname = p_tenant_column AND NOT attisdropped
          AND atttypid = 'pg_catalog.uuid'::pg_catalog.regtype AND attnotnull
    ) THEN
        RAISE EXCEPTION 'table % has no column % of type uuid NOT NULL', p_table, p_tenant_column
            USING HINT = 'add it, fill it, set it NOT NULL, and call protect_table again';
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_table);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', p_table);
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, tenancy_app', p_table);
    FOREACH command IN ARRAY ARRAY['select', 'insert', 'update', 'delete'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %s', 'tenant_' || command, p_table);
        CONTINUE WHEN NOT command = ANY (p_privileges);
        EXECUTE format('CREATE POLICY %I ON %s FOR %s TO tenancy_app %s %s',
            'tenant_' || command, p_table, command,
            CASE WHEN command <> 'insert' THEN 'USING (' || mine || ')' END,
            CASE WHEN command IN ('insert', 'update') THEN 'WITH CHECK (' || mine || ')' END);
        EXECUTE format('GRANT %s ON %s TO tenancy_app', command, p_table);
    END LOOP;
END
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
        CHECK (status IN ('active', 'suspended_read_only', 'suspended_blocked', 'deleting', 'deleted')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT tenancy.protect_table('tenancy.tenants', '{select}', 'id');
SELECT tenancy.admit_definer('tenancy.tenants');

-- Unique across tenants, and so in a table of its own.
CREATE TABLE tenancy.tenant_slugs (
    slug text COLLATE "C" PRIMARY KEY
        CHECK (char_length(slug) BETWEEN 3 AND 63 AND slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    tenant_id uuid NOT NULL
);
CREATE INDEX tenant_slugs_tenant ON tenancy.tenant_slugs (tenant_id);
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
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'revoked')),
    invited_by uuid NOT NULL,
    accepted_by uuid,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    CHECK ((status = 'accepted') = (accepted_by IS NOT NULL))
);
CREATE UNIQUE INDEX invitations_pending ON tenancy.invitations (tenant_id, email_norm) WHERE status = 'pending';
SELECT tenancy.protect_table('tenancy.invitations', '{select}');
SELECT tenancy.admit_definer('tenancy.invitations');

-- Unique across tenants; only the hash of a token is ever stored.
CREATE TABLE tenancy.invitation_tokens (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    tenant_id uuid NOT NULL,
    invitation_id uuid NOT NULL,
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

CREATE FUNCTION tenancy.tenants_of(p_user uuid)
    RETURNS TABLE (id uuid, slug text, name text, status text, created_at timestamptz, is_owner boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.id, s.slug, t.name, t.status, t.created_at, m.is_owner
    FROM tenancy.memberships m
    JOIN tenancy.tenants t ON t.id = m.tenant_id
    JOIN tenancy.tenant_slugs s ON s.tenant_id = m.tenant_id
    WHERE m.user_id = p_user AND m.status = 'active' AND t.status <> 'deleted'
    ORDER BY t.name, t.id
    LIMIT 1000
$$;

CREATE FUNCTION tenancy.tenant_by_slug(p_slug text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT tenant_id FROM tenancy.tenant_slugs WHERE slug = p_slug $$;

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
    INSERT INTO tenancy.tenant_slugs (slug, tenant_id) VALUES (p_slug, this_tenant) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'slug_taken';
    END IF;
    INSERT INTO tenancy.tenant_epoch (tenant_id) VALUES (this_tenant);
    INSERT INTO tenancy.memberships (tenant_id, user_id, is_owner) VALUES (this_tenant, p_owner, true);
    RETURN 'ok';
END
$$;

CREATE FUNCTION tenancy.set_tenant_status(p_from text, p_to text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    UPDATE tenancy.tenants SET status = p_to, updated_at = clock_timestamp()
    WHERE id = this_tenant AND status = p_from;
    IF NOT FOUND THEN
        RETURN 'stale';
    END IF;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    RETURN 'ok';
END
$$;

CREATE FUNCTION tenancy.create_invitation(
    p_id uuid, p_email text, p_email_norm text, p_roles text[], p_token_hash bytea, p_valid_for interval
) RETURNS timestamptz
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    expiry timestamptz := clock_timestamp() + p_valid_for;
BEGIN
    UPDATE tenancy.invitations SET status = 'revoked'
    WHERE tenant_id = this_tenant AND email_norm = p_email_norm AND status = 'pending';
    INSERT INTO tenancy.invitations (tenant_id, id, email, email_norm, role_keys, invited_by, expires_at)
    VALUES (this_tenant, p_id, p_email, p_email_norm, p_roles, util.current_user_id(), expiry);
    INSERT INTO tenancy.invitation_tokens (token_hash, tenant_id, invitation_id)
    VALUES (p_token_hash, this_tenant, p_id);
    RETURN expiry;
END
$$;

-- Keyed by a secret: who has the token may see what it opens, before any tenant is entered.
CREATE FUNCTION tenancy.open_invitation(p_token_hash bytea)
    RETURNS TABLE (
        tenant_id uuid, id uuid, email text, role_keys text[], status text,
        invited_by uuid, expires_at timestamptz, expired boolean
    )
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.tenant_id, i.id, i.email, i.role_keys, i.status, i.invited_by, i.expires_at,
           i.expires_at <= clock_timestamp()
    FROM tenancy.invitation_tokens k
    JOIN tenancy.invitations i ON i.tenant_id = k.tenant_id AND i.id = k.invitation_id
    WHERE k.token_hash = p_token_hash
$$;

CREATE FUNCTION tenancy.accept_invitation(p_token_hash bytea, p_user uuid, p_email_norm text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    UPDATE tenancy.invitations i SET status = 'accepted', accepted_by = p_user
    FROM tenancy.invitation_tokens k
    WHERE k.token_hash = p_token_hash AND k.tenant_id = this_tenant
      AND i.tenant_id = k.tenant_id AND i.id = k.invitation_id
      AND i.status = 'pending' AND i.expires_at > clock_timestamp() AND i.email_norm = p_email_norm;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO tenancy.memberships (tenant_id, user_id) VALUES (this_tenant, p_user)
    ON CONFLICT (tenant_id, user_id) DO UPDATE SET status = 'active';
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    RETURN true;
END
$$;

CREATE FUNCTION tenancy.revoke_invitation(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE tenancy.invitations SET status = 'revoked'
    WHERE tenant_id = util.current_tenant() AND id = p_id AND status = 'pending';
    RETURN FOUND;
END
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.enter(uuid, uuid),
    tenancy.tenant_status(uuid),
    tenancy.tenants_of(uuid),
    tenancy.tenant_by_slug(text),
    tenancy.user_for_identity(text, text, uuid),
    tenancy.create_tenant(text, text, uuid),
    tenancy.set_tenant_status(text, text),
    tenancy.create_invitation(uuid, text, text, text[], bytea, interval),
    tenancy.open_invitation(bytea),
    tenancy.accept_invitation(bytea, uuid, text),
    tenancy.revoke_invitation(uuid)
TO tenancy_app;

SET LOCAL ROLE NONE;
