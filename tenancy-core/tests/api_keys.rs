//! API keys: made, used, replaced and ended.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, body::Body, routing::get};
use futures_util::future::join_all;
use http::{Request, StatusCode};
use tenancy_core::{
    ApiKeyLogin, ApiKeys, Authenticate, Authorizer as _, Error, ErrorKind, Identity, IssuedApiKey,
    KeyEnvironment, LoginByToken, NewApiKey, PermissionKey, Principal, TenantCtx, TenantName,
    UserId,
    http::{AuthLayer, Tenant, TenantLayer, TenantSource},
    migrate::CORE,
    testing::{
        self, FakeAuthorizer, MemoryAudit, TestLogin,
        conformance::{self, Headers, LoginHost},
    },
};
use tenancy_testkit::Db;
use tower::ServiceExt as _;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const MANAGE: PermissionKey = PermissionKey::from_static("api_keys.manage");
const READ: PermissionKey = PermissionKey::from_static("things.read");
const WRITE: PermissionKey = PermissionKey::from_static("things.write");
const DAY: Duration = Duration::from_hours(24);

struct Host {
    db: Db,
    keys: ApiKeys,
    login: ApiKeyLogin,
    authz: FakeAuthorizer,
    audit: MemoryAudit,
    owner: TenantCtx,
    other: TenantCtx,
}

async fn host() -> Result<Host> {
    let db = Db::new(&[&CORE]).await?;
    let (owner, other) = (
        testing::tenant(&db.app).await?,
        testing::tenant(&db.app).await?,
    );
    let (audit, authz) = (MemoryAudit::new(), FakeAuthorizer::new());
    for ctx in [&owner, &other] {
        for permission in [MANAGE, READ, WRITE] {
            authz.grant(ctx, permission);
        }
    }
    let keys = ApiKeys::new(
        db.app.clone(),
        Arc::new(authz.clone()),
        Arc::new(audit.clone()),
    );
    Ok(Host {
        login: ApiKeyLogin::new(db.app.clone()),
        keys,
        authz,
        audit,
        owner,
        other,
        db,
    })
}

#[expect(clippy::expect_used, reason = "a literal")]
fn new(permissions: &[PermissionKey]) -> NewApiKey {
    let name = TenantName::parse("nightly import").expect("a name");
    NewApiKey::new(name, permissions.to_vec())
}

fn code<T>(result: std::result::Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

impl Host {
    async fn issue(&self) -> Result<IssuedApiKey> {
        Ok(self.keys.create(&self.owner, new(&[READ])).await?)
    }
    async fn state(&self, key: &IssuedApiKey) -> &'static str {
        code(self.login.identify(key.secret.expose()).await)
    }
    async fn sql(&self, sql: &'static str) -> Result<u64> {
        let done = sqlx::query(sql)
            .execute(&self.db.superuser().await?)
            .await?;
        Ok(done.rows_affected())
    }
    /// What a key answers over HTTP, in a tenant.
    async fn ask(&self, key: &str, tenant: &TenantCtx) -> Result<StatusCode> {
        let login = LoginByToken::new()
            .api_keys(self.login.clone())
            .signed_tokens(TestLogin);
        let sources = [TenantSource::Path("tenant".to_owned())];
        let layer = TenantLayer::new(self.db.app.clone(), Arc::new(login), sources);
        let router = Router::new()
            .route("/t/{tenant}", get(async |_: Tenant| ()))
            .route_layer(layer);
        let request = Request::get(format!("/t/{}", tenant.tenant()))
            .header("authorization", format!("Bearer {key}"));
        Ok(router.oneshot(request.body(Body::empty())?).await?.status())
    }
}

