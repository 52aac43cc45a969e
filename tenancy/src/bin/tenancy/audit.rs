//! The commands of the audit log: months, seals, proofs, retention.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use chrono::{NaiveDate, TimeDelta, Utc};
use clap::{Args, Subcommand};
use tenancy::{
    audit::{
        ActionFilter, Ed25519Signer, FileAnchor, PartitionState, Partitions, PgAuditLog,
        ProofExport, ProofReport, Retention, RetentionRule, SealKey, SealKeys, SealOptions, Sealer,
        Verifier,
    },
    authz::PgAuthorizer,
    core::{
        ActionKey, PermissionKey, ServiceKey, Subject, SubjectCipher as _, TenantDb, TenantId,
        WorkerDb,
    },
    secrets::{LocalKeyring, SecretVault, SubjectVault},
};

use crate::{
    Operator, Worker,
    command::{Result, connect},
};

/// The name that audit entries of this binary bear.
const SERVICE: ServiceKey = ServiceKey::from_static("tenancy_cli");

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Makes the partitions of the months ahead. Exit code 1 if one could not be made: entries of its
    /// month lie in the default partition, or somebody held the table.
    Partitions {
        #[command(flatten)]
        operator: Operator,
        /// How many months.
        #[arg(long, default_value_t = 3)]
        ahead: u8,
    },
    /// Says how the log is kept. Exit code 1 if entries wait too long for their seal, if it was
    /// restored into another cluster, or if the default partition has been used.
    Health {
        #[command(flatten)]
        worker: Worker,
        /// How many seconds an entry may wait for its seal, where anything was ever sealed.
        #[arg(long, default_value_t = 60)]
        wait_seconds: u32,
    },
    /// Prints a new key that signs seals. Keep it outside the database.
    Keygen {
        /// Its name, such as `2026-a`; never used for another one.
        name: String,
    },
    /// Prints the public part of the key that signs seals, for whoever verifies. The key is read from
    /// the environment (`TENANCY_AUDIT_SEAL_KEY`).
    PublicKey,
    /// Seals what is final, and ends; or goes on until it is told to stop. The key is read from the
    /// environment (`TENANCY_AUDIT_SEAL_KEY`).
    Seal {
        #[command(flatten)]
        worker: Worker,
        /// Goes on, with so many seconds of rest in between.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
        every: Option<u32>,
        /// Appends the newest heads to this file, which should lie where the database can't write.
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
    },
    /// Writes everything of a tenant that is sealed, with its seals, to standard output.
    Prove {
        #[command(flatten)]
        operator: Operator,
        /// The tenant; also one that is gone.
        tenant: TenantId,
    },
    /// Verifies what `prove` wrote, without a database. Exit code 0: nothing was changed; 1: something
    /// was, with a line for each finding; 2: it could not look.
    Verify(Verify),
    /// Drops the partition of a month, and keeps a signed record for each tenant.
    DropMonth {
        #[command(flatten)]
        operator: Operator,
        /// Any day of the month, as in `2024-03-01`.
        month: NaiveDate,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
    /// Destroys the key under which a person's details are sealed, in the log and wherever else, and records
    /// that. The key-encryption keys are read from the environment (`TENANCY_KEYRING`).
    Erase {
        /// The application's login.
        #[arg(long, env = "TENANCY_APP_URL", hide_env_values = true)]
        app_url: String,
        /// The tenant.
        tenant: TenantId,
        /// The person: `user:` and the id, or the name that the application seals under.
        subject: String,
    },
    /// Removes a tenant's sealed entries that are older than so many days, and keeps a signed record.
    Remove(Remove),
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// A file with the public keys, one `name:base64` a line.
    #[arg(long, value_name = "FILE", required_unless_present = "key")]
    keys: Option<PathBuf>,
    /// A public key.
    #[arg(long, value_name = "NAME:BASE64")]
    key: Vec<String>,
    /// Heads that were kept outside the database: what `seal --anchor` wrote.
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Remove {
    #[command(flatten)]
    operator: Operator,
    /// The tenant.
    tenant: TenantId,
    /// How old entries have to be.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    older_than: u32,
    /// Only this action, or all that begin so: `login.failed`, `login.*`.
    #[arg(long)]
    action: Option<String>,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
}

pub(crate) async fn run(which: Audit) -> Result {
    match which {
        Audit::Partitions { operator, ahead } => partitions(&operator, ahead).await,
        Audit::Health {
            worker,
            wait_seconds,
        } => health(&worker, wait_seconds).await,
        Audit::Keygen { name } => {
            println!("{}", *Ed25519Signer::generate_entry(&name)?);
            Ok(ExitCode::SUCCESS)
        }
        Audit::PublicKey => {
            println!("{}", Ed25519Signer::from_env()?.public_key().to_text());
            Ok(ExitCode::SUCCESS)
        }
        Audit::Seal {
            worker,
            every,
            anchor,
        } => seal(&worker, every, anchor).await,
        Audit::Prove { operator, tenant } => prove(&operator, tenant).await,
        Audit::Verify(what) => verify(&what),
        Audit::DropMonth {
            operator,
            month,
            reason,
        } => {
            let gone = retention(&operator)
                .await?
                .drop_month(month, &reason)
                .await?;
            println!(
                "{} entries of {} tenants dropped",
                gone.entries, gone.tenants
            );
            Ok(ExitCode::SUCCESS)
        }
        Audit::Erase {
            app_url,
            tenant,
            subject,
        } => erase(&app_url, tenant, subject).await,
        Audit::Remove(what) => remove(what).await,
    }
}

async fn partitions(operator: &Operator, ahead: u8) -> Result {
    let partitions = Partitions::of_operator(connect(operator).await?);
    let mut whole = true;
    for (name, state) in partitions.make(ahead).await? {
        println!("{name}: {state:?}");
        whole &= matches!(state, PartitionState::Made | PartitionState::There);
    }
    Ok(ExitCode::from(u8::from(!whole)))
}

async fn health(worker: &Worker, wait_seconds: u32) -> Result {
    let health = Sealer::health_of(WorkerDb::connect(&worker.worker_url).await?).await?;
    let waited = health
        .waiting_since
        .map_or(TimeDelta::zero(), |since| Utc::now() - since);
    let late = health.sealing && waited > TimeDelta::seconds(wait_seconds.into());
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    println!("sealing: {}", yes(health.sealing));
    println!(
        "the oldest unsealed entry waits: {} s",
        waited.num_seconds().max(0)
    );
    println!("restored into another cluster: {}", yes(health.restored));
    println!(
        "entries in the default partition: {}",
        yes(health.stray_entries)
    );
    Ok(ExitCode::from(u8::from(
        late || health.restored || health.stray_entries,
    )))
}

async fn seal(worker: &Worker, every: Option<u32>, anchor: Option<PathBuf>) -> Result {
    let signer = Arc::new(Ed25519Signer::from_env()?);
    let mut sealer = Sealer::new(WorkerDb::connect(&worker.worker_url).await?, signer);
    if let Some(file) = anchor {
        sealer = sealer.with_anchor(Arc::new(FileAnchor::new(file)));
    }
    let Some(seconds) = every else {
        let done = sealer.seal().await?;
        println!("{} entries in {} seals", done.entries, done.seals);
        if done.unpublished > 0 {
            eprintln!(
                "the anchor did not take the heads of {} tenants",
                done.unpublished
            );
        }
        return Ok(ExitCode::from(u8::from(done.unpublished > 0)));
    };
    let rest = Duration::from_secs(seconds.into());
    let sealer = sealer.with_options(SealOptions::default().with_interval(rest));
    sealer.run(told_to_stop()).await;
    Ok(ExitCode::SUCCESS)
}

/// An interrupt, or where there is one, the signal that ends services.
async fn told_to_stop() {
    #[cfg(unix)]
    if let Ok(mut end) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = end.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    drop(tokio::signal::ctrl_c().await);
}

async fn prove(operator: &Operator, tenant: TenantId) -> Result {
    let mut export = ProofExport::of_operator(connect(operator).await?, tenant);
    let mut out = std::io::stdout();
    while let Some(lines) = export.next_lines().await? {
        out.write_all(lines.as_bytes())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn verify(what: &Verify) -> Result {
    let mut keys = Vec::new();
    for text in &what.key {
        keys.push(SealKey::parse(text)?);
    }
    let keys = match &what.keys {
        Some(file) => SealKeys::parse(&text(file)?)?.with(keys),
        None => SealKeys::new(keys),
    };
    let mut verifier = Verifier::new(keys);
    if let Some(file) = &what.anchor {
        verifier = verifier.with_anchor(open(file)?)?;
    }
    let report = verifier.verify(open(&what.file)?)?;
    say(&report);
    Ok(ExitCode::from(u8::from(!report.is_intact())))
}

fn say(report: &ProofReport) {
    for finding in &report.findings {
        println!("{finding}");
    }
    let more = report.found - report.findings.len() as u64;
    if more > 0 {
        println!("… and {more} more");
    }
    println!(
        "tenant {}: {} seals, {} entries as they were sealed, {} of them with details erased, {} removed by retention",
        report.tenant, report.seals, report.entries, report.erased, report.removed
    );
    let verdict = if report.is_intact() {
        "nothing was changed"
    } else {
        "THE LOG WAS CHANGED"
    };
    println!("{verdict}");
}

fn text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

fn open(file: &Path) -> Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, opened)))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Box<dyn std::error::Error + Send + Sync> {
    format!("`{}` can't be read: {error}", file.display()).into()
}

