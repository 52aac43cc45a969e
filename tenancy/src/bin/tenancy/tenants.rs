//! The commands about tenants: lists, states, exports, the end.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use tenancy::core::{
    Grace, HoldReference, OperatorDb, Platform, PurgeOptions, Reason, ServiceKey, Suspension,
    TenantDb, TenantFilter, TenantId, TenantList, UserId,
};

use crate::Operator;

type Result<T = ExitCode> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The name that audit entries of this binary bear.
const SERVICE: ServiceKey = ServiceKey::from_static("tenancy_cli");

#[derive(Debug, Subcommand)]
pub(crate) enum Tenants {
    /// Lists tenants in the order of their ids.
    List {
        #[command(flatten)]
        operator: Operator,
        /// Only those that a purge may take up or go on with.
        #[arg(long)]
        due: bool,
    },
    /// Shows where a tenant is in its life, and why.
    Show(Which),
    /// Suspends a tenant; its members can't undo that.
    Suspend {
        #[command(flatten)]
        which: Which,
        /// How far it is closed.
        #[arg(long, value_enum, default_value = "blocked")]
        how: How,
    },
    /// Opens a suspended tenant.
    Resume(Which),
    /// Closes a tenant and has it deleted after a period of grace.
    Delete {
        #[command(flatten)]
        which: Which,
        /// Days in which it can be taken back, at most 365.
        #[arg(long, default_value_t = 30)]
        grace_days: u64,
    },
    /// Takes a deletion back, as long as no row is gone.
    Undelete(Which),
    /// Places a legal hold: nothing is purged before it is released.
    Hold {
        #[command(flatten)]
        which: Which,
        /// The case, not its contents: the tenant may read it.
        reference: String,
    },
    /// Releases a legal hold.
    Release {
        #[command(flatten)]
        which: Which,
        /// The case.
        reference: String,
    },
    /// Writes everything a tenant has to standard output, as lines of JSON.
    Export {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        operator: Operator,
    },
    /// Removes everything of a tenant whose deletion is due, and prints the certificate. Run it
    /// again if it was cut off.
    Purge {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        operator: Operator,
        /// Does not wait for the end of the period of grace.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum How {
    /// Members may still read.
    ReadOnly,
    /// Nobody may enter.
    Blocked,
}

/// A tenant, and in whose name it is dealt with.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The tenant.
    tenant: TenantId,
    /// The application's login: what is done leaves audit entries.
    #[arg(long, env = "TENANCY_APP_URL", hide_env_values = true)]
    app_url: String,
    /// The user that the entries name, beside this program.
    #[arg(long = "as")]
    user: Option<UserId>,
    /// Why; the tenant's members may read it.
    #[arg(long)]
    reason: Option<String>,
}

impl Which {
    async fn platform(&self) -> Result<Platform> {
        let db = TenantDb::connect(&self.app_url).await?;
        let audit = Arc::new(tenancy::audit::PgAuditLog::new(db.clone()));
        let mut platform = Platform::new(db, SERVICE, audit);
        if let Some(user) = self.user {
            platform = platform.on_behalf_of(user);
        }
        if let Some(reason) = &self.reason {
            platform = platform.because(Reason::parse(reason)?);
        }
        Ok(platform)
    }
}

pub(crate) async fn run(command: Tenants) -> Result {
    match command {
        Tenants::List { operator, due } => list(&operator, due).await?,
        Tenants::Show(which) => show(&which).await?,
        Tenants::Suspend { which, how } => {
            let how = match how {
                How::ReadOnly => Suspension::ReadOnly,
                How::Blocked => Suspension::Blocked,
            };
            which.platform().await?.suspend(which.tenant, how).await?;
        }
        Tenants::Resume(which) => which.platform().await?.resume(which.tenant).await?,
        Tenants::Delete { which, grace_days } => {
            let grace = Grace::parse(Duration::from_hours(grace_days.saturating_mul(24)))?;
            let platform = which.platform().await?;
            platform.schedule_deletion(which.tenant, grace).await?;
        }
        Tenants::Undelete(which) => {
            which
                .platform()
                .await?
                .cancel_deletion(which.tenant)
                .await?;
        }
        Tenants::Hold { which, reference } => {
            let reference = HoldReference::parse(&reference)?;
            which
                .platform()
                .await?
                .hold(which.tenant, &reference)
                .await?;
        }
        Tenants::Release { which, reference } => {
            let reference = HoldReference::parse(&reference)?;
            let platform = which.platform().await?;
            if !platform.release(which.tenant, &reference).await? {
                return Err("there is no such hold".into());
            }
        }
        Tenants::Export { which, operator } => export(&which, &operator).await?,
        Tenants::Purge {
            which,
            operator,
            force,
        } => purge(&which, &operator, force).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(operator: &Operator, due: bool) -> Result<()> {
    let list = TenantList::of_operator(&OperatorDb::connect(&operator.database_url).await?);
    let filter = if due {
        TenantFilter::Due
    } else {
        TenantFilter::All
    };
    let mut after = None;
    loop {
        let page = list.page(filter, after, 1_000).await?;
        for tenant in &page {
            let slug = tenant.slug.as_deref().unwrap_or("-");
            let held = if tenant.held { " held" } else { "" };
            let (id, status) = (tenant.id, tenant.status.as_str());
            println!("{id} {slug} {status}{held} {}", tenant.name);
        }
        match page.last() {
            Some(end) => after = Some(end.id),
            None => return Ok(()),
        }
    }
}

async fn show(which: &Which) -> Result<()> {
    let state = which.platform().await?.state(which.tenant).await?;
    println!("status: {}", state.status.as_str());
    println!("since: {}", state.since.to_rfc3339());
    let by = if state.by_platform {
        "platform"
    } else {
        "tenant"
    };
    println!("by: {by}");
    if let Some(reason) = &state.reason {
        println!("reason: {reason}");
    }
    if let Some(after) = state.delete_after {
        println!("deleted after: {}", after.to_rfc3339());
    }
    for hold in &state.holds {
        println!("hold: {hold}");
    }
    Ok(())
}

async fn export(which: &Which, operator: &Operator) -> Result<()> {
    let platform = which.platform().await?;
    let operator = OperatorDb::connect(&operator.database_url).await?;
    let (options, mut out) = (tenancy::export_options(), tokio::io::stdout());
    let summary = platform
        .export(&operator, which.tenant, &options, &mut out)
        .await?;
    eprintln!("{} rows, SHA-256 {}", summary.total(), summary.sha256);
    Ok(())
}

async fn purge(which: &Which, operator: &Operator, force: bool) -> Result<()> {
    let platform = which.platform().await?;
    let operator = OperatorDb::connect(&operator.database_url).await?;
    let options = PurgeOptions::default().with_force(force);
    let certificate = platform.purge(&operator, which.tenant, &options).await?;
    println!("tenant: {}", certificate.tenant);
    println!("started: {}", certificate.started_at.to_rfc3339());
    println!("finished: {}", certificate.finished_at.to_rfc3339());
    println!("started by: {}", certificate.started_by);
    println!("forced: {}", certificate.forced);
    for (table, rows) in &certificate.rows {
        println!("{table}: {rows}");
    }
    Ok(())
}
