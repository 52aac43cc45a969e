-- The registry of permissions, the templates of roles, and each tenant's roles, grants and
-- assignments. The app role reads; 0002 has the functions that write.

SET LOCAL ROLE tenancy_owner;

-- Owned by code: every process registers what it knows when it migrates, and nothing is removed.
CREATE TABLE tenancy.permissions (
    key text COLLATE "C" PRIMARY KEY
        CHECK (char_length(key) <= 127 AND key ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$'),
    description text NOT NULL CHECK (char_length(description) BETWEEN 1 AND 500),
    -- The place in a snapshot's bitset. A bit that is used again would grant the new permission
    -- to whoever an old snapshot says held the old one.
    bit integer NOT NULL UNIQUE CHECK (bit BETWEEN 0 AND 65535),
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON tenancy.permissions TO tenancy_app;
GRANT SELECT, INSERT, UPDATE ON tenancy.permissions TO tenancy_definer;

-- The next free bit. Its row is also the lock between registering permissions and bringing tenants
-- up to date.
CREATE TABLE tenancy.permission_bits (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    next_bit integer NOT NULL CHECK (next_bit >= 0),
    -- Counts what tenants have to catch up with: new permissions and new revisions of templates.
    serial bigint NOT NULL DEFAULT 0
);
INSERT INTO tenancy.permission_bits (next_bit) VALUES (0);
GRANT SELECT, UPDATE ON tenancy.permission_bits TO tenancy_definer;

-- What roles are made from. A revision is never changed: it is what tells whether a tenant edited
-- the role that was made from it.
CREATE TABLE tenancy.role_templates (
    key text COLLATE "C" NOT NULL CHECK (char_length(key) <= 63 AND key ~ '^[a-z][a-z0-9_]*$'),
    revision integer NOT NULL CHECK (revision > 0),
    -- The host's number; 0 for a default role, whose permissions are those that name it.
    version integer NOT NULL CHECK (version >= 0),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    -- Sorted, each once; so are the next two.
    permissions text[] NOT NULL,
    wildcards text[] NOT NULL DEFAULT '{}',
    parents text[] NOT NULL DEFAULT '{}',
    -- Those permissions that were registered together with this revision: no tenant has had a say
    -- in them yet.
    fresh text[] NOT NULL DEFAULT '{}',
    -- Grants every permission, also those that are registered later.
    grants_all boolean NOT NULL DEFAULT false,
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (key, revision)
);
GRANT SELECT ON tenancy.role_templates TO tenancy_app;
GRANT SELECT, INSERT ON tenancy.role_templates TO tenancy_definer;

CREATE TABLE tenancy.roles (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL CHECK (char_length(key) <= 63 AND key ~ '^[a-z][a-z0-9_]*$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    -- Made from a template: new permissions reach it when they are registered.
    is_system boolean NOT NULL DEFAULT false,
    -- The revision of the template that reached it last.
    template_revision integer CHECK (template_revision > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, key),
    CHECK (is_system OR template_revision IS NULL)
);
SELECT tenancy.protect_table('tenancy.roles', '{select}');
SELECT tenancy.admit_definer('tenancy.roles');

-- A key that was deleted is never given out again: documents and exports still name it.
CREATE TABLE tenancy.retired_roles (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    retired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, key)
);
SELECT tenancy.protect_table('tenancy.retired_roles', '{select}');
SELECT tenancy.admit_definer('tenancy.retired_roles');

-- What each role grants, in full: wildcards and parents are expanded into it when something is
-- written, so that a check compares keys and nothing else.
CREATE TABLE tenancy.role_permissions (
    tenant_id uuid NOT NULL,
    role_key text COLLATE "C" NOT NULL,
    permission_key text COLLATE "C" NOT NULL REFERENCES tenancy.permissions (key) ON DELETE RESTRICT,
    -- Granted by name; false for what only a wildcard or a parent brings.
    is_direct boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant_id, role_key, permission_key),
    FOREIGN KEY (tenant_id, role_key) REFERENCES tenancy.roles (tenant_id, key) ON DELETE CASCADE
);
CREATE INDEX role_permissions_permission ON tenancy.role_permissions (tenant_id, permission_key, role_key);
SELECT tenancy.protect_table('tenancy.role_permissions', '{select}');
SELECT tenancy.admit_definer('tenancy.role_permissions');

-- Both foreign keys hold the tenant: a role of another tenant can't be assigned, and whoever stops
-- being a member has no role left.
CREATE TABLE tenancy.member_roles (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role_key text COLLATE "C" NOT NULL,
    -- The person who really acted; NULL for services, API keys and seeding.
    granted_by uuid,
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz CHECK (isfinite(expires_at)),
    PRIMARY KEY (tenant_id, user_id, role_key),
    FOREIGN KEY (tenant_id, user_id) REFERENCES tenancy.memberships (tenant_id, user_id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, role_key) REFERENCES tenancy.roles (tenant_id, key) ON DELETE CASCADE
);
CREATE INDEX member_roles_role ON tenancy.member_roles (tenant_id, role_key, user_id);
SELECT tenancy.protect_table('tenancy.member_roles', '{select}');
SELECT tenancy.admit_definer('tenancy.member_roles');

-- The one definition of which roles count now. Row-level security binds whoever reads it.
CREATE VIEW tenancy.effective_roles WITH (security_invoker = true) AS
    SELECT r.tenant_id, r.user_id, r.role_key, r.expires_at
    FROM tenancy.member_roles r
    JOIN tenancy.memberships m ON m.tenant_id = r.tenant_id AND m.user_id = r.user_id
    JOIN tenancy.tenants t ON t.id = r.tenant_id
    WHERE m.status = 'active'
      AND t.status IN ('active', 'suspended_read_only')
      AND (r.expires_at IS NULL OR r.expires_at > statement_timestamp());
GRANT SELECT ON tenancy.effective_roles TO tenancy_app, tenancy_definer;

SET LOCAL ROLE NONE;
