//! The commands of the audit log: months and seals.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use clap::Subcommand;
use tenancy::{
    audit::{
        Ed25519Signer, FileAnchor, HttpAnchor, IdempotencyKeys, PartitionState, Partitions,
        SealOptions, Sealer,
    },
    core::{SecretText, WorkerDb},
};

use crate::{
    Operator, Worker,
    audit_policies::{self, Policy, Retain},
    audit_proofs::{self, Adopt, Prove, Verify},
    audit_read::{self, Export, Search, StreamsOf, Tail},
    audit_retention::{self, DropMonth, Erase, EraseDetails, Hold, Remove},
    command::{Result, connect},
};

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
    /// Forgets the keys under which events were recorded once, of all tenants. Once a day is enough.
    ForgetKeys {
        #[command(flatten)]
        worker: Worker,
        /// For how many days they are remembered.
        #[arg(long, value_name = "DAYS", default_value_t = IdempotencyKeys::DAYS, value_parser = clap::value_parser!(u16).range(1..))]
        older_than: u16,
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
        /// Appends the newest heads to this file, which should lie where the database can't write. Several may
        /// be given.
        #[arg(long, value_name = "FILE")]
        anchor: Vec<PathBuf>,
        /// Posts them to this URL of https (http on this machine), too, with the bearer token of the environment, if
        /// there is one (`TENANCY_ANCHOR_TOKEN`).
        #[arg(long, value_name = "URL")]
        anchor_url: Vec<String>,
    },
    /// Writes everything of a tenant that is sealed, with its seals, to standard output; or the proof of one
    /// entry, or of two states of the log. Records that in the platform's log.
    Prove(Prove),
    /// Verifies what `prove` wrote, without a database. Exit code 0: nothing was changed; 1: something
    /// was, with a line for each finding; 2: it could not look.
    Verify(Verify),
    /// Takes a log over that came into another cluster, by a restore or an upgrade, where `seal` refuses; or that was
    /// restored into the same one, with seals lost. The key is read from the environment (`TENANCY_AUDIT_SEAL_KEY`).
    Adopt(Adopt),
    /// Drops the partition of a month, and keeps a signed record for each tenant. The key is read from the
    /// environment (`TENANCY_AUDIT_SEAL_KEY`).
    DropMonth(DropMonth),
    /// Destroys the key under which a person's details are sealed, in the log and wherever else, and records
    /// that. The key-encryption keys are read from the environment (`TENANCY_KEYRING`).
    Erase(Erase),
    /// Takes personal details out of entries that were recorded without keys for persons, and signs for it. The key
    /// is read from the environment (`TENANCY_AUDIT_SEAL_KEY`).
    EraseDetails(EraseDetails),
    /// Puts the log of a tenant that is gone under a legal hold. A tenant that is there: `tenants hold`.
    Hold(Hold),
    /// Lifts such a hold.
    Release(Hold),
    /// Removes a tenant's sealed entries that are older than so many days, and keeps a signed record. The key is
    /// read from the environment (`TENANCY_AUDIT_SEAL_KEY`).
    Remove(Remove),
    /// How long entries are kept: sets, lists and takes away policies. Takes no key: `retain` applies them.
    #[command(subcommand)]
    Policy(Policy),
    /// Applies all policies: to be run once a day. Exit code 1 if something could not be done. The key that signs
    /// removals is read from the environment (`TENANCY_AUDIT_SEAL_KEY`).
    Retain(Retain),
    /// Searches a tenant's log, newest first.
    Search(Search),
    /// Prints what is recorded for a tenant as it is committed, until it is told to stop.
    Tail(Tail),
    /// Writes what is committed of a tenant's log, oldest first, and records that.
    Export(Export),
    /// Streams of the log to systems outside.
    #[command(subcommand)]
    Streams(StreamsOf),
}

pub(crate) async fn run(which: Audit) -> Result {
    match which {
        Audit::Partitions { operator, ahead } => partitions(&operator, ahead).await,
        Audit::Health {
            worker,
            wait_seconds,
        } => health(&worker, wait_seconds).await,
        Audit::ForgetKeys { worker, older_than } => {
            let worker = WorkerDb::connect(&worker.worker_url).await?;
            let keys = IdempotencyKeys::new(worker).with_days(older_than);
            println!("{} keys forgotten", keys.forget().await?);
            Ok(ExitCode::SUCCESS)
        }
        Audit::Keygen { name } => {
            println!("{}", Ed25519Signer::generate(&name)?.expose());
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
            anchor_url,
        } => seal(&worker, every, anchor, anchor_url).await,
        Audit::Prove(what) => audit_proofs::prove(what).await,
        Audit::Verify(what) => audit_proofs::verify(&what),
        Audit::Adopt(what) => audit_proofs::adopt(&what).await,
        Audit::DropMonth(what) => audit_retention::drop_month(&what).await,
        Audit::Erase(what) => audit_retention::erase(what).await,
        Audit::EraseDetails(what) => audit_retention::erase_details(what).await,
        Audit::Hold(what) => audit_retention::hold(&what, true).await,
        Audit::Release(what) => audit_retention::hold(&what, false).await,
        Audit::Remove(what) => audit_retention::remove(what).await,
        Audit::Policy(which) => audit_policies::run(which).await,
        Audit::Retain(what) => audit_policies::retain(&what).await,
        Audit::Search(what) => audit_read::search(what).await,
        Audit::Tail(what) => audit_read::tail(what).await,
        Audit::Export(what) => audit_read::export(what).await,
        Audit::Streams(which) => audit_read::streams(which).await,
    }
}

async fn partitions(operator: &Operator, ahead: u8) -> Result {
    let partitions = Partitions::of_operator(connect(operator).await?);
    let mut whole = true;
    for made in partitions.make(ahead).await? {
        println!("{}: {:?}", made.name, made.state);
        whole &= matches!(made.state, PartitionState::Made | PartitionState::There);
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

async fn seal(
    worker: &Worker,
    every: Option<u32>,
    files: Vec<PathBuf>,
    urls: Vec<String>,
) -> Result {
    let signer = Arc::new(Ed25519Signer::from_env()?);
    let mut sealer = Sealer::new(WorkerDb::connect(&worker.worker_url).await?, signer);
    for file in files {
        sealer = sealer.with_anchor(Arc::new(FileAnchor::new(file)));
    }
    for url in urls {
        let mut anchor = HttpAnchor::new(&url)?;
        if let Ok(token) = std::env::var("TENANCY_ANCHOR_TOKEN") {
            anchor = anchor.with_token(SecretText::new(token));
        }
        sealer = sealer.with_anchor(Arc::new(anchor));
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
pub(crate) async fn told_to_stop() {
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