async fn retention(operator: &Operator) -> Result<Retention> {
    let signer = Arc::new(Ed25519Signer::from_env()?);
    Ok(Retention::new(connect(operator).await?, signer))
}

async fn erase(app_url: &str, tenant: TenantId, subject: String) -> Result {
    let subject = Subject::parse(subject)?;
    let db = TenantDb::connect(app_url).await?;
    let permissions = vec![PermissionKey::from_static("subjects.erase")];
    let ctx = db.enter_system(tenant, SERVICE, permissions).await?;
    let audit = Arc::new(PgAuditLog::new(db.clone()));
    let authorizer = Arc::new(PgAuthorizer::new(db.clone(), audit.clone()));
    let keys = LocalKeyring::from_env()?;
    let vault = SecretVault::new(db.clone(), keys, authorizer.clone(), audit.clone());
    SubjectVault::new(db, &vault, authorizer, audit)
        .erase_subject(&ctx, &subject)
        .await?;
    println!("erased");
    Ok(ExitCode::SUCCESS)
}

async fn remove(what: Remove) -> Result {
    let before = Utc::now() - TimeDelta::days(what.older_than.into());
    let mut rule = RetentionRule::new(what.tenant, before, what.reason);
    if let Some(action) = what.action {
        rule = rule.with_action(match action.strip_suffix('*') {
            Some(prefix) => ActionFilter::prefix(prefix)?,
            None => ActionFilter::Exact(ActionKey::parse(action)?),
        });
    }
    let removed = retention(&what.operator).await?.remove(&rule).await?;
    println!("{removed} entries removed");
    Ok(ExitCode::SUCCESS)
}
