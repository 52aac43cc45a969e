-- API keys of tenants. The app role reads what a tenant may see of its keys; they are written, and
-- looked up by the hash of their secret, by the functions below.

SET LOCAL ROLE tenancy_owner;

CREATE TABLE tenancy.api_keys (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    -- What is shown of the key, up to its secret part.
    prefix text COLLATE "C" NOT NULL CHECK (char_length(prefix) BETWEEN 1 AND 40),
    permissions text[] NOT NULL CHECK (cardinality(permissions) BETWEEN 1 AND 50),
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    -- The key that replaced it; from then on it ends with its overlap.
    rotated_to uuid,
    PRIMARY KEY (tenant_id, id)
);
SELECT tenancy.protect_table('tenancy.api_keys', '{select}');
SELECT tenancy.admit_definer('tenancy.api_keys');

-- Unique across tenants; only the hash of a key is ever stored, and found by its index.
CREATE TABLE tenancy.api_key_hashes (
    key_hash bytea PRIMARY KEY CHECK (octet_length(key_hash) = 32),
    tenant_id uuid NOT NULL,
    key_id uuid NOT NULL,
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenancy.api_keys (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX api_key_hashes_key ON tenancy.api_key_hashes (tenant_id, key_id);
SELECT tenancy.admit_definer('tenancy.api_key_hashes');

SET LOCAL ROLE tenancy_definer;

-- Whether whoever made a key is still, without a break, an active member. A key of somebody who
-- left is dead, also after he comes back.
CREATE FUNCTION tenancy.api_key_maker_stays(p_tenant uuid, p_maker uuid, p_made timestamptz) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM tenancy.memberships
        WHERE tenant_id = p_tenant AND user_id = p_maker AND status = 'active' AND joined_at <= p_made
    )
$$;

-- 'ok', or 'limit' where the tenant has p_most keys that can be used. Keys that have been dead for
-- 90 days go, and of the others that are dead all but the newest 500: the audit log has their story.
CREATE FUNCTION tenancy.create_api_key(
    p_id uuid, p_name text, p_prefix text, p_permissions text[], p_hash bytea, p_valid_for interval, p_most integer
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    at timestamptz := clock_timestamp();
BEGIN
    -- One after the other, so that the limit holds.
    PERFORM FROM tenancy.tenants WHERE id = this_tenant FOR NO KEY UPDATE;
    DELETE FROM tenancy.api_keys
    WHERE tenant_id = this_tenant AND (least(revoked_at, expires_at) < at - interval '90 days' OR id IN (
        SELECT k.id FROM tenancy.api_keys k
        WHERE k.tenant_id = this_tenant AND least(k.revoked_at, k.expires_at) < at
        ORDER BY k.id DESC OFFSET 500));
    IF (SELECT count(*) FROM tenancy.api_keys
        WHERE tenant_id = this_tenant AND revoked_at IS NULL AND rotated_to IS NULL AND expires_at > at) >= p_most
    THEN
        RETURN 'limit';
    END IF;
    INSERT INTO tenancy.api_keys (tenant_id, id, name, prefix, permissions, created_by, created_at, expires_at)
    VALUES (this_tenant, p_id, p_name, p_prefix, p_permissions, util.current_user_id(), at, at + p_valid_for);
    INSERT INTO tenancy.api_key_hashes (key_hash, tenant_id, key_id) VALUES (p_hash, this_tenant, p_id);
    RETURN 'ok';
END
$$;

-- Replaces a key by one with the same name and permissions; the old one works for p_overlap more.
-- 'ok', 'unknown' where there is no such key that can be used and was not replaced yet, or 'limit'
-- where p_most replaced ones still work: replacing them in a row would be a way past the limit.
CREATE FUNCTION tenancy.rotate_api_key(
    p_old uuid, p_id uuid, p_prefix text, p_hash bytea, p_valid_for interval, p_overlap interval, p_most integer
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    at timestamptz := clock_timestamp();
    old tenancy.api_keys;
BEGIN
    PERFORM FROM tenancy.tenants WHERE id = this_tenant FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM tenancy.api_keys
        WHERE tenant_id = this_tenant AND revoked_at IS NULL AND rotated_to IS NOT NULL AND expires_at > at) >= p_most
    THEN
        RETURN 'limit';
    END IF;
    UPDATE tenancy.api_keys SET rotated_to = p_id, expires_at = least(expires_at, at + p_overlap)
    WHERE tenant_id = this_tenant AND id = p_old
      AND revoked_at IS NULL AND rotated_to IS NULL AND expires_at > at
    RETURNING * INTO old;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    INSERT INTO tenancy.api_keys (tenant_id, id, name, prefix, permissions, created_by, created_at, expires_at)
    VALUES (this_tenant, p_id, old.name, p_prefix, old.permissions, util.current_user_id(), at, at + p_valid_for);
    INSERT INTO tenancy.api_key_hashes (key_hash, tenant_id, key_id) VALUES (p_hash, this_tenant, p_id);
    RETURN 'ok';
END
$$;

CREATE FUNCTION tenancy.revoke_api_key(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
BEGIN
    UPDATE tenancy.api_keys SET revoked_at = clock_timestamp()
    WHERE tenant_id = this_tenant AND id = p_id AND revoked_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM tenancy.api_key_hashes WHERE tenant_id = this_tenant AND key_id = p_id;
    RETURN true;
END
$$;

-- Keyed by a secret: who has the key may see whose it is, before any tenant is entered. Notes the
-- use, at most once a minute, and without waiting for another who does so at this moment.
CREATE FUNCTION tenancy.open_api_key(p_hash bytea)
    RETURNS TABLE (tenant_id uuid, id uuid, permissions text[], state text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    at timestamptz := clock_timestamp();
    found_key tenancy.api_keys;
    answer text;
BEGIN
    SELECT k.* INTO found_key
    FROM tenancy.api_key_hashes h
    JOIN tenancy.api_keys k ON k.tenant_id = h.tenant_id AND k.id = h.key_id
    WHERE h.key_hash = p_hash AND k.revoked_at IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    answer := CASE
        WHEN found_key.expires_at <= at THEN 'expired'
        WHEN NOT tenancy.api_key_maker_stays(found_key.tenant_id, found_key.created_by, found_key.created_at)
            THEN 'maker_gone'
        ELSE 'ok' END;
    IF answer = 'ok' AND coalesce(found_key.last_used_at < at - interval '1 minute', true) THEN
        UPDATE tenancy.api_keys SET last_used_at = at
        WHERE (tenant_id, id) IN (
            SELECT k.tenant_id, k.id FROM tenancy.api_keys k
            WHERE k.tenant_id = found_key.tenant_id AND k.id = found_key.id
              AND coalesce(k.last_used_at < at - interval '1 minute', true)
            FOR NO KEY UPDATE SKIP LOCKED
        );
    END IF;
    RETURN QUERY SELECT found_key.tenant_id, found_key.id, found_key.permissions, answer;
END
$$;

-- The state of the tenant and who made the key, if it can be used: how a stored principal comes back.
CREATE FUNCTION tenancy.enter_api_key(p_tenant uuid, p_key uuid)
    RETURNS TABLE (tenant_status text, maker uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.status, k.created_by
    FROM tenancy.api_keys k
    JOIN tenancy.tenants t ON t.id = k.tenant_id
    WHERE k.tenant_id = p_tenant AND k.id = p_key AND k.revoked_at IS NULL AND k.expires_at > clock_timestamp()
      AND tenancy.api_key_maker_stays(k.tenant_id, k.created_by, k.created_at)
$$;

GRANT EXECUTE ON FUNCTION
    tenancy.create_api_key(uuid, text, text, text[], bytea, interval, integer),
    tenancy.rotate_api_key(uuid, uuid, text, bytea, interval, interval, integer),
    tenancy.revoke_api_key(uuid),
    tenancy.open_api_key(bytea),
    tenancy.enter_api_key(uuid, uuid)
TO tenancy_app;

SET LOCAL ROLE NONE;
