//! The way to several nodes: what goes where, that every part is ready for it, and that the family
//! works with the functions and grants that it has there.
//!
//! No Citus is to be had here: its two functions are stood in for by ones that write down what they are
//! told, so that every other statement of the plan runs as it would there; and its rule for transactions
//! that change their user by triggers and policies.

use std::sync::Arc;

use sqlx::PgPool;
use tenancy::{
    audit::PgAuditLog,
    authz::{NewRole, PgAuthorizer, RoleName, Roles},
    citus::{self, RULES},
    core::{
        ApiKeys, Authorizer as _, CoreMaintenance, Email, Error, Grace, Invitations, JobKind,
        Members, NewApiKey, NewInvitation, NewJob, NewTenant, OperatorDb, PermissionKey, Platform,
        PurgeOptions, RoleKey, SecretText, ServiceKey, Slug, Suspension, TenantCtx, TenantName,
        TenantStatus, Tenants, UserId,
        doctor::{self, Options, Verdict},
        migrate::Component,
    },
    jobs::JobQueue,
    secrets::{LocalKeyring, ProviderKey, PutMode, SecretPath, SecretVault},
};
use tenancy_testkit::Db;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;

async fn database() -> Result<Db> {
    static PARTS: std::sync::LazyLock<Vec<&'static Component>> =
        std::sync::LazyLock::new(tenancy::components);
    Db::new(&PARTS).await
}

const HOST: &str = "
    CREATE TABLE public.currencies (code text PRIMARY KEY);
    CREATE TABLE public.orders (tenant_id uuid NOT NULL, id uuid NOT NULL, currency text NOT NULL REFERENCES public.currencies,
        PRIMARY KEY (tenant_id, id));
    CREATE TABLE public.\"Order's lines\" (tenant_id uuid NOT NULL, id uuid NOT NULL, order_id uuid NOT NULL, PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, order_id) REFERENCES public.orders (tenant_id, id) ON DELETE CASCADE);
    CREATE TABLE public.unrelated (id bigint PRIMARY KEY);
    SELECT tenancy.protect_table('public.orders'), tenancy.protect_table('public.\"Order''s lines\"')";

