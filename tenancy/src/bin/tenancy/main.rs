//! The operator's binary: `tenancy --help`.

mod audit;
mod audit_policies;
mod audit_proofs;
mod audit_read;
mod audit_retention;
mod authz;
mod command;
mod jobs;
mod output;
mod tenants;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "tenancy",
    version,
    about = "Operates a database of the tenancy crates"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// How to reach the database.
#[derive(Args, Debug)]
struct Operator {
    /// The operator's login: no superuser, but one that may become `tenancy_owner`.
    #[arg(long, env = "TENANCY_OPERATOR_URL", hide_env_values = true)]
    database_url: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings the schema up to date and registers permissions; all or nothing.
    Migrate(Migrate),
    /// Shows migrations without running them.
    #[command(subcommand)]
    Migrations(Migrations),
    /// Looks for what could let one tenant see another, and attacks the database. Exit code 0: nothing
    /// found; 1: something found; 2: it could not look.
    Doctor(Doctor),
    /// Roles and permissions: who may do what and why, and policies as files.
    #[command(subcommand)]
    Authz(authz::Authz),
    /// Integration secrets and their keys.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Knowledge bases.
    #[command(subcommand)]
    Kb(Kb),
    /// Calls of MCP tools.
    #[command(subcommand)]
    Mcp(Mcp),
    /// Audit log: search, tail, export, months, seals, proofs, retention, streams.
    #[command(subcommand)]
    Audit(Box<audit::Audit>),
    /// Job queue.
    #[command(subcommand)]
    Jobs(Jobs),
    /// Tenants: new ones, lists, states, exports, the end. Exit code 0: done; 1: refused, because of
    /// the state it is in, or because there is none; 2: wrong arguments, or the database could not be asked.
    #[command(subcommand)]
    Tenants(tenants::Tenants),
    /// What was refused outside of every tenant: logins and entries.
    #[command(subcommand)]
    PlatformLog(PlatformLog),
}

#[derive(Args, Debug)]
struct Migrate {
    #[command(flatten)]
    operator: Operator,
    /// The application's login: what became of roles whose templates changed is then put into the audit
    /// logs of their tenants.
    #[arg(long, env = "TENANCY_APP_URL", hide_env_values = true)]
    app_url: Option<String>,
    /// Also the triggers that a database on one node can have, as a second net.
    #[arg(long)]
    single_node: bool,
}

#[derive(Debug, Subcommand)]
enum PlatformLog {
    /// Lists what was refused, newest first.
    List {
        #[command(flatten)]
        operator: Operator,
        /// At most so many entries, up to 1000.
        #[arg(long, default_value_t = 100)]
        limit: u16,
        /// Not older than so many hours.
        #[arg(long)]
        hours: Option<u16>,
    },
    /// Removes what is older than so many days: entries name users and addresses.
    Purge {
        #[command(flatten)]
        operator: Operator,
        /// How many days are kept.
        #[arg(long)]
        days: u16,
    },
}

#[derive(Debug, Subcommand)]
enum Migrations {
    /// Prints all steps as one script that can be pasted into a SQL editor, for an empty schema.
    Print,
    /// Lists the steps of every part.
    List,
}

#[derive(Args, Debug)]
struct Doctor {
    #[command(flatten)]
    operator: Operator,
    /// The application's login: the attack then runs as it too, and not only as `tenancy_app`.
    #[arg(long, env = "TENANCY_APP_URL", hide_env_values = true)]
    app_url: Option<String>,
    /// How the report is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Accepts the findings that this file lists.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Writes a file that accepts everything found today. Exit code 0, unless it could not look.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    write_baseline: Option<PathBuf>,
}

/// Forms of the doctor's report.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// For people; in colour on a terminal, unless `NO_COLOR` is set.
    Text,
    /// For programs.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
}

#[derive(Debug, Subcommand)]
enum Secrets {
    /// Prints a new key-encryption key as an entry of the keyring. Keep it outside the database.
    Keygen {
        /// Its name, such as `2026-a`.
        name: String,
    },
    /// Re-encrypts every secret under new data keys; resumes where an interrupted run ended.
    Rotate(SecretKeys),
    /// Wraps every data key under the primary key-encryption key; touches no secret.
    Rewrap(SecretKeys),
}

#[derive(Args, Debug)]
struct SecretKeys {
    /// The worker's login. The key-encryption keys are read from the environment
    /// (`TENANCY_KEYRING`).
    #[arg(long, env = "TENANCY_WORKER_URL", hide_env_values = true)]
    worker_url: String,
}

#[derive(Debug, Subcommand)]
enum Kb {
    /// Lists the vector indexes, and whether they are valid. Exit code 1 if one is not.
    IndexHealth(Operator),
    /// Builds the vector index of one tenant, without blocking writes.
    BuildIndex {
        #[command(flatten)]
        operator: Operator,
        /// The tenant.
        tenant: tenancy::core::TenantId,
    },
}

#[derive(Debug, Subcommand)]
enum Mcp {
    /// Deletes calls that were settled, or left for a next try that never came, long enough ago.
    Purge {
        #[command(flatten)]
        worker: Worker,
        /// How many days they are kept; one is the least.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3650))]
        keep_days: u32,
    },
    /// Ends the tries of callers who died, and records each in its tenant's audit log. Exit code 1
    /// if a tenant failed: run it again.
    Reconcile {
        #[command(flatten)]
        worker: Worker,
        /// The application's login: what is recorded for a tenant is recorded in its context.
        #[arg(long, env = "TENANCY_APP_URL", hide_env_values = true)]
        app_url: String,
        /// The most tries that are ended in one run.
        #[arg(long, default_value_t = 10_000)]
        limit: u32,
    },
}

/// How the worker reaches the database.
#[derive(Args, Debug)]
struct Worker {
    /// The worker's login.
    #[arg(long, env = "TENANCY_WORKER_URL", hide_env_values = true)]
    worker_url: String,
}

#[derive(Debug, Subcommand)]
enum Jobs {
    /// Makes the partitions of the history of the months ahead, and drops old ones.
    Partitions {
        #[command(flatten)]
        operator: Operator,
        /// How many months.
        #[arg(long, default_value_t = 3)]
        ahead: u8,
        /// Drops the months that lie more than this many back; without it none is dropped.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        keep_months: Option<u16>,
    },
    /// A tenant's share of the workers.
    #[command(subcommand)]
    Policy(JobPolicy),
}

#[derive(Debug, Subcommand)]
enum JobPolicy {
    /// Shows it.
    Show(JobTenant),
    /// Changes what is named and leaves the rest; shows what holds afterwards.
    Set {
        #[command(flatten)]
        of: JobTenant,
        /// Its share beside other tenants that have work.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
        weight: Option<u16>,
        /// How many of its jobs may run at once, over all queues and workers.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "no_limit")]
        max_in_flight: Option<u32>,
        /// Takes that limit away.
        #[arg(long)]
        no_limit: bool,
        /// Starts none of its jobs; those that run go on.
        #[arg(long, conflicts_with = "resume")]
        pause: bool,
        /// Starts its jobs again.
        #[arg(long)]
        resume: bool,
    },
}

#[derive(Args, Debug)]
struct JobTenant {
    /// The worker's login.
    #[arg(long, env = "TENANCY_WORKER_URL", hide_env_values = true)]
    worker_url: String,
    /// The tenant.
    tenant: tenancy::core::TenantId,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match command::run(Cli::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            output::error(&*error);
            ExitCode::from(2)
        }
    }
}
