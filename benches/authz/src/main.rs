//! Measures checks: ours beside casbin and Cedar on the same setting, in one run.

mod keys;
mod peers;
mod policies;
#[path = "../../src/report.rs"]
#[expect(dead_code, reason = "shared with the other areas")]
mod report;
mod revoke;
#[path = "../../src/sample.rs"]
mod sample;
mod setting;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use tenancy_authz::AuthzOptions;

use self::{
    report::{Better, Metric},
    sample::Sample,
    setting::Setting,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;

const ROUNDS: usize = 9;
/// Checks are timed in batches: the clock costs as much as a check.
const BATCH: usize = 1_000;
const BATCHES: usize = 1_000;
/// So many batches ask everything once: whoever ran in between has emptied the caches for as many.
const COLD: usize = setting::CHECKS.div_ceil(BATCH);
/// What a batch may lose to others and still count as undisturbed.
const LOST: Duration = Duration::from_micros(2);
const REVOKES: usize = 10_000;

#[tokio::main]
async fn main() -> Result {
    if std::env::args().nth(1).as_deref() == Some("watch") {
        return revoke::watch().await;
    }
    let revokes = std::env::var("TENANCY_REVOKES")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(REVOKES);
    let setting = Setting::new();
    let db = setting.database().await?;
    let hour = AuthzOptions::default().with_bound(Duration::from_hours(1));
    let authz = setting::authorizer(&db, hour);
    let seats: Vec<_> = (0..setting.seats.len())
        .map(|seat| setting.ctx(seat))
        .collect();
    let begun = Instant::now();
    let mut rights = Vec::new();
    for ctx in &seats {
        rights.push(authz.permissions(ctx).await?);
    }
    let load = begun.elapsed().as_secs_f64() * 1e6 / seats.len() as f64;
    println!(
        "a snapshot that is not in memory: {load:.0} µs, over {} of them",
        seats.len()
    );
    for check in &setting.checks {
        let said = keys::PEEKS[check.permission](&authz, &seats[check.seat]);
        let looked = keys::LOOKS[check.permission](&rights[check.seat]);
        if said != Some(check.allowed) || looked != check.allowed {
            return Err("ours disagrees with the model".into());
        }
    }
    let (casbin, cedar) = (
        peers::Casbin::new(&setting).await?,
        peers::Cedar::new(&setting)?,
    );
    println!("yardstick: a reading of the clock takes {:.0} ns", clock());

    let (mut ours, mut by_casbin, mut by_cedar) = (Vec::new(), Vec::new(), Vec::new());
    let (mut warm, mut second, mut undisturbed) =
        (Sample::default(), Sample::default(), Sample::default());
    let (mut tail, mut tail_of_all) = (Sample::default(), Sample::default());
    for _ in 0..ROUNDS {
        let mut asked = setting.checks.iter().cycle();
        let mut next = || asked.next().map_or(&seats[0], |check| &seats[check.seat]);
        let taken = batches(|| keys::peek_all(&authz, &mut next));
        warm.push(taken.median);
        tail.push(taken.undisturbed_p99 / taken.median);
        tail_of_all.push(taken.p99 / taken.median);
        undisturbed.push(taken.undisturbed * 100.0);
        ours.push(taken.median);
        by_casbin.push(casbin.nanos(BATCH * 20)?);
        by_cedar.push(cedar.nanos(BATCH * 4));
        // One request asks about one user, again and again.
        second.push(batches(|| keys::look_all(black_box(&rights[7]))).median);
    }
    println!(
        "99th percentile of batches / median: {:.1} ({:.1} to {:.1}) with what other processes took from this one; {:.0} % of batches were undisturbed",
        tail_of_all.median(),
        tail_of_all.low(),
        tail_of_all.high(),
        undisturbed.median()
    );
    let mut metrics = vec![
        Metric::alone(
            "warm check, freshness included",
            "ns",
            &warm,
            Better::Lower,
            60.0,
        ),
        Metric::alone(
            "99th percentile of undisturbed batches / median",
            "x",
            &tail,
            Better::Lower,
            2.0,
        ),
        Metric::alone(
            "second and later checks of a request",
            "ns",
            &second,
            Better::Lower,
            5.0,
        ),
        Metric::beside(
            "warm check / casbin's warm cache",
            "ns",
            (&ours, &by_casbin),
            "casbin",
            Better::Lower,
            1.0 / 8.0,
        ),
        Metric::beside(
            "warm check / Cedar's best layout",
            "ns",
            (&ours, &by_cedar),
            "cedar",
            Better::Lower,
            1.0 / 30.0,
        ),
    ];
    report::publish("authz", &metrics)?;
    if std::env::args().nth(1).as_deref() == Some("checks") {
        return Ok(());
    }
    metrics.extend(sql(&db, &setting).await?);
    metrics.extend(policies::measure(&db, &setting).await?);
    report::publish("authz", &metrics)?;
    for (listens, lanes, bound, name, goal) in [
        (
            true,
            4,
            1_000,
            "revoke to effect elsewhere, told, p99",
            10.0,
        ),
        (
            false,
            20,
            1_000,
            "revoke to effect elsewhere, untold, longest",
            1_000.0,
        ),
    ] {
        let begun = Instant::now();
        let found = revoke::delays(
            &db,
            &setting,
            Duration::from_millis(bound),
            listens,
            lanes,
            revokes,
        )
        .await?;
        let at = |part: usize| found[(found.len() * part / 1_000).min(found.len() - 1)];
        println!(
            "{} revokes, {lanes} at a time, other process {}: median {:.2} ms, p99 {:.2} ms, longest {:.2} ms ({:.0} s)",
            found.len(),
            if listens { "listens" } else { "hears nothing" },
            at(500),
            at(990),
            at(1_000),
            begun.elapsed().as_secs_f64()
        );
        let mut sample = Sample::default();
        sample.push(if listens { at(990) } else { at(1_000) });
        metrics.push(Metric::alone(name, "ms", &sample, Better::Lower, goal));
    }
    report::publish("authz", &metrics)
}

/// Nanoseconds a check, over batches. A batch is undisturbed if the machine gave the thread's processor
/// to nobody else in it, nor in those before it that the caches are warm from.
struct Taken {
    median: f64,
    p99: f64,
    undisturbed_p99: f64,
    /// Which part of them.
    undisturbed: f64,
}

/// Times batches of a thousand, a hundred at a time.
fn batches(mut hundred: impl FnMut()) -> Taken {
    let mut all = Vec::new();
    for _ in 0..BATCHES {
        let (begun, begun_own) = (Instant::now(), own_time());
        for _ in 0..BATCH / 100 {
            hundred();
        }
        let (taken_own, taken) = (own_time() - begun_own, begun.elapsed());
        let nanos = taken.as_secs_f64() * 1e9 / BATCH as f64;
        all.push((nanos, taken.saturating_sub(taken_own) > LOST));
    }
    let quiet = |window: &&[(f64, bool)]| window.iter().all(|(_, is_disturbed)| !is_disturbed);
    let undisturbed = all.windows(COLD + 1).filter(quiet);
    let undisturbed = sorted(undisturbed.map(|window| window[COLD].0).collect());
    let all = sorted(all.into_iter().map(|(nanos, _)| nanos).collect());
    let at = |figures: &[f64], part: usize| {
        figures
            .get(figures.len() * part / 100)
            .copied()
            .unwrap_or(f64::NAN)
    };
    Taken {
        median: at(&all, 50),
        p99: at(&all, 99),
        undisturbed_p99: at(&undisturbed, 99),
        undisturbed: undisturbed.len() as f64 / BATCHES as f64,
    }
}

fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

/// How long this thread has run.
fn own_time() -> Duration {
    let read = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(read.tv_sec).unwrap_or(0),
        u32::try_from(read.tv_nsec).unwrap_or(0),
    )
}

