//! The SQL function, the snapshots in memory and the naive reference give the same answers: on the
//! files of the suite, and on 100,000 questions about policies that are made up.
//!
//! `TENANCY_SEED` repeats a run; `TENANCY_QUESTIONS` says how many questions there are.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::PgPool;
use tenancy_authz::{
    AuthzOptions, PgAuthorizer, Rights, sync_permissions,
    testing::suite::{
        self, End, Policies, Question, Reference, Standing, Subject, Suite, TenantState,
    },
};
use tenancy_core::{
    PermissionDef, PermissionKey, Principal, TenantCtx, TenantId, UserId, testing::imagined,
};

use crate::support::{Result, World, authorizer};

const QUESTIONS: usize = 100_000;
const USERS: usize = 10;
/// How many questions a user is asked in made-up policies.
const EACH: usize = 100;

const WRITE_DOWN: [&str; 3] = [
    include_str!("conformance.sql"),
    include_str!("conformance_above.sql"),
    include_str!("conformance_expand.sql"),
];

/// Policies of the suite in the database, behind all functions.
pub(crate) struct Loaded {
    app: PgPool,
    superuser: PgPool,
    world: World,
}

/// The ids that stand for the names of a suite.
#[derive(Default)]
struct Names {
    tenants: BTreeMap<String, TenantId>,
    users: BTreeMap<String, UserId>,
}

impl Loaded {
    pub(crate) async fn new() -> Result<Self> {
        let world = World::new().await?;
        let app = PgPool::connect(world.db.server.app_url()).await?;
        let superuser = world.db.superuser().await?;
        Ok(Self {
            app,
            superuser,
            world,
        })
    }

    /// Puts policies in force beside those that are there.
    async fn load(&self, policies: &Policies, asked: &[Question]) -> Result<Names> {
        let definitions: Vec<_> = policies
            .permissions
            .iter()
            .map(|key| PermissionDef::new(key.clone().leak(), "made up", &[]))
            .collect();
        sync_permissions(&self.world.db.operator, &definitions).await?;
        let mut names = Names::default();
        for question in asked {
            names
                .tenants
                .entry(question.tenant.clone())
                .or_insert_with(TenantId::new);
            names
                .users
                .entry(question.user.clone())
                .or_insert_with(UserId::new);
        }
        for (tenant, policy) in &policies.tenants {
            names
                .tenants
                .entry(tenant.clone())
                .or_insert_with(TenantId::new);
            for user in policy.members.keys() {
                names.users.entry(user.clone()).or_insert_with(UserId::new);
            }
        }
        let written = written_down(policies, &names);
        for sql in WRITE_DOWN {
            sqlx::query(sql)
                .bind(json!(written))
                .execute(&self.superuser)
                .await?;
        }
        Ok(names)
    }
}

fn written_down(policies: &Policies, names: &Names) -> Vec<Value> {
    let tenant = |(name, tenant): (&String, &suite::TenantOf)| {
        let roles = tenant.roles.iter().map(|(key, role)| {
            json!({ "key": key, "grants": role.grants, "wildcards": role.wildcards, "parents": role.parents })
        });
        let members = tenant.members.iter().map(|(user, member)| {
            let status = match member.state {
                Standing::KeptOut => "deactivated",
                Standing::Gone => "gone",
                _ => "active",
            };
            let ends = member.roles.iter().map(|(role, end)| {
                let hours = match end {
                    End::Ended => Some(-1),
                    End::Later => Some(1),
                    _ => None,
                };
                json!({ "key": role, "hours": hours })
            });
            json!({ "id": names.users[user], "status": status, "roles": ends.collect::<Vec<_>>() })
        });
        let status = match tenant.state {
            TenantState::Closed => "suspended_blocked",
            TenantState::Readable => "suspended_read_only",
            _ => "active",
        };
        json!({
            "id": names.tenants[name], "status": status,
            "roles": roles.collect::<Vec<_>>(), "members": members.collect::<Vec<_>>(),
        })
    };
    policies.tenants.iter().map(tenant).collect()
}

impl Names {
    fn of(&self, asked: &Question) -> (TenantId, UserId) {
        (self.tenants[&asked.tenant], self.users[&asked.user])
    }

    fn ctx(&self, asked: &Question) -> TenantCtx {
        let (tenant, user) = self.of(asked);
        imagined(tenant, Principal::user(user))
    }
}

/// `util.user_has_permission`, as the app role, in one statement for all questions.
pub(crate) struct BySql<'a>(pub(crate) &'a Loaded);

