//! How soon a revoke counts in another operating-system process.

use std::{
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tenancy_authz::AuthzOptions;
use tenancy_core::{Authorizer as _, TenantDb, TenantId, UserId, testing::MemoryAudit};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::support::{READ, Result, World, authorizer, role, user};

const CHILD: &str = "TENANCY_AUTHZ_CHILD";
/// Revokes that are announced take milliseconds each, the others the bound.
const TOLD: usize = 500;
const UNTOLD: usize = 15;
/// Far below the bound, and more than a busy machine takes as a rule.
const SOON: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks again and again, and says when the answer changes and when the last question began that was
/// still answered as before.
async fn watch(told: &str) -> Result {
    let mut words = told.split(' ');
    let mut word = || words.next().ok_or("an order is missing");
    let (url, tenant, member) = (word()?, word()?, word()?);
    let (bound, listens) = (
        Duration::from_millis(word()?.parse()?),
        word()? == "listens",
    );
    let db = TenantDb::connect(url).await?;
    let options = AuthzOptions::default().with_bound(bound);
    let authz = authorizer(&db, &MemoryAudit::new(), options);
    let ctx = db
        .enter(tenant.parse::<TenantId>()?, member.parse::<UserId>()?)
        .await?;
    if listens {
        let (authz, db) = (authz.clone(), db.clone());
        tokio::spawn(async move { authz.listen(&db, CancellationToken::new()).await });
    }
    let (mut before, mut last) = (None, Duration::ZERO);
    loop {
        let began = UNIX_EPOCH.elapsed()?;
        let allowed = authz.check(&ctx, &READ).await?.is_allowed();
        if before != Some(allowed) {
            println!("@{allowed} {}", last.as_nanos());
            before = Some(allowed);
        }
        last = began;
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

struct Watcher {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Watcher {
    fn start(told: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "--exact",
                "processes::a_revoke_counts_within_the_bound_in_another_process",
            ])
            .args(["--nocapture", "--test-threads=1"])
            .env(CHILD, told)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self {
            lines,
            _child: child,
        })
    }

    /// Waits until the answer is this one; when the last other answer was asked for.
    async fn until(&mut self, allowed: bool) -> Result<SystemTime> {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await??;
            let line = line.ok_or("the other process ended")?;
            // The first line stands behind what the test program prints itself.
            let Some((_, said)) = line.split_once('@') else {
                continue;
            };
            let (answer, nanos) = said.split_once(' ').ok_or("a broken line")?;
            if answer == allowed.to_string() {
                return Ok(UNIX_EPOCH + Duration::from_nanos(nanos.parse()?));
            }
        }
    }
}

#[tokio::test]
async fn a_revoke_counts_within_the_bound_in_another_process() -> Result {
    if let Ok(told) = std::env::var(CHILD) {
        return watch(&told).await;
    }
    let world = World::new().await?;
    for (bound, listens, rounds) in [(1_000, "listens", TOLD), (200, "hears nothing", UNTOLD)] {
        let member = world.member(&["viewer"]).await?;
        let (url, tenant, watched) = (world.db.server.app_url(), member.tenant(), user(&member));
        let mut other = Watcher::start(&format!("{url} {tenant} {watched} {bound} {listens}"))?;
        let (mut delays, mut late) = (Vec::new(), 0);
        for _ in 0..rounds {
            other.until(true).await?;
            world
                .roles
                .unassign(&world.owner, watched, &role("viewer"))
                .await?;
            let revoked = SystemTime::now();
            let last_allowed = other.until(false).await?;
            let delay = last_allowed.duration_since(revoked).unwrap_or_default();
            late += usize::from(delay > SOON);
            let is_told = listens == "listens";
            assert!(
                !is_told || late <= rounds / 10,
                "who listens heard late: {delays:?}"
            );
            delays.push(delay);
            world
                .roles
                .assign(&world.owner, watched, &role("viewer"), None)
                .await?;
        }
        delays.sort();
        let (median, longest) = (delays[rounds / 2], delays[rounds - 1]);
        eprintln!("{rounds} revokes, another process {listens}: {median:?}, {longest:?} at most");
        assert!(
            longest <= Duration::from_millis(bound),
            "a check that began {longest:?} after the revoke was still allowed"
        );
    }
    Ok(())
}