#[tokio::test]
async fn what_is_not_ready_is_named_with_its_rule() -> Result {
    let db = database().await?;
    sqlx::raw_sql(HOST).execute(db.operator.pool()).await?;
    assert_eq!(citus::plan(&db.operator).await?.blocked, []);
    for (fault, rule) in [
        ("CREATE UNIQUE INDEX ON public.orders (currency)", "TEN301"),
        ("CREATE UNIQUE INDEX ON public.orders (id)", "TEN302"),
        ("CREATE TABLE public.tips (tenant_id uuid NOT NULL, id uuid NOT NULL, order_id uuid, PRIMARY KEY (tenant_id, id));
          CREATE UNIQUE INDEX one ON public.orders (id);
          ALTER TABLE public.tips ADD FOREIGN KEY (order_id) REFERENCES public.orders (id);
          SELECT tenancy.protect_table('public.tips')", "TEN303"),
        ("ALTER TABLE public.\"Order's lines\" DROP CONSTRAINT \"Order's lines_tenant_id_order_id_fkey\",
          ADD FOREIGN KEY (tenant_id, order_id) REFERENCES public.orders (tenant_id, id) ON DELETE SET NULL (order_id)", "TEN304"),
        ("ALTER TABLE public.orders ADD EXCLUDE (currency WITH =)", "TEN309"),
        ("CREATE TRIGGER t BEFORE INSERT ON public.orders EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()", "TEN901"),
        ("ALTER TABLE public.orders ADD COLUMN n int GENERATED ALWAYS AS IDENTITY", "TEN902"),
        ("CREATE POLICY floor ON public.orders AS RESTRICTIVE TO tenancy_app USING (true)", "TEN106"),
        ("ALTER TABLE public.currencies ADD COLUMN t uuid, ADD COLUMN o uuid,
          ADD CONSTRAINT back FOREIGN KEY (t, o) REFERENCES public.orders (tenant_id, id)", "reference"),
    ] {
        let mut db_of_fault = planted(&db.operator, fault).await?;
        db_of_fault.retain(|blocked| blocked == rule);
        assert!(!db_of_fault.is_empty(), "{rule}: {fault}");
    }
    Ok(())
}

/// The rules that a plan names with a fault in the database, which is taken out again.
async fn planted(operator: &OperatorDb, fault: &'static str) -> Result<Vec<String>> {
    let pool = operator.pool();
    sqlx::raw_sql(fault)
        .execute(pool)
        .await
        .map_err(|error| format!("{fault}: {error}"))?;
    let plan = citus::plan(operator).await?;
    sqlx::raw_sql("DROP TABLE IF EXISTS public.tips, public.\"Order's lines\", public.orders, public.currencies, public.unrelated CASCADE")
        .execute(pool)
        .await?;
    sqlx::raw_sql(HOST).execute(pool).await?;
    Ok(plan
        .blocked
        .into_iter()
        .map(|blocked| blocked.rule)
        .collect())
}

#[tokio::test]
async fn the_rules_of_a_plan_are_rules_of_the_doctor() -> Result {
    for id in RULES {
        assert!(doctor::rule(id).is_some(), "{id}");
    }
    // And the doctor by itself finds none of them broken, in any part.
    let db = database().await?;
    let report = doctor::run(&db.operator, &Options::default().with_attack(false)).await?;
    let broken: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| RULES.contains(&finding.rule))
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
    Ok(())
}

#[tokio::test]
async fn without_citus_nothing_is_changed() -> Result {
    let db = database().await?;
    let error = citus::distribute(&db.operator).await.unwrap_err();
    assert_eq!(error.code(), "citus_missing");
    Ok(())
}

/// Stands in for Citus: writes down what is to go where.
const STAND_IN: &str = "
    CREATE TABLE public.told (place text, name regclass PRIMARY KEY, col text, beside text);
    GRANT ALL ON public.told TO PUBLIC;
    CREATE FUNCTION public.create_reference_table(t regclass) RETURNS void LANGUAGE sql
        AS $$ INSERT INTO public.told VALUES ('shared', t) $$;
    CREATE FUNCTION public.create_distributed_table(t regclass, col text, colocate_with text) RETURNS void LANGUAGE sql
        AS $$ INSERT INTO public.told VALUES ('distributed', t, col, colocate_with) $$;";

async fn keys(pool: &PgPool) -> Result<Vec<String>> {
    let sql = "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype = 'f' AND conparentid = 0 ORDER BY 1";
    Ok(sqlx::query_scalar(sql).fetch_all(pool).await?)
}

/// Runs a plan as psql would.
async fn carry_out(db: &Db) -> Result {
    sqlx::raw_sql(STAND_IN)
        .execute(&db.superuser().await?)
        .await?;
    let plan = citus::plan(&db.operator).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(plan.to_string()))
        .execute(db.operator.pool())
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_plan_runs_and_leaves_every_key_that_can_stand() -> Result {
    let db = database().await?;
    sqlx::raw_sql(HOST).execute(db.operator.pool()).await?;
    let superuser = db.superuser().await?;
    let before = keys(&superuser).await?;
    carry_out(&db).await?;
    let after = keys(&superuser).await?;
    let gone: Vec<&String> = before.iter().filter(|key| !after.contains(key)).collect();
    // What finds a tenant by a hash refers to nobody: it is the same on every node.
    let lookups = [
        "tenancy.api_key_hashes",
        "tenancy.invitation_tokens",
        "tenancy.oauth_states",
    ];
    assert_eq!(gone.len(), lookups.len(), "{gone:#?}");
    for (key, lookup) in gone.iter().zip(lookups) {
        assert!(key.starts_with(lookup), "{key}");
    }
    assert!(after.iter().all(|key| before.contains(key)));

    Ok(())
}

#[tokio::test]
async fn what_goes_where_is_told_to_citus() -> Result {
    let db = database().await?;
    sqlx::raw_sql(HOST).execute(db.operator.pool()).await?;
    carry_out(&db).await?;
    let superuser = db.superuser().await?;
    let told: Vec<(String, String, Option<String>, Option<String>)> =
        sqlx::query_as("SELECT name::text, place, col, beside FROM public.told")
            .fetch_all(&superuser)
            .await?;
    let of = |name: &str| {
        told.iter()
            .find(|row| row.0 == name)
            .map(|row| (row.1.as_str(), row.2.as_deref(), row.3.as_deref()))
    };
    assert_eq!(
        of("tenancy.tenants"),
        Some(("distributed", Some("id"), Some("none")))
    );
    let beside = Some(("distributed", Some("tenant_id"), Some("tenancy.tenants")));
    for name in [
        "tenancy.memberships",
        "tenancy.audit_logs",
        "tenancy.kb_chunks",
        "orders",
        "\"Order's lines\"",
    ] {
        assert_eq!(of(name), beside, "{name}");
    }
    for name in [
        "tenancy.permissions",
        "tenancy.tenant_slugs",
        "tenancy.mcp_providers",
        "currencies",
    ] {
        assert_eq!(of(name), Some(("shared", None, None)), "{name}");
    }
    for name in [
        "tenancy.jobs",
        "tenancy.job_keys",
        "tenancy.job_history",
        "tenancy.job_workers",
        "tenancy.outbox",
        "tenancy.webhook_events",
        "tenancy.platform_log",
        "unrelated",
    ] {
        assert_eq!(of(name), None, "{name} stays where it is");
    }
    Ok(())
}

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
struct Host {
    db: Db,
    audit: Arc<PgAuditLog>,
    authz: Arc<PgAuthorizer>,
    tenants: Tenants,
}

impl Host {
    /// On a database with the functions and grants of the plan, that keeps Citus' rule.
    async fn strict() -> Result<Self> {
        let host = Self::new().await?;
        sqlx::raw_sql(ONE_USER)
            .execute(&host.db.superuser().await?)
            .await?;
        Ok(host)
    }

    /// On a database with the functions and grants of the plan.
    async fn new() -> Result<Self> {
        let db = database().await?;
        tenancy::migrate(&db.operator, &[]).await?;
        carry_out(&db).await?;
        let app = db.app.clone();
        let audit = Arc::new(PgAuditLog::new(app.clone()));
        let authz = Arc::new(PgAuthorizer::new(app.clone(), audit.clone()));
        let tenants = Tenants::new(app, authz.clone(), authz.clone(), audit.clone());
        Ok(Self {
            db,
            audit,
            authz,
            tenants,
        })
    }

    async fn tenant(&self, slug: &str) -> Result<TenantCtx, Error> {
        let new = NewTenant::new(Slug::parse(slug)?, TenantName::parse(slug)?, UserId::new());
        self.tenants.create(new).await
    }

    fn vault(&self) -> Result<SecretVault> {
        let (app, authz, audit) = (self.db.app.clone(), self.authz.clone(), self.audit.clone());
        Ok(SecretVault::new(
            app,
            LocalKeyring::ephemeral()?,
            authz,
            audit,
        ))
    }

    /// A member comes, gets a role, and leaves.
    async fn people(&self, acme: &TenantCtx) -> Result {
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
    async fn things(&self, acme: &TenantCtx) -> Result {
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

#[tokio::test]
async fn the_family_works_with_the_functions_of_the_plan() -> Result {
    let host = Host::strict().await?;
    let (acme, bolt) = (host.tenant("acme").await?, host.tenant("bolt").await?);
    let taken = host.tenant("bolt").await.unwrap_err().to_string();
    assert!(taken.contains("taken"), "{taken}");
    let tenants = &host.tenants;
    tenants.rename(&acme, &TenantName::parse("Acme 2")?).await?;
    tenants.change_slug(&acme, &Slug::parse("acme-2")?).await?;
    let taken = tenants.change_slug(&acme, &Slug::parse("bolt")?).await;
    assert_eq!(taken.unwrap_err().code(), "slug_taken");
    host.people(&acme).await?;
    host.things(&acme).await?;
    assert_eq!(tenants.state(&bolt).await?.status, TenantStatus::Active);
    assert!(tenants.state(&acme).await?.status == TenantStatus::Deleted);
    Ok(())
}

/// The transaction's users are told apart: what the plan turns can't be left out.
#[tokio::test]
async fn what_runs_as_another_user_in_the_apps_transaction_fails() -> Result {
    let host = Host::strict().await?;
    let superuser = host.db.superuser().await?;
    let acme = host.tenant("acme").await?;
    let path = SecretPath::new(ProviderKey::from_static("hubspot"));
    let secret = SecretText::new("a secret");
    host.vault()?
        .put(&acme, &path, secret, PutMode::Upsert)
        .await?;
    for (function, slug) in [
        ("tenancy.claim_slug(text)", "bolt-1"),
        ("tenancy.catch_up_tenant(uuid)", "bolt-2"),
        ("tenancy.expand_roles(uuid, text[])", "bolt-3"),
        ("tenancy.hold_data_key(uuid, uuid)", "acme"),
    ] {
        let turn =
            |how: &str| sqlx::AssertSqlSafe(format!("ALTER FUNCTION {function} SECURITY {how}"));
        sqlx::query(turn("DEFINER")).execute(&superuser).await?;
        let error = match slug {
            "bolt-1" => {
                let slug = Slug::parse(slug)?;
                format!("{:?}", host.tenants.change_slug(&acme, &slug).await.err())
            }
            "acme" => format!("{:?}", held(&host, &acme).await.err()),
            _ => format!("{:?}", host.tenant(slug).await.err()),
        };
        assert!(error.contains("by a different user"), "{function}: {error}");
        sqlx::query(turn("INVOKER")).execute(&superuser).await?;
    }
    held(&host, &acme).await?;
    host.tenant("bolt").await?;
    Ok(())
}

/// Writes, and holds a data key in the same transaction.
async fn held(host: &Host, acme: &TenantCtx) -> Result {
    let mut tx = host.db.app.write(acme).await?;
    sqlx::query("SELECT tenancy.rename_tenant('Acme 3')")
        .execute(&mut *tx)
        .await?;
    let hold = "SELECT tenancy.hold_data_key(tenant_id, key_id) FROM tenancy.tenant_data_keys WHERE tenant_id = $1";
    let keys = sqlx::query(hold)
        .bind(acme.tenant())
        .fetch_all(&mut *tx)
        .await?;
    assert_eq!(keys.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_slug_that_another_tenant_had_is_free_when_its_time_is_over_and_not_before() -> Result {
    let host = Host::strict().await?;
    let (acme, bolt) = (host.tenant("acme").await?, host.tenant("bolt").await?);
    host.tenants
        .change_slug(&bolt, &Slug::parse("bolt-2")?)
        .await?;
    let maintenance = CoreMaintenance::new(host.db.worker.clone());
    let wanted = Slug::parse("bolt")?;
    let claim = async || host.tenants.change_slug(&acme, &wanted).await;
    for round in 0..2 {
        maintenance.run_once().await?;
        assert_eq!(claim().await.unwrap_err().code(), "slug_taken", "{round}");
        // Not by SQL of one's own either.
        let mut tx = host.db.app.write(&acme).await?;
        let claimed: bool = sqlx::query_scalar("SELECT tenancy.claim_slug('bolt')")
            .fetch_one(&mut *tx)
            .await?;
        assert!(!claimed);
        let gone = sqlx::query("DELETE FROM tenancy.tenant_slugs WHERE slug = 'bolt'")
            .execute(&mut *tx)
            .await?;
        assert_eq!(gone.rows_affected(), 0);
    }
    let over = "UPDATE tenancy.tenant_slugs SET former_until = now() - interval '1 second' WHERE slug = 'bolt'";
    sqlx::query(over)
        .execute(&host.db.superuser().await?)
        .await?;
    maintenance.run_once().await?;
    claim().await?;
    Ok(())
}

#[tokio::test]
async fn the_app_that_writes_for_itself_still_reaches_no_other_tenant() -> Result {
    let Host { db, .. } = Host::new().await?;
    // It can be read again, for tables that are made later.
    let again = citus::plan(&db.operator).await?;
    assert_eq!(again.blocked, []);
    let turned = |step: &&citus::Step| step.sql.starts_with("ALTER FUNCTION");
    let left: Vec<_> = again.steps.iter().filter(turned).collect();
    assert!(left.is_empty(), "{left:#?}");

    // What asks for a role keeps asking for it.
    let sql = "SELECT count(*) FROM pg_catalog.pg_policy WHERE polname = 'tenant_select'
        AND pg_get_expr(polqual, polrelid) LIKE '%current_roles()%' AND polrelid::regclass::text ~ '^tenancy.kb_'";
    let scoped: i64 = sqlx::query_scalar(sql)
        .fetch_one(db.operator.pool())
        .await?;
    let plain: i64 = sqlx::query_scalar(sql)
        .fetch_one(database().await?.operator.pool())
        .await?;
    assert!(plain > 0 && scoped == plain, "{scoped} of {plain}");

    let report = tenancy::doctor(&db.operator, Some(&db.app)).await?;
    let text = report.to_text(false);
    let matrix = report.matrix.ok_or("the attack was not carried out")?;
    assert_eq!(matrix.count(Verdict::Leaked), 0, "{text}");
    // Where a hash finds its tenant, two probe tenants can't hold the same one; what a wildcard may
    // be changed to is not guessed.
    let untried = matrix.tables.iter().filter(|table| {
        let mut cells = table.cells.iter();
        cells.any(|cell| cell.verdict == Verdict::NotExercised)
    });
    let untried: Vec<&str> = untried.map(|table| table.table.as_str()).collect();
    let known = [
        "tenancy.api_key_hashes",
        "tenancy.invitation_tokens",
        "tenancy.oauth_states",
        "tenancy.role_wildcards",
    ];
    assert_eq!(untried, known, "{text}");
    assert!(matrix.count(Verdict::Held) > 100, "{text}");
    Ok(())
}
