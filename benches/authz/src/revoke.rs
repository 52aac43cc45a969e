//! How long a revoke takes to count in another operating-system process.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use tenancy_authz::{AuthzOptions, PgAuthorizer, Roles};
use tenancy_core::{
    Principal, RoleKey, TenantCtx, TenantDb, TenantId, UserId,
    testing::{MemoryAudit, imagined},
};
use tenancy_testkit::Db;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use crate::{Result, keys::key, setting::Setting};

/// What is told on standard input: one line, then one a lane.
pub(crate) async fn watch() -> Result {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut next = async || {
        lines
            .next_line()
            .await?
            .ok_or_else(|| crate::Failure::from("no order"))
    };
    let (url, bound, listens, lanes) = (next().await?, next().await?, next().await?, next().await?);
    let db = TenantDb::connect(&url).await?;
    let options = AuthzOptions::default().with_bound(Duration::from_millis(bound.parse()?));
    let authz = Arc::new(PgAuthorizer::with_options(
        db.clone(),
        Arc::new(MemoryAudit::new()),
        options,
    ));
    if listens == "true" {
        let authz = authz.clone();
        tokio::spawn(async move { authz.listen(&db, CancellationToken::new()).await });
    }
    let mut watching = tokio::task::JoinSet::new();
    for lane in 0..lanes.parse()? {
        let (tenant, user) = (
            next().await?.parse::<TenantId>()?,
            next().await?.parse::<UserId>()?,
        );
        let ctx = imagined(tenant, Principal::user(user));
        watching.spawn(watch_one(authz.clone(), ctx, lane));
    }
    while let Some(ended) = watching.join_next().await {
        ended??;
    }
    Ok(())
}

/// Says when the answer changes, and when the last question began that had the other answer.
async fn watch_one(authz: Arc<PgAuthorizer>, ctx: TenantCtx, lane: usize) -> Result {
    let (mut before, mut last) = (None, Duration::ZERO);
    loop {
        let began = UNIX_EPOCH.elapsed()?;
        let allowed = match authz.peek(&ctx, key::K00::get()) {
            Some(decision) => decision.is_allowed(),
            None => authz.permissions(&ctx).await?.allows(key::K00::get()),
        };
        if before != Some(allowed) {
            println!("{lane} {allowed} {}", last.as_nanos());
            before = Some(allowed);
        }
        last = began;
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

/// Milliseconds by which the last check that was still allowed began after its revoke, a round: after it was
/// committed, which is what the bound is about, or where the other process is told, after it was asked for.
pub(crate) async fn delays(
    db: &Db,
    setting: &Setting,
    bound: Duration,
    listens: bool,
    lanes: usize,
    rounds: usize,
) -> Result<Vec<f64>> {
    // One lane a tenant: a change of one does not touch the others.
    let mut seats = HashMap::new();
    for (at, seat) in setting.seats.iter().enumerate() {
        seats.entry(seat.tenant).or_insert(at);
    }
    let seats: Vec<_> = seats.into_values().take(lanes).collect();
    let mut child = Command::new(std::env::current_exe()?)
        .arg("watch")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let mut told = format!(
        "{}\n{}\n{listens}\n{}\n",
        db.server.app_url(),
        bound.as_millis(),
        seats.len()
    );
    for seat in &seats {
        let seat = setting.seats[*seat];
        told.push_str(&format!(
            "{}\n{}\n",
            setting.tenants[seat.tenant], setting.users[seat.user]
        ));
    }
    stdin.write_all(told.as_bytes()).await?;
    let (mut to, mut from) = (Vec::new(), Vec::new());
    for _ in &seats {
        let (sender, receiver) = mpsc::unbounded_channel();
        to.push(sender);
        from.push(receiver);
    }
    let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
    let hearing = tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let mut words = line.split(' ').map(str::to_owned);
            let (Some(lane), Some(allowed), Some(nanos)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let lane: usize = lane.parse().unwrap_or(0);
            let _ = to[lane].send((allowed == "true", nanos.parse::<u64>().unwrap_or(0)));
        }
    });
    let superuser = db.superuser().await?;
    let found = Arc::new(Mutex::new(Vec::new()));
    let mut running = tokio::task::JoinSet::new();
    for (seat, mut heard) in seats.iter().copied().zip(from) {
        let (app, found) = (db.app.clone(), found.clone());
        let seat_of = setting.seats[seat];
        let (owner, user) = (
            imagined(
                setting.tenants[seat_of.tenant],
                Principal::user(UserId::new()),
            ),
            setting.users[seat_of.user],
        );
        let rounds = rounds / seats.len();
        let superuser = superuser.clone();
        running.spawn(async move {
            // An owner, so that somebody may change roles.
            let boss = owner.user().ok_or("no user")?;
            let tenant = owner.tenant().as_uuid();
            for sql in [
                "INSERT INTO tenancy.memberships (tenant_id, user_id, is_owner) VALUES ($1, $2, true)",
                "INSERT INTO tenancy.roles (tenant_id, key, name, is_system) SELECT $1, 'owner', 'Owner', true WHERE $2::uuid IS NOT NULL ON CONFLICT DO NOTHING",
                "INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key) SELECT $1, 'owner', key FROM tenancy.permissions WHERE $2::uuid IS NOT NULL ON CONFLICT DO NOTHING",
                "INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key) VALUES ($1, $2, 'owner')",
            ] {
                sqlx::query(sql).bind(tenant).bind(boss.as_uuid()).execute(&superuser).await?;
            }
            let audit = Arc::new(MemoryAudit::new());
            let authz = Arc::new(PgAuthorizer::new(app.clone(), audit.clone()));
            let roles = Roles::new(app, authz, audit);
            // The first has both roles; taking both at once is setting none.
            let keys = seat_of.roles.map(|role| RoleKey::parse(format!("r{role}")));
            let [one, two] = keys.map(|key| key.map_err(|error| error.to_string()));
            let (one, two) = (one?, two?);
            roles.unassign(&owner, user, &two).await?;
            let mut until = async |wanted: bool| loop {
                let (allowed, nanos) = heard.recv().await.ok_or("the other process ended")?;
                if allowed == wanted {
                    return Ok::<_, crate::Failure>(Duration::from_nanos(nanos));
                }
            };
            for _ in 0..rounds {
                until(true).await?;
                let sent = UNIX_EPOCH.elapsed()?;
                roles.unassign(&owner, user, &one).await?;
                let committed = UNIX_EPOCH.elapsed()?;
                let last = until(false).await?;
                let delay = last.saturating_sub(if listens { sent } else { committed }).as_secs_f64() * 1e3;
                found.lock().map_err(|_| "poisoned")?.push(delay);
                roles.assign(&owner, user, &one, None).await?;
            }
            Ok::<_, crate::Failure>(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    child.kill().await?;
    hearing.abort();
    let mut found = std::mem::take(&mut *found.lock().map_err(|_| "poisoned")?);
    found.sort_by(f64::total_cmp);
    Ok(found)
}
