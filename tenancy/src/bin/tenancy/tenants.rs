//! The commands about tenants: lists, states, exports, the end.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tenancy::core::{
    DeletionCertificate, Error as CoreError, ErrorKind, Grace, HoldReference, ListedTenant,
    NewTenant, OperatorDb, Platform, PurgeOptions, Reason, ServiceKey, Slug, Suspension, TenantDb,
    TenantFilter, TenantId, TenantList, TenantName, TenantState, TenantStatus, Tenants as Service,
    UserId,
};

use crate::{Operator, output};

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
        #[arg(long, conflicts_with = "status")]
        due: bool,
        /// Only those in this state.
        #[arg(long, value_enum)]
        status: Option<State>,
        #[command(flatten)]
        form: Form,
    },
    /// Creates a tenant with its default roles and its first owner, and prints its id.
    Create(Create),
    /// Shows where a tenant is in its life, and why.
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        form: Form,
    },
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
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=365))]
        grace_days: u64,
    },
    /// Takes a deletion back, as long as no row is gone.
    Undelete(Which),
    /// Places a legal hold: nothing is purged, removed from the log or erased before it is released.
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
        #[command(flatten)]
        form: Form,
    },
}

/// How an answer is written.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Form {
    /// For people, or one object of JSON a line.
    #[arg(long = "format", value_enum, default_value = "text")]
    form: Format,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Form {
    fn print(self, text: impl FnOnce() -> String, json: impl FnOnce() -> serde_json::Value) {
        match self.form {
            Format::Text => println!("{}", text()),
            Format::Json => println!("{}", json()),
        }
    }
}

/// A state, by its name in the database.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum State {
    Active,
    SuspendedReadOnly,
    SuspendedBlocked,
    Deleting,
    Purging,
    Deleted,
}

impl From<State> for TenantFilter {
    fn from(state: State) -> Self {
        Self::Status(match state {
            State::Active => TenantStatus::Active,
            State::SuspendedReadOnly => TenantStatus::SuspendedReadOnly,
            State::SuspendedBlocked => TenantStatus::SuspendedBlocked,
            State::Deleting => TenantStatus::Deleting,
            State::Purging => TenantStatus::Purging,
            State::Deleted => TenantStatus::Deleted,
        })
    }
}

/// A tenant to be created.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Its name in addresses, such as `acme`.
    #[arg(long)]
    slug: String,
    /// Its name for people.
    #[arg(long)]
    name: String,
    /// The user who owns it; the audit entry names him.
    #[arg(long)]
    owner: UserId,
    /// Its id, where the host has one already.
    #[arg(long)]
    id: Option<TenantId>,
    /// The application's login.
    #[arg(long, env = "TENANCY_APP_URL", hide_env_values = true)]
    app_url: String,
    #[command(flatten)]
    form: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum How {
    /// Members may still read.
    ReadOnly,
    /// Nobody may enter.
    Blocked,
}

