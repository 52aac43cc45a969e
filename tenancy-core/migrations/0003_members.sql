-- Members, owners and the offers by which ownership changes hands.
--
-- Each function answers with a word that says what happened, so that the caller's transaction stays
-- usable. The order of locks is one everywhere: the tenant's row, what hangs on it, its epoch.

SET LOCAL ROLE tenancy_owner;

-- Of several offers of a tenant, one is open. Who is named in it is looked at when it is accepted,
-- so it needs no reference to the members.
CREATE TABLE tenancy.ownership_offers (
    tenant_id uuid NOT NULL REFERENCES tenancy.tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    from_user uuid NOT NULL,
    to_user uuid NOT NULL,
    status text NOT NULL DEFAULT 'open'
        CHECK (status IN ('open', 'accepted', 'declined', 'revoked', 'expired')),
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX ownership_offers_open ON tenancy.ownership_offers (tenant_id) WHERE status = 'open';
SELECT tenancy.protect_table('tenancy.ownership_offers', '{select}');
SELECT tenancy.admit_definer('tenancy.ownership_offers');

SET LOCAL ROLE tenancy_definer;

-- Lets the changes of one tenant happen one after the other, without standing in the way of
-- foreign keys. Answers the tenant's state; NULL where there is none.
CREATE FUNCTION tenancy.lock_tenant() RETURNS text
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT status FROM tenancy.tenants WHERE id = util.current_tenant() FOR NO KEY UPDATE $$;

CREATE FUNCTION tenancy.count_epoch_up() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ UPDATE tenancy.tenant_epoch SET epoch = epoch + 1 WHERE tenant_id = util.current_tenant() $$;

-- The person who acts for himself; NULL for services, API keys, and whoever acts for another.
CREATE FUNCTION tenancy.acting_for_himself() RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT util.current_user_id()
    WHERE util.current_actor_kind() = 'user' AND util.current_on_behalf_of() IS NULL
$$;

CREATE FUNCTION tenancy.is_active_owner(p_user uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM tenancy.memberships
        WHERE tenant_id = util.current_tenant() AND user_id = p_user AND is_owner AND status = 'active'
    )
$$;

-- Whether an active owner other than p_user remains. Asked with the tenant's row locked.
CREATE FUNCTION tenancy.keeps_owner_without(p_user uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM tenancy.memberships
        WHERE tenant_id = util.current_tenant() AND user_id <> p_user AND is_owner AND status = 'active'
    )
$$;

-- Whoever no longer belongs to the tenant neither brings others in nor hands it on.
CREATE FUNCTION tenancy.withdraw_word_of(p_user uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
BEGIN
    UPDATE tenancy.invitations SET status = 'revoked'
    WHERE tenant_id = this_tenant AND invited_by = p_user AND status = 'pending';
    UPDATE tenancy.ownership_offers SET status = 'revoked'
    WHERE tenant_id = this_tenant AND p_user IN (from_user, to_user) AND status = 'open';
END
$$;

-- Owners are touched by owners only: who may manage members could otherwise take the tenant over.
CREATE FUNCTION tenancy.set_member_status(p_user uuid, p_to text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    member tenancy.memberships;
BEGIN
    PERFORM tenancy.lock_tenant();
    SELECT * INTO member FROM tenancy.memberships WHERE tenant_id = this_tenant AND user_id = p_user;
    IF NOT FOUND THEN
        RETURN 'member_unknown';
    END IF;
    IF member.is_owner AND tenancy.is_active_owner(tenancy.acting_for_himself()) IS NOT TRUE THEN
        RETURN 'owner_protected';
    END IF;
    IF member.status = p_to THEN
        RETURN 'unchanged';
    END IF;
    IF p_to <> 'active' THEN
        IF NOT tenancy.keeps_owner_without(p_user) THEN
            RETURN 'last_owner';
        END IF;
        PERFORM tenancy.withdraw_word_of(p_user);
    END IF;
    UPDATE tenancy.memberships SET status = p_to WHERE tenant_id = this_tenant AND user_id = p_user;
    PERFORM tenancy.count_epoch_up();
    RETURN 'ok';
END
$$;

-- Everybody may remove himself; an owner is removed by owners only.
CREATE FUNCTION tenancy.remove_member(p_user uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    actor pg_catalog.uuid := tenancy.acting_for_himself();
    member tenancy.memberships;
BEGIN
    PERFORM tenancy.lock_tenant();
    SELECT * INTO member FROM tenancy.memberships WHERE tenant_id = this_tenant AND user_id = p_user;
    IF NOT FOUND THEN
        RETURN 'member_unknown';
    END IF;
    IF member.is_owner AND actor IS DISTINCT FROM p_user AND tenancy.is_active_owner(actor) IS NOT TRUE THEN
        RETURN 'owner_protected';
    END IF;
    IF NOT tenancy.keeps_owner_without(p_user) THEN
        RETURN 'last_owner';
    END IF;
    PERFORM tenancy.withdraw_word_of(p_user);
    DELETE FROM tenancy.memberships WHERE tenant_id = this_tenant AND user_id = p_user;
    PERFORM tenancy.count_epoch_up();
    RETURN 'ok';
END
$$;

-- Makes a member an owner beside the others, or no longer one. Owners only, by their own hand.
CREATE FUNCTION tenancy.set_owner(p_user uuid, p_owner boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    member tenancy.memberships;
BEGIN
    PERFORM tenancy.lock_tenant();
    IF tenancy.is_active_owner(tenancy.acting_for_himself()) IS NOT TRUE THEN
        RETURN 'not_owner';
    END IF;
    SELECT * INTO member FROM tenancy.memberships WHERE tenant_id = this_tenant AND user_id = p_user;
    IF NOT FOUND THEN
        RETURN 'member_unknown';
    END IF;
    IF member.is_owner = p_owner THEN
        RETURN 'unchanged';
    END IF;
    IF p_owner AND member.status <> 'active' THEN
        RETURN 'member_deactivated';
    END IF;
    IF NOT p_owner AND NOT tenancy.keeps_owner_without(p_user) THEN
        RETURN 'last_owner';
    END IF;
    UPDATE tenancy.memberships SET is_owner = p_owner, ownership_since = transaction_timestamp()
    WHERE tenant_id = this_tenant AND user_id = p_user;
    PERFORM tenancy.count_epoch_up();
    RETURN 'ok';
END
$$;

-- Offers the acting owner's place to an active member.
CREATE FUNCTION tenancy.offer_ownership(
    p_id uuid, p_to uuid, p_valid_for interval, OUT outcome text, OUT expires_at timestamptz
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    actor pg_catalog.uuid := tenancy.acting_for_himself();
    member tenancy.memberships;
BEGIN
    PERFORM tenancy.lock_tenant();
    SELECT * INTO member FROM tenancy.memberships m WHERE m.tenant_id = this_tenant AND m.user_id = p_to;
    UPDATE tenancy.ownership_offers o SET status = 'expired'
    WHERE o.tenant_id = this_tenant AND o.status = 'open' AND o.expires_at <= clock_timestamp();
    IF tenancy.is_active_owner(actor) IS NOT TRUE THEN
        outcome := 'not_owner';
    ELSIF member.user_id IS NULL THEN
        outcome := 'member_unknown';
    ELSIF member.status <> 'active' THEN
        outcome := 'member_deactivated';
    ELSIF member.is_owner THEN
        outcome := 'already_owner';
    ELSIF EXISTS (SELECT FROM tenancy.ownership_offers o WHERE o.tenant_id = this_tenant AND o.status = 'open') THEN
        outcome := 'offer_open';
    ELSE
        expires_at := clock_timestamp() + p_valid_for;
        INSERT INTO tenancy.ownership_offers (tenant_id, id, from_user, to_user, expires_at)
        VALUES (this_tenant, p_id, actor, p_to, expires_at);
        outcome := 'ok';
    END IF;
END
$$;

-- Accepts (by the recipient), declines (by the recipient) or revokes (by any owner) an open offer.
-- Accepting moves the place of the one who offered, if it is still his to give.
CREATE FUNCTION tenancy.settle_offer(p_id uuid, p_to text, OUT outcome text, OUT from_user uuid)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_tenant pg_catalog.uuid := util.current_tenant();
    actor pg_catalog.uuid := tenancy.acting_for_himself();
    offer tenancy.ownership_offers;
BEGIN
    PERFORM tenancy.lock_tenant();
    SELECT * INTO offer FROM tenancy.ownership_offers o WHERE o.tenant_id = this_tenant AND o.id = p_id;
    from_user := offer.from_user;
    IF offer.id IS NULL THEN
        outcome := 'offer_unknown';
    ELSIF p_to = 'revoked' AND tenancy.is_active_owner(actor) IS NOT TRUE THEN
        outcome := 'not_owner';
    ELSIF p_to <> 'revoked' AND actor IS DISTINCT FROM offer.to_user THEN
        outcome := 'not_recipient';
    ELSIF offer.status <> 'open' THEN
        outcome := 'offer_' || offer.status;
    ELSIF p_to = 'accepted' AND offer.expires_at <= clock_timestamp() THEN
        outcome := 'offer_expired';
    ELSIF p_to = 'accepted' AND NOT EXISTS (
        SELECT FROM tenancy.memberships m
        WHERE m.tenant_id = this_tenant AND m.user_id = offer.to_user AND m.status = 'active'
    ) THEN
        outcome := 'member_deactivated';
    ELSIF p_to = 'accepted' AND NOT tenancy.is_active_owner(offer.from_user) THEN
        outcome := 'offer_stale';
    ELSE
        UPDATE tenancy.ownership_offers o SET status = p_to WHERE o.tenant_id = this_tenant AND o.id = p_id;
        IF p_to = 'accepted' THEN
            UPDATE tenancy.memberships m
            SET is_owner = (m.user_id = offer.to_user), ownership_since = transaction_timestamp()
            WHERE m.tenant_id = this_tenant AND m.user_id IN (offer.from_user, offer.to_user);
            PERFORM tenancy.count_epoch_up();
        END IF;
        outcome := 'ok';
    END IF;
END
$$;

REVOKE EXECUTE ON FUNCTION
    tenancy.lock_tenant(),
    tenancy.count_epoch_up(),
    tenancy.acting_for_himself(),
    tenancy.is_active_owner(uuid),
    tenancy.keeps_owner_without(uuid),
    tenancy.withdraw_word_of(uuid),
    tenancy.set_member_status(uuid, text),
    tenancy.remove_member(uuid),
    tenancy.set_owner(uuid, boolean),
    tenancy.offer_ownership(uuid, uuid, interval),
    tenancy.settle_offer(uuid, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.set_member_status(uuid, text),
    tenancy.remove_member(uuid),
    tenancy.set_owner(uuid, boolean),
    tenancy.offer_ownership(uuid, uuid, interval),
    tenancy.settle_offer(uuid, text)
TO tenancy_app;

SET LOCAL ROLE NONE;
