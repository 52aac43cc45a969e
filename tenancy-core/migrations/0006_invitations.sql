-- How people are invited, and what becomes of it. What is pending past its time has expired; no
-- sweep is needed for that.
--
-- As with members, answers are words, and the tenant's row is locked first.

SET LOCAL ROLE tenancy_definer;

-- How often something was sent to an address within the last hour. Bounds what can be done to the
-- mailbox of somebody who never asked for it.
CREATE FUNCTION tenancy.sent_within_the_hour(p_email_norm text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*)
    FROM tenancy.invitations i
    JOIN tenancy.invitation_tokens k ON k.tenant_id = i.tenant_id AND k.invitation_id = i.id
    WHERE i.tenant_id = util.current_tenant() AND i.email_norm = p_email_norm
      AND k.created_at > clock_timestamp() - interval '1 hour'
$$;

-- How many invitations wait for an answer: of the tenant (NULL), or to this address.
CREATE FUNCTION tenancy.invitations_waiting(p_email_norm text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM tenancy.invitations
    WHERE tenant_id = util.current_tenant() AND status = 'pending'
      AND expires_at > clock_timestamp() AND (p_email_norm IS NULL OR email_norm = p_email_norm)
$$;

-- Invites one address after the other; an older pending invitation to it is revoked. Each row has
-- an answer of its own: 'ok', 'limit' (p_most wait already), or 'too_often' (p_sends in an hour).
CREATE FUNCTION tenancy.create_invitations(
    p_ids uuid[], p_emails text[], p_norms text[], p_hashes bytea[],
    p_roles text[], p_valid_for interval, p_most bigint, p_sends bigint
) RETURNS TABLE (outcome text, expires_at timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    place pg_catalog.int4;
    waiting pg_catalog.int8;
    fresh pg_catalog.int8;
BEGIN
    PERFORM tenancy.lock_tenant();
    waiting := tenancy.invitations_waiting(NULL);
    expires_at := clock_timestamp() + p_valid_for;
    FOR place IN SELECT generate_subscripts(p_ids, 1) LOOP
        fresh := 1 - tenancy.invitations_waiting(p_norms[place]);
        IF tenancy.sent_within_the_hour(p_norms[place]) >= p_sends THEN
            outcome := 'too_often';
        ELSIF waiting + fresh > p_most THEN
            outcome := 'limit';
        ELSE
            UPDATE tenancy.invitations i SET status = 'revoked'
            WHERE i.tenant_id = this_tenant AND i.email_norm = p_norms[place] AND i.status = 'pending';
            INSERT INTO tenancy.invitations AS i (tenant_id, id, email, email_norm, role_keys, invited_by, expires_at)
            VALUES (this_tenant, p_ids[place], p_emails[place], p_norms[place], p_roles,
                tenancy.acting_for_himself(), create_invitations.expires_at);
            INSERT INTO tenancy.invitation_tokens (token_hash, tenant_id, invitation_id)
            VALUES (p_hashes[place], this_tenant, p_ids[place]);
            waiting := waiting + fresh;
            outcome := 'ok';
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- A new token for a pending invitation, which lasts anew and stands on the word of whoever sends it
-- again. Every older token is dead.
CREATE FUNCTION tenancy.resend_invitation(
    p_id uuid, p_hash bytea, p_valid_for interval, p_most bigint, p_sends bigint,
    OUT outcome text, OUT expires_at timestamptz
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    invitation tenancy.invitations;
BEGIN
    PERFORM tenancy.lock_tenant();
    SELECT * INTO invitation FROM tenancy.invitations i WHERE i.tenant_id = this_tenant AND i.id = p_id;
    IF NOT FOUND THEN
        outcome := 'unknown';
    ELSIF invitation.status <> 'pending' THEN
        outcome := invitation.status;
    ELSIF tenancy.sent_within_the_hour(invitation.email_norm) >= p_sends THEN
        outcome := 'too_often';
    ELSIF tenancy.invitations_waiting(NULL) + 1 - tenancy.invitations_waiting(invitation.email_norm) > p_most THEN
        outcome := 'limit';
    ELSE
        expires_at := clock_timestamp() + p_valid_for;
        UPDATE tenancy.invitation_tokens SET replaced = true
        WHERE tenant_id = this_tenant AND invitation_id = p_id;
        INSERT INTO tenancy.invitation_tokens (token_hash, tenant_id, invitation_id)
        VALUES (p_hash, this_tenant, p_id);
        UPDATE tenancy.invitations i
        SET expires_at = resend_invitation.expires_at, invited_by = tenancy.acting_for_himself()
        WHERE i.tenant_id = this_tenant AND i.id = p_id;
        outcome := 'ok';
    END IF;
END
$$;

-- Keyed by a secret: who has the token may see what it opens, before any tenant is entered.
CREATE FUNCTION tenancy.open_invitation(p_token_hash bytea)
    RETURNS TABLE (
        tenant_id uuid, id uuid, email text, role_keys text[], status text,
        invited_by uuid, expires_at timestamptz, accepted_by uuid, replaced boolean, tenant_status text
    )
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.tenant_id, i.id, i.email, i.role_keys,
        CASE WHEN i.status = 'pending' AND i.expires_at <= clock_timestamp() THEN 'expired' ELSE i.status END,
        i.invited_by, i.expires_at, i.accepted_by, k.replaced, t.status
    FROM tenancy.invitation_tokens k
    JOIN tenancy.invitations i ON i.tenant_id = k.tenant_id AND i.id = k.invitation_id
    JOIN tenancy.tenants t ON t.id = i.tenant_id
    WHERE k.token_hash = p_token_hash
$$;

-- Accepts (with a membership) or declines. A member who was kept out comes in again only with
-- p_let_in, which says that the inviter may do that; an owner only on the word of an owner.
CREATE FUNCTION tenancy.answer_invitation(
    p_token_hash bytea, p_user uuid, p_email_norm text, p_to text, p_let_in boolean
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    tenant_status pg_catalog.text := tenancy.lock_tenant();
    token tenancy.invitation_tokens;
    invitation tenancy.invitations;
    member tenancy.memberships;
BEGIN
    SELECT * INTO token FROM tenancy.invitation_tokens
    WHERE token_hash = p_token_hash AND tenant_id = this_tenant;
    SELECT * INTO invitation FROM tenancy.invitations
    WHERE tenant_id = this_tenant AND id = token.invitation_id;
    SELECT * INTO member FROM tenancy.memberships WHERE tenant_id = this_tenant AND user_id = p_user;
    IF invitation.id IS NULL THEN
        RETURN 'unknown';
    ELSIF token.replaced THEN
        RETURN 'replaced';
    ELSIF invitation.status <> 'pending' THEN
        RETURN invitation.status;
    ELSIF invitation.expires_at <= clock_timestamp() THEN
        RETURN 'expired';
    ELSIF invitation.email_norm <> p_email_norm THEN
        RETURN 'wrong_recipient';
    ELSIF p_to = 'declined' THEN
        UPDATE tenancy.invitations SET status = 'declined'
        WHERE tenant_id = this_tenant AND id = invitation.id;
        RETURN 'ok';
    ELSIF tenant_status <> 'active' THEN
        RETURN 'tenant_closed';
    ELSIF member.status = 'deactivated'
        AND NOT (p_let_in AND (NOT member.is_owner OR tenancy.is_active_owner(invitation.invited_by)))
    THEN
        RETURN 'kept_out';
    END IF;
    UPDATE tenancy.invitations SET status = 'accepted', accepted_by = p_user, accepted_at = transaction_timestamp()
    WHERE tenant_id = this_tenant AND id = invitation.id;
    INSERT INTO tenancy.memberships (tenant_id, user_id) VALUES (this_tenant, p_user)
    ON CONFLICT (tenant_id, user_id) DO UPDATE SET status = 'active';
    PERFORM tenancy.count_epoch_up();
    RETURN 'ok';
END
$$;

-- Locks the tenant's row as everybody does: an answer that has read the invitation as pending would
-- otherwise write over the revocation.
CREATE FUNCTION tenancy.revoke_invitation(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM tenancy.lock_tenant();
    UPDATE tenancy.invitations SET status = 'revoked'
    WHERE tenant_id = util.current_tenant() AND id = p_id AND status = 'pending';
    RETURN FOUND;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.sent_within_the_hour(text),
    tenancy.invitations_waiting(text),
    tenancy.create_invitations(uuid[], text[], text[], bytea[], text[], interval, bigint, bigint),
    tenancy.resend_invitation(uuid, bytea, interval, bigint, bigint),
    tenancy.open_invitation(bytea),
    tenancy.answer_invitation(bytea, uuid, text, text, boolean),
    tenancy.revoke_invitation(uuid)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.create_invitations(uuid[], text[], text[], bytea[], text[], interval, bigint, bigint),
    tenancy.resend_invitation(uuid, bytea, interval, bigint, bigint),
    tenancy.open_invitation(bytea),
    tenancy.answer_invitation(bytea, uuid, text, text, boolean),
    tenancy.revoke_invitation(uuid)
TO tenancy_app;

SET LOCAL ROLE NONE;