#[tokio::test]
async fn a_key_opens_its_tenant_with_its_permissions_and_no_other() -> Result {
    let host = host().await?;
    let issued = host.issue().await?;
    let identity = host.login.identify(issued.secret.expose()).await?;
    let principal = Principal::api_key(issued.key.id, vec![READ]);
    assert_eq!(
        identity,
        Identity::api_key(host.owner.tenant(), principal.clone())
    );
    let ctx = host
        .db
        .app
        .enter_as(host.owner.tenant(), principal.clone())
        .await?;
    assert!(host.authz.check(&ctx, &READ).await?.is_allowed());
    assert!(!host.authz.check(&ctx, &WRITE).await?.is_allowed());
    let foreign = host.db.app.enter_as(host.other.tenant(), principal).await;
    assert_eq!(code(foreign), "not_a_member");
    let key = issued.secret.expose();
    assert_eq!(host.ask(key, &host.owner).await?, 200);
    assert_eq!(host.ask(key, &host.other).await?, 404);
    assert_eq!(code(identity.require_user()), "caller_not_a_user");
    Ok(())
}

#[tokio::test]
async fn a_route_for_users_refuses_keys() -> Result {
    let host = host().await?;
    let issued = host.issue().await?;
    let login: Arc<dyn Authenticate> = Arc::new(host.login.clone());
    for (layer, status) in [
        (AuthLayer::new(login.clone()), 403),
        (AuthLayer::new(login).allow_api_keys(), 200),
    ] {
        let router = Router::new().route("/", get(async || ()).route_layer(layer));
        let header = format!("Bearer {}", issued.secret.expose());
        let request = Request::get("/").header("authorization", header);
        let response = router.oneshot(request.body(Body::empty())?).await?;
        assert_eq!(response.status(), status);
    }
    Ok(())
}

