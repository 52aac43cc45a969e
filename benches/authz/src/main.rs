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
    process::ExitCode,
    time::{Duration, Instant},
};

use tenancy_authz::{AuthzOptions, PgAuthorizer};
use tenancy_core::TenantCtx;

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

/// With a bound of no more than this, freshness is judged by the exact clock.
const EXACT: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_given = |word| arguments.iter().any(|argument| argument == word);
    let run = if is_given("watch") {
        revoke::watch().await.map(|()| 0)
    } else {
        measure(is_given("checks")).await
    };
    match run {
        Ok(missed) if missed > 0 && is_given("--gate") => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// How many goals are missed.
async fn measure(only_checks: bool) -> Result<usize> {
    let revokes = std::env::var("TENANCY_REVOKES")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(REVOKES);
    let setting = Setting::new();
    let db = setting.database().await?;
    let hour = AuthzOptions::default().with_bound(Duration::from_hours(1));
    let authz = setting::authorizer(&db, hour);
    let narrow = setting::authorizer(&db, AuthzOptions::default().with_bound(EXACT));
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
    let reading = clock();
    println!("yardstick: a reading of the clock takes {reading:.0} ns");

    let (mut ours, mut by_casbin, mut by_cedar) = (Vec::new(), Vec::new(), Vec::new());
    let (mut warm, mut second, mut undisturbed) =
        (Sample::default(), Sample::default(), Sample::default());
    let (mut tail, mut tail_of_all) = (Sample::default(), Sample::default());
    let (mut by_tick, mut by_clock) = (Sample::default(), Sample::default());
    for _ in 0..ROUNDS {
        by_clock.push(again(&narrow, &seats[7]).await?);
        // A permission notes its bit for the authorizer that it was asked of last.
        by_tick.push(again(&authz, &seats[7]).await?);
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
        "{:.0} % of batches were undisturbed; the others are with what other processes took from this one",
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
        // Whatever the machine does beside: nothing of ours takes ten times as long.
        Metric::alone(
            "99th percentile of all batches / median",
            "x",
            &tail_of_all,
            Better::Lower,
            10.0,
        ),
        Metric::alone(
            "second and later checks of a request",
            "ns",
            &second,
            Better::Lower,
            5.0,
        ),
        Metric::alone(
            "another check about the same user, by the last tick",
            "ns",
            &by_tick,
            Better::Lower,
            60.0,
        ),
        Metric::alone(
            "another check about the same user, by the exact clock",
            "ns",
            &by_clock,
            Better::Lower,
            60.0 + reading,
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
    if only_checks {
        return Ok(report::missed(&metrics));
    }
    metrics.extend(sql(&db, &setting).await?);
    metrics.extend(policies::measure(&db, &setting).await?);
    report::publish("authz", &metrics)?;
    for (listens, lanes) in [(true, 4), (false, 20)] {
        metrics.extend(delayed(&db, &setting, listens, lanes, revokes).await?);
    }
    report::publish("authz", &metrics)?;
    Ok(report::missed(&metrics))
}

/// How soon a revoke counts in another process, with a bound of a second.
async fn delayed(
    db: &tenancy_testkit::Db,
    setting: &Setting,
    listens: bool,
    lanes: usize,
    revokes: usize,
) -> Result<Vec<Metric>> {
    let (begun, bound) = (Instant::now(), Duration::from_secs(1));
    let found = revoke::delays(db, setting, bound, listens, lanes, revokes).await?;
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
    let metric = |name, part, goal| {
        let mut sample = Sample::default();
        sample.push(at(part));
        Metric::alone(name, "ms", &sample, Better::Lower, goal)
    };
    Ok(if listens {
        vec![
            metric("revoke to effect elsewhere, told, p99", 990, 10.0),
            metric("revoke to effect elsewhere, told, longest", 1_000, 1_000.0),
        ]
    } else {
        vec![metric(
            "revoke to effect elsewhere, untold, longest",
            1_000,
            1_000.0,
        )]
    })
}

/// Nanoseconds for another check about somebody, freshness included: the median of batches, each of which
/// begins and ends while memory has the answer.
async fn again(authz: &PgAuthorizer, ctx: &TenantCtx) -> Result<f64> {
    let mut all = Vec::new();
    for _ in 0..BATCHES / 10 {
        authz.permissions(ctx).await?;
        let begun = Instant::now();
        for _ in 0..BATCH / 100 {
            keys::peek_all(authz, || ctx);
        }
        let taken = begun.elapsed();
        if authz.peek(ctx, keys::key::K00::get()).is_some() {
            all.push(taken.as_secs_f64() * 1e9 / BATCH as f64);
        }
    }
    let all = sorted(all);
    let median = all.get(all.len() / 2).copied();
    median.ok_or_else(|| "the bound is shorter than a batch".into())
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
