-- A connection that is one too many is refused before anything of it is stored.

SET LOCAL ROLE tenancy_definer;

-- Makes a connection, or makes it anew: the id stays, so that its tools keep their approvals and
-- its idempotency keys keep their results. Any answer but 'ok' has changed nothing: the caller may go on
-- with his transaction.
CREATE OR REPLACE FUNCTION tenancy.mcp_connect(p_id uuid, p_key text, p_provider text, p_credential uuid, p_most integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant uuid := util.current_tenant();
    held record;
BEGIN
    IF this_tenant IS NULL THEN
        RETURN 'no_context';
    END IF;
    IF NOT EXISTS (SELECT FROM tenancy.tenants WHERE id = this_tenant AND status = 'active') THEN
        RETURN 'suspended';
    END IF;
    IF NOT EXISTS (SELECT FROM tenancy.mcp_providers WHERE key = p_provider AND allowed) THEN
        RETURN 'provider_closed';
    END IF;
    SELECT provider, status INTO held FROM tenancy.mcp_connections
    WHERE tenant_id = this_tenant AND key = p_key FOR UPDATE;
    IF NOT FOUND THEN
        -- Of two new ones the second waits here, and then sees and counts the first.
        PERFORM FROM tenancy.tenant_epoch WHERE tenant_id = this_tenant FOR NO KEY UPDATE;
        SELECT provider, status INTO held FROM tenancy.mcp_connections
        WHERE tenant_id = this_tenant AND key = p_key FOR UPDATE;
    END IF;
    IF NOT FOUND THEN
        IF p_most <= (SELECT count(*) FROM tenancy.mcp_connections WHERE tenant_id = this_tenant) THEN
            RETURN 'limit';
        END IF;
        INSERT INTO tenancy.mcp_connections (tenant_id, id, key, provider, credential_id, created_by)
        VALUES (this_tenant, p_id, p_key, p_provider, p_credential, util.current_user_id());
    ELSIF held.provider <> p_provider THEN
        RETURN 'other_provider';
    ELSIF held.status IN ('connected', 'degraded') THEN
        RETURN 'open';
    ELSE
        UPDATE tenancy.mcp_connections
        SET status = 'pending', status_reason = NULL, status_at = clock_timestamp(),
            credential_id = p_credential, generation = generation + 1
        WHERE tenant_id = this_tenant AND key = p_key;
    END IF;
    UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = this_tenant;
    RETURN 'ok';
END
$$;

SET LOCAL ROLE NONE;