impl BySql<'_> {
    async fn ask(&self, policies: &Policies, questions: &[Question]) -> Result<Vec<bool>> {
        let names = self.0.load(policies, questions).await?;
        let (tenants, users): (Vec<_>, Vec<_>) = questions.iter().map(|it| names.of(it)).unzip();
        let keys: Vec<_> = questions.iter().map(|it| it.permission.clone()).collect();
        let mut tx = self.0.app.begin().await?;
        sqlx::raw_sql(ANSWER).execute(&mut *tx).await?;
        let answers = sqlx::query_scalar("SELECT * FROM pg_temp.answers($1, $2, $3)")
            .bind(tenants)
            .bind(users)
            .bind(keys)
            .fetch_all(&mut *tx)
            .await?;
        Ok(answers)
    }
}

/// Sets the context of each question as a transaction of the family does, and asks; of any other
/// tenant it has to be told no.
const ANSWER: &str = "
    CREATE FUNCTION pg_temp.answers(tenants uuid[], users uuid[], keys text[]) RETURNS SETOF boolean
    LANGUAGE plpgsql AS $$
    DECLARE
        elsewhere uuid;
    BEGIN
        FOR i IN 1 .. array_length(keys, 1) LOOP
            PERFORM set_config('tenancy.tenant_id', tenants[i]::text, true),
                set_config('tenancy.user_id', users[i]::text, true),
                set_config('tenancy.actor_kind', 'user', true);
            RETURN NEXT util.user_has_permission(tenants[i], keys[i]);
            elsewhere := tenants[1 + (i + array_length(keys, 1) / 2) % array_length(keys, 1)];
            IF elsewhere <> tenants[i] AND util.user_has_permission(elsewhere, keys[i]) IS NOT FALSE THEN
                RAISE EXCEPTION 'tenant % is told of in %', elsewhere, tenants[i];
            END IF;
        END LOOP;
    END $$";

/// Snapshots in memory, each loaded once.
pub(crate) struct BySnapshot<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) authz: &'a PgAuthorizer,
}

impl BySnapshot<'_> {
    async fn ask(&self, policies: &Policies, questions: &[Question]) -> Result<Vec<bool>> {
        let names = self.loaded.load(policies, questions).await?;
        let mut rights: BTreeMap<_, Rights> = BTreeMap::new();
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            let who = names.of(question);
            let asked = match rights.entry(who) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let ctx = names.ctx(question);
                    unknown.insert(self.authz.permissions(&ctx).await?)
                }
            };
            let key = PermissionKey::parse(question.permission.clone())?;
            answers.push(asked.allows_key(&key));
        }
        Ok(answers)
    }
}

macro_rules! subject {
    ($name:ident) => {
        #[async_trait]
        impl Subject for $name<'_> {
            async fn answers(
                &mut self,
                policies: &Policies,
                questions: &[Question],
            ) -> Result<Vec<bool>, String> {
                self.ask(policies, questions)
                    .await
                    .map_err(|failed| failed.to_string())
            }
        }
    };
}
subject!(BySql);
subject!(BySnapshot);

#[tokio::test]
async fn the_files_of_the_suite_hold_for_sql_snapshot_and_reference() -> Result {
    let loaded = Loaded::new().await?;
    let mut names = BTreeSet::new();
    for (file, text) in suite::FILES {
        let suite: Suite = serde_saphyr::from_str(text)?;
        assert!(
            names.insert(suite.name.clone()) && suite.name == *file,
            "{file}"
        );
        let asked = suite.questions().len();
        assert!(asked > 5, "{file} asks little");
        // Each file registers permissions, which an authorizer reads once in its bound.
        let authz = hour_long(&loaded);
        let mut snapshot = BySnapshot {
            loaded: &loaded,
            authz: &authz,
        };
        let counted = [
            suite::run(&suite, &mut Reference::default()).await?,
            suite::run(&suite, &mut BySql(&loaded)).await?,
            suite::run(&suite, &mut snapshot).await?,
        ];
        assert_eq!(counted, [asked; 3], "{file}");
    }
    Ok(())
}