#[tokio::test]
async fn only_the_hash_is_stored_and_the_key_is_shown_once() -> Result {
    let host = host().await?;
    let issued = host.issue().await?;
    let key = issued.secret.expose();
    assert!(key.starts_with(&format!("{}_", issued.key.prefix)) && key.starts_with("tk_live_"));
    assert!(!format!("{issued:?}").contains(key));
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT k::text FROM tenancy.api_keys k UNION ALL SELECT h::text FROM tenancy.api_key_hashes h",
    )
    .fetch_all(&host.db.superuser().await?)
    .await?;
    let secret = key.rsplit('_').next().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(!rows.concat().contains(secret));
    let audit = format!("{:?}", host.audit.entries());
    assert!(audit.contains("api_key.created") && !audit.contains(secret));
    // The app can't read the hashes, and no tenant sees another's keys.
    let hashes = sqlx::query("SELECT FROM tenancy.api_key_hashes");
    assert!(hashes.execute(host.db.app.without_tenant()).await.is_err());
    assert_eq!(host.keys.list(&host.other).await?.len(), 0);
    assert_eq!(host.keys.list(&host.owner).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn nobody_gives_a_key_what_he_does_not_hold() -> Result {
    let host = host().await?;
    let member = testing::member(&host.db.app, &host.owner).await?;
    let create = async |ctx: &TenantCtx, permissions: &[PermissionKey]| {
        code(host.keys.create(ctx, new(permissions)).await)
    };
    assert_eq!(create(&member, &[READ]).await, "permission_denied");
    host.authz.grant(&member, MANAGE);
    assert_eq!(create(&member, &[READ]).await, "permission_denied");
    host.authz.grant(&member, READ);
    assert_eq!(create(&member, &[READ]).await, "ok");
    assert_eq!(create(&member, &[READ, WRITE]).await, "permission_denied");
    // Nor does he get one by replacing it.
    let strong = host.keys.create(&host.owner, new(&[READ, WRITE])).await?;
    let rotated = host.keys.rotate(&member, strong.key.id, DAY, DAY).await;
    assert_eq!(code(rotated), "permission_denied");
    assert_eq!(host.state(&strong).await, "ok");
    // A key makes no keys, and neither does a part of the host.
    let key = Principal::api_key(strong.key.id, vec![MANAGE, READ]);
    let as_key = host.db.app.enter_as(host.owner.tenant(), key).await?;
    assert_eq!(create(&as_key, &[READ]).await, "api_key_maker");
    let (staff, whom) = (member.user().unwrap(), host.owner.user().unwrap());
    let support = testing::acting_for(&host.owner, staff, whom);
    assert_eq!(create(&support, &[READ]).await, "api_key_maker");
    Ok(())
}

#[tokio::test]
async fn a_key_ends_at_once_when_it_is_revoked() -> Result {
    let host = host().await?;
    let (one, two) = (host.issue().await?, host.issue().await?);
    let id = one.key.id;
    let principal = Principal::api_key(id, vec![READ]);
    // Not by another tenant.
    assert_eq!(
        code(host.keys.revoke(&host.other, id).await),
        "api_key_unknown"
    );
    assert_eq!(host.state(&one).await, "ok");
    host.keys.revoke(&host.owner, id).await?;
    assert_eq!(host.state(&one).await, "api_key_invalid");
    assert_eq!(host.state(&two).await, "ok");
    assert_eq!(
        code(host.db.app.enter_as(host.owner.tenant(), principal).await),
        "not_a_member"
    );
    assert_eq!(
        code(host.keys.revoke(&host.owner, id).await),
        "api_key_unknown"
    );
    assert_eq!(host.audit.of("api_key.revoked").len(), 1);
    let listed = host.keys.list(&host.owner).await?;
    assert!(
        listed
            .iter()
            .any(|key| key.id == id && key.revoked_at.is_some())
    );
    Ok(())
}

#[tokio::test]
async fn a_replaced_key_works_for_its_overlap_and_is_replaced_once() -> Result {
    let host = host().await?;
    let old = host.issue().await?;
    let rotate = async || host.keys.rotate(&host.owner, old.key.id, DAY, DAY).await;
    let racers = join_all((0..6).map(|_| rotate())).await;
    let won: Vec<IssuedApiKey> = racers
        .into_iter()
        .filter_map(std::result::Result::ok)
        .collect();
    assert_eq!(won.len(), 1);
    assert_eq!(
        (host.state(&old).await, host.state(&won[0]).await),
        ("ok", "ok")
    );
    assert_eq!(won[0].key.permissions, old.key.permissions);
    assert_eq!(host.audit.of("api_key.rotated").len(), 1);
    let next = host
        .keys
        .rotate(&host.owner, won[0].key.id, DAY, Duration::ZERO)
        .await?;
    assert_eq!(host.state(&won[0]).await, "api_key_expired");
    assert_eq!(host.state(&next).await, "ok");
    let too_long = host
        .keys
        .rotate(&host.owner, next.key.id, DAY, 31 * DAY)
        .await;
    assert_eq!(code(too_long), "api_key_overlap");
    Ok(())
}

#[tokio::test]
async fn a_key_expires_and_does_not_live_for_ever() -> Result {
    let host = host().await?;
    let issued = host.issue().await?;
    let days = (issued.key.expires_at - issued.key.created_at).num_days();
    assert_eq!(days, 90);
    host.sql("UPDATE tenancy.api_keys SET expires_at = now()")
        .await?;
    assert_eq!(host.state(&issued).await, "api_key_expired");
    let principal = Principal::api_key(issued.key.id, vec![READ]);
    assert_eq!(
        code(host.db.app.enter_as(host.owner.tenant(), principal).await),
        "not_a_member"
    );
    for validity in [Duration::ZERO, 731 * DAY] {
        let made = host
            .keys
            .create(&host.owner, new(&[READ]).with_valid_for(validity))
            .await;
        assert_eq!(code(made), "api_key_validity");
    }
    for permissions in [vec![], vec![READ; 51]] {
        assert_eq!(
            code(host.keys.create(&host.owner, new(&permissions)).await),
            "api_key_permissions"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_key_ends_with_the_membership_of_its_maker_and_does_not_come_back() -> Result {
    let host = host().await?;
    let member = testing::member(&host.db.app, &host.owner).await?;
    for permission in [MANAGE, READ] {
        host.authz.grant(&member, permission);
    }
    let key = host.keys.create(&member, new(&[READ])).await?;
    let user = member.user().unwrap();
    let set = |status: &'static str| {
        let query = sqlx::query("UPDATE tenancy.memberships SET status = $1 WHERE user_id = $2");
        query.bind(status).bind(user)
    };
    let superuser = host.db.superuser().await?;
    // Neither as a login nor as what a job stored.
    let stored = Principal::api_key(key.key.id, vec![READ]);
    let resumed = async || {
        let entered = host.db.app.enter_as(host.owner.tenant(), stored.clone());
        code(entered.await)
    };
    assert_eq!(resumed().await, "ok");
    set("deactivated").execute(&superuser).await?;
    assert_eq!(host.state(&key).await, "api_key_invalid");
    assert_eq!(resumed().await, "not_a_member");
    set("active").execute(&superuser).await?;
    assert_eq!(host.state(&key).await, "ok");
    let leave = sqlx::query("DELETE FROM tenancy.memberships WHERE user_id = $1").bind(user);
    leave.execute(&superuser).await?;
    assert_eq!(host.state(&key).await, "api_key_invalid");
    sqlx::query("INSERT INTO tenancy.memberships (tenant_id, user_id) VALUES ($1, $2)")
        .bind(host.owner.tenant())
        .bind(user)
        .execute(&superuser)
        .await?;
    assert_eq!(host.state(&key).await, "api_key_invalid");
    Ok(())
}

#[tokio::test]
async fn a_suspended_tenant_refuses_its_keys() -> Result {
    let host = host().await?;
    let issued = host.issue().await?;
    host.sql("UPDATE tenancy.tenants SET status = 'suspended_blocked'")
        .await?;
    assert_eq!(host.ask(issued.secret.expose(), &host.owner).await?, 423);
    host.sql("UPDATE tenancy.tenants SET status = 'deleted'")
        .await?;
    assert_eq!(host.ask(issued.secret.expose(), &host.owner).await?, 404);
    Ok(())
}

#[tokio::test]
async fn its_use_is_noted_at_most_once_a_minute() -> Result {
    let host = host().await?;
    let issued = host.issue().await?;
    let used = async || {
        let listed = host.keys.list(&host.owner).await?;
        Ok::<_, Error>(listed.first().and_then(|key| key.last_used_at))
    };
    assert_eq!(used().await?, None);
    let all = join_all((0..20).map(|_| host.state(&issued))).await;
    assert!(all.iter().all(|state| *state == "ok"), "{all:?}");
    let first = used().await?;
    assert!(first.is_some());
    let version = "SELECT xmin::text FROM tenancy.api_keys";
    let superuser = host.db.superuser().await?;
    let written: String = sqlx::query_scalar(version).fetch_one(&superuser).await?;
    for _ in 0..20 {
        host.state(&issued).await;
    }
    let again: String = sqlx::query_scalar(version).fetch_one(&superuser).await?;
    assert_eq!((used().await?, again), (first, written));
    host.sql("UPDATE tenancy.api_keys SET last_used_at = now() - interval '61 seconds'")
        .await?;
    host.state(&issued).await;
    assert!(used().await? > first);
    Ok(())
}

#[tokio::test]
async fn the_number_of_usable_keys_is_bounded_also_under_a_race() -> Result {
    let host = host().await?;
    let set = "INSERT INTO tenancy.tenant_limits (tenant_id, key, value) VALUES ($1, 'api_keys.usable', 3)";
    sqlx::query(set)
        .bind(host.owner.tenant())
        .execute(&host.db.superuser().await?)
        .await?;
    let made = join_all((0..8).map(|_| host.keys.create(&host.owner, new(&[READ])))).await;
    let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(std::result::Result::is_ok);
    assert_eq!(made.len(), 3);
    for error in refused.into_iter().filter_map(std::result::Result::err) {
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Limit, "api_key_limit")
        );
    }
    // Replacing takes no further place, revoking frees one, and other tenants have their own.
    let first = made.into_iter().next().unwrap()?;
    let next = host
        .keys
        .rotate(&host.owner, first.key.id, DAY, DAY)
        .await?;
    assert_eq!(
        code(host.keys.create(&host.owner, new(&[READ])).await),
        "api_key_limit"
    );
    host.keys.revoke(&host.owner, next.key.id).await?;
    assert_eq!(
        code(host.keys.create(&host.owner, new(&[READ])).await),
        "ok"
    );
    assert_eq!(
        code(host.keys.create(&host.other, new(&[READ])).await),
        "ok"
    );
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_environment_says_so_and_nonsense_never_reaches_the_database() -> Result {
    let host = host().await?;
    let test = KeyEnvironment::parse("test")?;
    let keys = host.keys.clone().with_environment(test.clone());
    let issued = keys.create(&host.owner, new(&[READ])).await?;
    assert_eq!(host.state(&issued).await, "api_key_environment");
    let login = host.login.clone().with_environment(test);
    assert!(login.identify(issued.secret.expose()).await.is_ok());
    // Without the function, a lookup would be another error.
    host.sql("ALTER FUNCTION tenancy.open_api_key(bytea) RENAME TO gone")
        .await?;
    let key = issued.secret.expose();
    for bad in [
        "",
        "tk_",
        &key[..key.len() - 1],
        &key.replace("test", "live"),
        &format!("{key}0"),
    ] {
        assert_eq!(code(login.identify(bad).await), "api_key_invalid", "{bad}");
    }
    assert_eq!(code(login.identify(key).await), "schema_missing");
    Ok(())
}

#[tokio::test]
async fn each_token_is_shown_to_the_login_of_its_kind_only() -> Result {
    let host = host().await?;
    let issued = host.issue().await?;
    let user = UserId::new();
    let ask = async |login: &LoginByToken, token: &str| {
        let header = ("authorization".to_owned(), format!("Bearer {token}"));
        let head = tenancy_core::RequestHead::new("GET", "/", vec![header]);
        code(login.authenticate(&head).await)
    };
    let both = LoginByToken::new()
        .api_keys(host.login.clone())
        .signed_tokens(TestLogin);
    assert_eq!(ask(&both, issued.secret.expose()).await, "ok");
    assert_eq!(ask(&both, "tk_live_x_y").await, "api_key_invalid");
    assert_eq!(ask(&both, "a.b.c").await, "login_invalid");
    assert_eq!(ask(&both, &user.to_string()).await, "login_unknown");
    let keys_only = LoginByToken::new().api_keys(host.login.clone());
    assert_eq!(ask(&keys_only, "a.b.c").await, "login_unknown");
    Ok(())
}

#[async_trait]
impl LoginHost for Host {
    fn login(&self) -> Arc<dyn Authenticate> {
        Arc::new(self.login.clone())
    }

    async fn good(&self) -> std::result::Result<(Headers, Identity), Error> {
        let issued = self.keys.create(&self.owner, new(&[READ])).await?;
        let principal = Principal::api_key(issued.key.id, vec![READ]);
        let header = format!("Bearer {}", issued.secret.expose());
        let identity = Identity::api_key(self.owner.tenant(), principal);
        Ok((vec![("authorization".to_owned(), header)], identity))
    }

    async fn bad(&self) -> std::result::Result<Vec<Headers>, Error> {
        let revoked = self.keys.create(&self.owner, new(&[READ])).await?;
        self.keys.revoke(&self.owner, revoked.key.id).await?;
        let replaced = self.keys.create(&self.owner, new(&[READ])).await?;
        self.keys
            .rotate(&self.owner, replaced.key.id, DAY, Duration::ZERO)
            .await?;
        let header = |key: &IssuedApiKey| {
            vec![(
                "authorization".to_owned(),
                format!("Bearer {}", key.secret.expose()),
            )]
        };
        Ok(vec![header(&revoked), header(&replaced)])
    }
}

#[tokio::test]
async fn the_suite_of_logins_passes() -> Result {
    Ok(conformance::authenticate(&host().await?).await?)
}

#[tokio::test]
async fn a_key_does_not_keep_what_its_maker_loses() -> Result {
    let host = host().await?;
    let member = testing::member(&host.db.app, &host.owner).await?;
    for permission in [MANAGE, READ, WRITE] {
        host.authz.grant(&member, permission);
    }
    let key = host.keys.create(&member, new(&[READ, WRITE])).await?;
    let principal = Principal::api_key(key.key.id, vec![READ, WRITE]);
    let ctx = host.db.app.enter_as(host.owner.tenant(), principal).await?;
    assert_eq!((ctx.maker(), ctx.user()), (member.user(), None));
    assert!(host.authz.check(&ctx, &WRITE).await?.is_allowed());
    host.authz.revoke(&member, &WRITE);
    assert!(!host.authz.check(&ctx, &WRITE).await?.is_allowed());
    assert!(host.authz.check(&ctx, &READ).await?.is_allowed());
    // Nor has it ever more than it was made with.
    assert!(!host.authz.check(&ctx, &MANAGE).await?.is_allowed());
    Ok(())
}

#[tokio::test]
async fn replacing_in_a_row_is_no_way_past_the_limit_and_the_dead_do_not_pile_up() -> Result {
    let host = host().await?;
    sqlx::query(
        "INSERT INTO tenancy.tenant_limits (tenant_id, key, value) VALUES ($1, 'api_keys.usable', 3)",
    )
    .bind(host.owner.tenant())
    .execute(&host.db.superuser().await?)
    .await?;
    let mut key = host.issue().await?.key.id;
    for _ in 0..3 {
        key = host.keys.rotate(&host.owner, key, DAY, DAY).await?.key.id;
    }
    let fourth = host.keys.rotate(&host.owner, key, DAY, DAY).await;
    assert_eq!(code(fourth), "api_key_limit");
    host.sql("UPDATE tenancy.api_keys SET expires_at = now() WHERE rotated_to IS NOT NULL")
        .await?;
    host.keys.rotate(&host.owner, key, DAY, DAY).await?;

    sqlx::query(
        "INSERT INTO tenancy.api_keys (tenant_id, id, name, prefix, permissions, created_by, expires_at, revoked_at)
         SELECT $1, gen_random_uuid(), 'dead', 'tk', '{a.b}', gen_random_uuid(), now() + interval '1 day', now()
         FROM generate_series(1, 600)",
    )
    .bind(host.owner.tenant())
    .execute(&host.db.superuser().await?)
    .await?;
    host.issue().await?;
    let dead: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tenancy.api_keys WHERE revoked_at IS NOT NULL OR expires_at <= now()",
    )
    .fetch_one(&host.db.superuser().await?)
    .await?;
    assert_eq!(dead, 500);
    Ok(())
}

#[tokio::test]
async fn a_revoked_key_is_dead_twice_over() -> Result {
    let host = host().await?;
    let key = host.issue().await?;
    let hash = "SELECT count(*) FROM tenancy.api_key_hashes";
    let hashes = async || -> Result<i64> {
        Ok(sqlx::query_scalar(hash)
            .fetch_one(&host.db.superuser().await?)
            .await?)
    };
    assert_eq!(hashes().await?, 1);
    host.keys.revoke(&host.owner, key.key.id).await?;
    assert_eq!(hashes().await?, 0, "its hash is nowhere any more");
    // And if somebody put it back, from a backup say, the key would still be revoked.
    sqlx::query(
        "INSERT INTO tenancy.api_key_hashes VALUES (sha256(convert_to($1, 'UTF8')), $2, $3)",
    )
    .bind(key.secret.expose())
    .bind(host.owner.tenant())
    .bind(key.key.id)
    .execute(&host.db.superuser().await?)
    .await?;
    assert_eq!(host.state(&key).await, "api_key_invalid");
    Ok(())
}