fn clock() -> f64 {
    let begun = Instant::now();
    for _ in 0..BATCH {
        black_box(Instant::now());
    }
    begun.elapsed().as_secs_f64() * 1e9 / BATCH as f64
}

/// What the SQL function costs: inside a statement, and as a statement of its own.
async fn sql(db: &tenancy_testkit::Db, setting: &Setting) -> Result<Vec<Metric>> {
    const CALLS: i32 = 100_000;
    let ctx = setting.ctx(0);
    let mut tx = db.app.read(&ctx).await?;
    let mut inside = Sample::default();
    for _ in 0..3 {
        let begun = Instant::now();
        sqlx::query("SELECT count(*) FROM generate_series(1, $2) i WHERE util.user_has_permission($1, 'area0.k' || i % 10)")
            .bind(ctx.tenant().as_uuid())
            .bind(CALLS)
            .execute(&mut *tx)
            .await?;
        inside.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
    }
    let (mut alone, mut nothing) = (Sample::default(), Sample::default());
    for _ in 0..3 {
        for (query, taken) in [
            (
                "SELECT util.user_has_permission($1, 'area0.k1')",
                &mut alone,
            ),
            ("SELECT $1::uuid IS NULL", &mut nothing),
        ] {
            let begun = Instant::now();
            for _ in 0..2_000 {
                sqlx::query(query)
                    .bind(ctx.tenant().as_uuid())
                    .execute(&mut *tx)
                    .await?;
            }
            taken.push(begun.elapsed().as_secs_f64() * 1e6 / 2_000.0);
        }
    }
    println!(
        "util.user_has_permission: {:.1} µs a call inside a statement, {:.0} µs as a prepared statement of its own; one that asks nothing {:.0} µs",
        inside.median(),
        alone.median(),
        nothing.median()
    );
    Ok(vec![
        Metric::alone(
            "SQL function, a call inside a statement",
            "µs",
            &inside,
            Better::Lower,
            30.0,
        ),
        Metric::alone(
            "SQL function, a prepared statement of its own",
            "µs",
            &alone,
            Better::Lower,
            100.0,
        ),
    ])
}