#[tokio::test]
async fn a_suite_that_expects_the_wrong_thing_fails() -> Result {
    let wrong = "
name: wrong
about: nobody holds anything here
policies: { permissions: [docs.read], tenants: { acme: {} } }
check: [{ tenant: acme, user: ann, holds: [docs.read] }]";
    let suite: Suite = serde_saphyr::from_str(wrong)?;
    let said = suite::run(&suite, &mut Reference::default())
        .await
        .unwrap_err();
    assert_eq!(
        said.to_string(),
        "1 differ: ann in acme: `docs.read`: false"
    );
    for broken in [
        wrong.replace("holds", "hold"),
        wrong.replace("acme: {}", "acme: { state: ajar }"),
    ] {
        assert!(
            serde_saphyr::from_str::<Suite>(&broken).is_err(),
            "{broken}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn three_implementations_agree_on_policies_that_are_made_up() -> Result {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let asked = number("TENANCY_QUESTIONS").unwrap_or(QUESTIONS as u64);
    let now = std::time::UNIX_EPOCH.elapsed()?;
    let seed = number("TENANCY_SEED").unwrap_or(now.as_secs() ^ u64::from(now.subsec_nanos()));
    eprintln!("TENANCY_SEED={seed}");
    let tenants = usize::try_from(asked)?.div_ceil(USERS * EACH);
    let loaded = Loaded::new().await?;
    let (policies, questions) = suite::made_up(seed, tenants, USERS);
    let authz = hour_long(&loaded);
    let mut snapshot = BySnapshot {
        loaded: &loaded,
        authz: &authz,
    };
    let counted = [
        suite::agree(&policies, &questions, &mut BySql(&loaded)).await?,
        suite::agree(&policies, &questions, &mut snapshot).await?,
    ];
    assert_eq!(counted, [questions.len(); 2]);
    assert!(questions.len() as u64 >= asked);
    let allowed = questions
        .iter()
        .filter(|asked| policies.allows(asked))
        .count();
    eprintln!("{allowed} of {} allowed", questions.len());
    assert!(
        allowed * 10 > questions.len() && allowed * 10 < questions.len() * 9,
        "{allowed} of {} allowed: too one-sided to prove much",
        questions.len()
    );
    Ok(())
}

/// How many answers of made-up policies hang on something: on being otherwise if it were.
fn hang_on(
    policies: &Policies,
    questions: &[Question],
    change: impl Fn(&mut suite::TenantOf),
) -> usize {
    let mut changed = policies.clone();
    changed.tenants.values_mut().for_each(change);
    let differs = |asked: &&Question| policies.allows(asked) != changed.allows(asked);
    questions.iter().filter(differs).count()
}

#[test]
fn what_is_made_up_hangs_on_everything_that_there_is() {
    for seed in [1, 2] {
        // As many as a run of the tests asks.
        let (policies, questions) = suite::made_up(seed, QUESTIONS / USERS / EACH, USERS);
        assert_eq!(questions.len(), QUESTIONS);
        let hang = |change: fn(&mut suite::TenantOf)| hang_on(&policies, &questions, change);
        let found = [
            (
                "wildcards",
                hang(|tenant| of_roles(tenant, |role| role.wildcards.clear())),
            ),
            (
                "parents",
                hang(|tenant| of_roles(tenant, |role| role.parents.clear())),
            ),
            (
                "grants by name",
                hang(|tenant| of_roles(tenant, |role| role.grants.clear())),
            ),
            (
                "roles that end later",
                hang(|tenant| ends(tenant, End::Later, End::Ended)),
            ),
            (
                "roles that ended",
                hang(|tenant| ends(tenant, End::Ended, End::Forever)),
            ),
            (
                "members kept out",
                hang(|tenant| stands(tenant, Standing::KeptOut)),
            ),
            (
                "closed tenants",
                hang(|tenant| opens(tenant, TenantState::Closed, TenantState::Open)),
            ),
            (
                "tenants to be read only",
                hang(|tenant| opens(tenant, TenantState::Readable, TenantState::Closed)),
            ),
        ];
        for (what, answers) in found {
            assert!(
                answers > 500,
                "{answers} answers hang on {what}, seed {seed}"
            );
        }
        // The same person holds it in one tenant and not in another.
        let held: BTreeSet<_> = questions
            .iter()
            .filter(|asked| policies.allows(asked))
            .collect();
        let only_elsewhere = questions.iter().filter(|asked| {
            let there = Question::new("t0", asked.user.clone(), asked.permission.clone());
            asked.tenant != "t0" && policies.allows(asked) && !held.contains(&there)
        });
        assert!(only_elsewhere.count() > 500, "seed {seed}");
        let unregistered = questions
            .iter()
            .filter(|asked| !policies.permissions.contains(&asked.permission));
        assert!(unregistered.count() > 500, "seed {seed}");
    }
}

fn of_roles(tenant: &mut suite::TenantOf, change: fn(&mut suite::RoleOf)) {
    tenant.roles.values_mut().for_each(change);
}

fn ends(tenant: &mut suite::TenantOf, from: End, to: End) {
    for end in tenant
        .members
        .values_mut()
        .flat_map(|member| member.roles.values_mut())
    {
        *end = if *end == from { to } else { *end };
    }
}

fn stands(tenant: &mut suite::TenantOf, from: Standing) {
    for member in tenant
        .members
        .values_mut()
        .filter(|member| member.state == from)
    {
        member.state = Standing::Active;
    }
}

fn opens(tenant: &mut suite::TenantOf, from: TenantState, to: TenantState) {
    if tenant.state == from {
        tenant.state = to;
    }
}

pub(crate) fn hour_long(loaded: &Loaded) -> std::sync::Arc<PgAuthorizer> {
    let bound = std::time::Duration::from_hours(1);
    let options = AuthzOptions::default().with_bound(bound);
    authorizer(&loaded.world.db.app, &loaded.world.audit, options)
}
