//! A host on several nodes, or on one that keeps to the rules of several.

use std::sync::Arc;

use tenancy::{
    audit::PgAuditLog,
    authz::{NewRole, PgAuthorizer, RoleName, Roles},
    citus,
    core::{
        ApiKeys, Authorizer as _, Email, Error, Grace, Invitations, JobKind, Members, NewApiKey,
        NewInvitation, NewJob, NewTenant, PermissionKey, Platform, PurgeOptions, RoleKey,
        SecretText, ServiceKey, Slug, Suspension, TenantCtx, TenantName, Tenants, UserId,
    },
    jobs::JobQueue,
    secrets::{LocalKeyring, ProviderKey, PutMode, SecretPath, SecretVault},
};
use tenancy_testkit::Db;

use super::{Result, carry_out, database};

/// Citus' rule for a transaction that changes its user, which one node does not have: what one user
/// wrote, no other reads or writes before the transaction ends. Distributed rows of a tenant stand
/// together, so all of them count as one; a reference table counts for itself. It is held against the
/// app's sessions. Foreign keys are looked after on the nodes, by no user.
const ONE_USER: &str = r"
    CREATE FUNCTION public.one_user(place text, writes boolean) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        writer text := nullif(current_setting(place, true), '');
    BEGIN
        IF pg_has_role(session_user, 'tenancy_owner', 'MEMBER') OR current_user = 'tenancy_owner' THEN
            RETURN true;
        END IF;
        IF writer <> current_user THEN
            RAISE 'cannot perform query on placements that were modified in this transaction by a different user'
                USING DETAIL = format('%s after %s', current_user, writer);
        END IF;
        IF writes THEN
            PERFORM set_config(place, current_user, true);
        END IF;
        RETURN true;
    END $$;
    CREATE FUNCTION public.written() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM public.one_user(TG_ARGV[0], true);
        RETURN NULL;
    END $$;
    DO $$
    DECLARE
        t record;
    BEGIN
        FOR t IN SELECT name, CASE place WHEN 'shared' THEN 'placements.t' || name::oid ELSE 'placements.tenant' END AS place
            FROM public.told
        LOOP
            EXECUTE format('CREATE TRIGGER one_user BEFORE INSERT OR UPDATE OR DELETE ON %s
                FOR EACH STATEMENT EXECUTE FUNCTION public.written(%L)', t.name, t.place);
            EXECUTE format('CREATE POLICY one_user ON %s AS RESTRICTIVE USING (public.one_user(%L, false)) WITH CHECK (true)',
                t.name, t.place);
        END LOOP;
    END $$;";

/// A host that has all it needs to do something with tenants.
pub(crate) struct Host {
    pub(crate) db: Db,
    pub(crate) tenants: Tenants,
    audit: Arc<PgAuditLog>,
    authz: Arc<PgAuthorizer>,
    /// It stands on a cluster.
    spans: bool,
}

impl Host {
    /// On a cluster, or on a database with the functions and grants of the plan that keeps Citus' rule.
    pub(crate) async fn strict() -> Result<Self> {
        let host = Self::new().await?;
        if !host.spans {
            sqlx::raw_sql(ONE_USER)
                .execute(&host.db.superuser().await?)
                .await?;
        }
        Ok(host)
    }

    /// On a cluster, or on a database with the functions and grants of the plan.
    pub(crate) async fn new() -> Result<Self> {
        let mut db = database().await?;
        tenancy::migrate(&db.operator, &[]).await?;
        let spans = db.span_cluster().await?;
        if spans {
            citus::distribute(&db.operator).await?;
        } else {
            carry_out(&db).await?;
        }
        let app = db.app.clone();
        let audit = Arc::new(PgAuditLog::new(app.clone()));
        let authz = Arc::new(PgAuthorizer::new(app.clone(), audit.clone()));
        let tenants = Tenants::new(app, authz.clone(), authz.clone(), audit.clone());
        Ok(Self {
            db,
            tenants,
            audit,
            authz,
            spans,
        })
    }

    pub(crate) async fn tenant(&self, slug: &str) -> Result<TenantCtx, Error> {
        let new = NewTenant::new(Slug::parse(slug)?, TenantName::parse(slug)?, UserId::new());
        self.tenants.create(new).await
    }

    pub(crate) fn vault(&self) -> Result<SecretVault> {
        let (app, authz, audit) = (self.db.app.clone(), self.authz.clone(), self.audit.clone());
        Ok(SecretVault::new(
            app,
            LocalKeyring::ephemeral()?,
            authz,
            audit,
        ))
    }

    /// A member comes, gets a role, and leaves.
    pub(crate) async fn people(&self, acme: &TenantCtx) -> Result {
        let (app, authz, audit) = (self.db.app.clone(), self.authz.clone(), self.audit.clone());
        let invitations =
            Invitations::new(app.clone(), authz.clone(), authz.clone(), audit.clone());
        let members = Members::new(app.clone(), authz.clone(), authz.clone(), audit.clone());
        let roles = Roles::new(app.clone(), authz.clone(), audit);
        let email = Email::parse("ann@example.com")?;
        let viewer = RoleKey::from_static("viewer");
        let invitation = NewInvitation::new(email.clone(), vec![viewer]);
        let sent = invitations.invite(acme, invitation).await?;
        let ann = UserId::new();
        let ctx = invitations.accept(sent.token.expose(), ann, &email).await?;
        let desk = RoleKey::from_static("desk");
        let role = NewRole::new(desk.clone(), RoleName::parse("Desk")?);
        roles.create(acme, role).await?;
        members
            .set_roles(acme, ann, std::slice::from_ref(&desk))
            .await?;
        let mut tx = app.read(&ctx).await?;
        assert_eq!(authz.roles_in(&mut tx).await?, [desk]);
        drop(tx);
        members.leave(&ctx).await?;
        assert!(app.enter(acme.tenant(), ann).await.is_err());
        Ok(())
    }

    /// A key, a job, and the end of it all.
    pub(crate) async fn things(&self, acme: &TenantCtx) -> Result {
        let (app, authz, audit) = (self.db.app.clone(), self.authz.clone(), self.audit.clone());
        let api_keys = ApiKeys::new(app.clone(), authz.clone(), audit.clone());
        let read = PermissionKey::from_static("members.read");
        let new = NewApiKey::new(TenantName::parse("ci")?, vec![read]);
        let issued = api_keys.create(acme, new).await?;
        api_keys.revoke(acme, issued.key.id).await?;
        let path = SecretPath::new(ProviderKey::from_static("hubspot"));
        let secret = SecretText::new("a secret");
        let vault = self.vault()?;
        let stored = vault.put(acme, &path, secret, PutMode::Upsert).await?;
        let opened = vault.get(acme, stored.id).await?;
        assert_eq!(opened.value.expose(), "a secret");
        let jobs = JobQueue::new(app.clone(), authz, audit.clone());
        let job = NewJob::new(JobKind::from_static("x"), 1.into()).with_idempotency_key("k");
        jobs.enqueue(acme, job).await?;
        self.tenants.suspend(acme, Suspension::Blocked).await?;
        let owner = acme.user().ok_or("an owner")?;
        self.tenants.reopen(acme.tenant(), owner).await?;
        let platform = Platform::new(app, ServiceKey::from_static("desk"), audit);
        platform
            .schedule_deletion(acme.tenant(), Grace::NONE)
            .await?;
        let options = PurgeOptions::default();
        platform
            .purge(&self.db.operator, acme.tenant(), &options)
            .await?;
        Ok(())
    }
}