impl From<How> for Suspension {
    fn from(how: How) -> Self {
        match how {
            How::ReadOnly => Self::ReadOnly,
            How::Blocked => Self::Blocked,
        }
    }
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

/// Exit code 1 says that the database was asked and said no: running it again changes nothing.
pub(crate) async fn run(command: Tenants) -> Result {
    let Err(error) = take(command).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let kind = error.downcast_ref::<CoreError>().map(CoreError::kind);
    let said_no = matches!(
        kind,
        Some(ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::Limit | ErrorKind::NotFound)
    );
    if said_no {
        output::error(&*error);
        return Ok(ExitCode::from(1));
    }
    Err(error)
}

async fn take(command: Tenants) -> Result<()> {
    match command {
        Tenants::List {
            operator,
            due,
            status,
            form,
        } => {
            let due = due.then_some(TenantFilter::Due);
            let filter = due.or(status.map(Into::into)).unwrap_or_default();
            list(&operator, filter, form).await?;
        }
        Tenants::Create(new) => create(new).await?,
        Tenants::Show { which, form } => {
            let state = which.platform().await?.state(which.tenant).await?;
            form.print(|| state_text(&state), || state_json(which.tenant, &state));
        }
        Tenants::Suspend { which, how } => {
            let platform = which.platform().await?;
            platform.suspend(which.tenant, how.into()).await?;
        }
        Tenants::Resume(which) => which.platform().await?.resume(which.tenant).await?,
        Tenants::Delete { which, grace_days } => {
            let grace = Grace::parse(Duration::from_hours(grace_days.saturating_mul(24)))?;
            let platform = which.platform().await?;
            platform.schedule_deletion(which.tenant, grace).await?;
        }
        Tenants::Undelete(which) => {
            let platform = which.platform().await?;
            platform.cancel_deletion(which.tenant).await?;
        }
        Tenants::Hold { which, reference } => {
            let reference = HoldReference::parse(&reference)?;
            let platform = which.platform().await?;
            platform.hold(which.tenant, &reference).await?;
        }
        Tenants::Release { which, reference } => {
            let reference = HoldReference::parse(&reference)?;
            let platform = which.platform().await?;
            if !platform.release(which.tenant, &reference).await? {
                let message = "there is no such hold";
                return Err(CoreError::new(ErrorKind::NotFound, "hold_unknown", message).into());
            }
        }
        Tenants::Export { which, operator } => export(&which, &operator).await?,
        Tenants::Purge {
            which,
            operator,
            force,
            form,
        } => purge(&which, &operator, force, form).await?,
    }
    Ok(())
}

async fn create(new: Create) -> Result<()> {
    let slug = Slug::parse(&new.slug)?;
    let mut tenant = NewTenant::new(slug, TenantName::parse(&new.name)?, new.owner);
    if let Some(id) = new.id {
        tenant = tenant.with_id(id);
    }
    let db = TenantDb::connect(&new.app_url).await?;
    let audit = Arc::new(tenancy::audit::PgAuditLog::new(db.clone()));
    let authz = Arc::new(tenancy::authz::PgAuthorizer::new(db.clone(), audit.clone()));
    let service = Service::new(db, authz.clone(), authz, audit);
    let made = json!({
        "id": tenant.id,
        "slug": tenant.slug.as_str(),
        "name": tenant.name.as_str(),
        "owner": tenant.owner,
    });
    let id = service.create(tenant).await?.tenant();
    new.form.print(|| id.to_string(), || made);
    Ok(())
}

async fn purge(which: &Which, operator: &Operator, force: bool, form: Form) -> Result<()> {
    let platform = which.platform().await?;
    let operator = OperatorDb::connect(&operator.database_url).await?;
    let options = PurgeOptions::default().with_force(force);
    let certificate = platform.purge(&operator, which.tenant, &options).await?;
    form.print(|| certificate_text(&certificate), || json!(certificate));
    Ok(())
}

async fn list(operator: &Operator, filter: TenantFilter, form: Form) -> Result<()> {
    let list = TenantList::of_operator(&OperatorDb::connect(&operator.database_url).await?);
    let mut after = None;
    loop {
        let page = list.page(filter, after, 1_000).await?;
        for tenant in &page {
            form.print(|| listed_text(tenant), || listed_json(tenant));
        }
        match page.last() {
            Some(end) => after = Some(end.id),
            None => return Ok(()),
        }
    }
}

fn listed_text(tenant: &ListedTenant) -> String {
    let slug = tenant.slug.as_deref().unwrap_or("-");
    let held = if tenant.held { " held" } else { "" };
    let (id, status) = (tenant.id, tenant.status.as_str());
    format!("{id} {slug} {status}{held} {}", tenant.name)
}

fn listed_json(tenant: &ListedTenant) -> serde_json::Value {
    json!({
        "id": tenant.id,
        "slug": tenant.slug,
        "name": tenant.name,
        "status": tenant.status.as_str(),
        "created_at": tenant.created_at,
        "delete_after": tenant.delete_after,
        "held": tenant.held,
    })
}

fn state_text(state: &TenantState) -> String {
    let by = if state.by_platform {
        "platform"
    } else {
        "tenant"
    };
    let mut lines = vec![
        format!("status: {}", state.status.as_str()),
        format!("since: {}", state.since.to_rfc3339()),
        format!("by: {by}"),
    ];
    if let Some(reason) = &state.reason {
        lines.push(format!("reason: {reason}"));
    }
    if let Some(after) = state.delete_after {
        lines.push(format!("deleted after: {}", after.to_rfc3339()));
    }
    lines.extend(state.holds.iter().map(|hold| format!("hold: {hold}")));
    lines.join("\n")
}

fn state_json(tenant: TenantId, state: &TenantState) -> serde_json::Value {
    json!({
        "id": tenant,
        "status": state.status.as_str(),
        "since": state.since,
        "by_platform": state.by_platform,
        "reason": state.reason,
        "delete_after": state.delete_after,
        "holds": state.holds,
    })
}

fn certificate_text(certificate: &DeletionCertificate) -> String {
    let mut lines = vec![
        format!("tenant: {}", certificate.tenant),
        format!("started: {}", certificate.started_at.to_rfc3339()),
        format!("finished: {}", certificate.finished_at.to_rfc3339()),
        format!("started by: {}", certificate.started_by),
        format!("forced: {}", certificate.forced),
    ];
    let rows = certificate.rows.iter();
    lines.extend(rows.map(|(table, rows)| format!("{table}: {rows}")));
    lines.join("\n")
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
