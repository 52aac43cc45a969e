//! Removing and erasing in the audit log.

use std::{
    io::{BufRead as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use chrono::{NaiveDate, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};
use tenancy::{
    audit::{
        ActionFilter, AuditEntryId, AuditLog, DetailRule, Ed25519Signer, LogHolds, PgAuditLog,
        Retention, RetentionRule,
    },
    authz::PgAuthorizer,
    core::{ActionKey, PermissionKey, ServiceKey, Subject, TenantDb, TenantId},
    secrets::{LocalKeyring, SecretVault, SubjectVault},
};

use crate::{
    Operator,
    audit_proofs::{MoreKeys, open},
    command::{Result, connect},
    output,
};

/// The name that audit entries of this binary bear.
const SERVICE: ServiceKey = ServiceKey::from_static("tenancy_cli");

#[derive(Args, Debug)]
pub(crate) struct DropMonth {
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    keys: MoreKeys,
    /// Any day of the month, as in `2024-03-01`.
    month: NaiveDate,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
}

#[derive(Args, Debug)]
pub(crate) struct Remove {
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    keys: MoreKeys,
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

#[derive(Args, Debug)]
pub(crate) struct EraseDetails {
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    keys: MoreKeys,
    /// The tenant.
    tenant: TenantId,
    /// The entries, up to 1,000.
    #[arg(required = true)]
    entries: Vec<AuditEntryId>,
    /// Only the detail of this name; may be given several times.
    #[arg(long)]
    name: Vec<String>,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
}

#[derive(Args, Debug)]
pub(crate) struct Hold {
    #[command(flatten)]
    operator: Operator,
    /// The tenant.
    tenant: TenantId,
    /// What the hold is referred to by, such as the number of a case.
    reference: String,
}

#[derive(Args, Debug)]
pub(crate) struct Erase {
    /// The application's login.
    #[arg(long, env = "TENANCY_APP_URL", hide_env_values = true)]
    app_url: String,
    /// The tenant.
    #[arg(required_unless_present = "replay")]
    tenant: Option<TenantId>,
    /// The person: `user:` and the id, or the name that the application seals under.
    #[arg(required_unless_present = "replay")]
    subject: Option<String>,
    /// Appends the erasure to this file. Keep it where no backup of the database brings it back.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Repeats all erasures of such a file: after a backup was restored, which holds the keys of its time.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tenant", "subject", "list"])]
    replay: Option<PathBuf>,
}

/// A line of the list of erasures.
struct Erased {
    tenant: TenantId,
    subject: Subject,
}

impl Erased {
    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| value.get(name)?.as_str();
        Some(Self {
            tenant: text("tenant_id")?.parse().ok()?,
            subject: Subject::parse(text("subject")?).ok()?,
        })
    }

    fn line(&self) -> String {
        let value = json!({
            "tenant_id": self.tenant,
            "subject": self.subject.as_str(),
            "erased_at": Utc::now(),
        });
        format!("{value}\n")
    }
}

pub(crate) async fn retention(operator: &Operator, keys: &MoreKeys) -> Result<Retention> {
    let signer = Ed25519Signer::from_env()?;
    let keys = keys.read(&signer)?;
    Ok(Retention::new(
        connect(operator).await?,
        Arc::new(signer),
        keys,
    ))
}

pub(crate) async fn drop_month(what: &DropMonth) -> Result {
    let retention = retention(&what.operator, &what.keys).await?;
    let gone = retention.drop_month(what.month, &what.reason).await?;
    println!(
        "{} entries of {} tenants dropped",
        gone.entries, gone.tenants
    );
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn remove(what: Remove) -> Result {
    let before = Utc::now() - TimeDelta::days(what.older_than.into());
    let mut rule = RetentionRule::new(what.tenant, before, what.reason);
    if let Some(action) = what.action {
        rule = rule.with_action(action_filter(&action)?);
    }
    let removed = retention(&what.operator, &what.keys)
        .await?
        .remove(&rule)
        .await?;
    println!("{removed} entries removed");
    Ok(ExitCode::SUCCESS)
}

/// `login.failed`, or `login.*` for all that begin so.
pub(crate) fn action_filter(text: &str) -> Result<ActionFilter> {
    Ok(match text.strip_suffix('*') {
        Some(prefix) => ActionFilter::prefix(prefix)?,
        None => ActionFilter::Exact(ActionKey::parse(text)?),
    })
}

pub(crate) async fn erase_details(what: EraseDetails) -> Result {
    let rule = DetailRule::new(what.tenant, what.entries, what.reason).with_names(what.name);
    let erased = retention(&what.operator, &what.keys)
        .await?
        .erase_details(&rule)
        .await?;
    println!("details of {erased} entries erased");
    Ok(ExitCode::SUCCESS)
}

/// A hold is not signed: any operator places and lifts it.
pub(crate) async fn hold(what: &Hold, place: bool) -> Result {
    let holds = LogHolds::new(connect(&what.operator).await?);
    let (changed, word) = if place {
        (holds.place(what.tenant, &what.reference).await?, "held")
    } else {
        (holds.lift(what.tenant, &what.reference).await?, "released")
    };
    println!("{}", if changed { word } else { "unchanged" });
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn erase(what: Erase) -> Result {
    let vault_and_log = Eraser::new(&what.app_url).await?;
    if let Some(file) = &what.replay {
        return replay(&vault_and_log, file).await;
    }
    let (Some(tenant), Some(subject)) = (what.tenant, what.subject) else {
        return Err("name a tenant and a person, or a file to replay".into());
    };
    let erased = Erased {
        tenant,
        subject: Subject::parse(subject)?,
    };
    // First the list: what is on it and was not erased is erased by repeating it.
    if let Some(file) = &what.list {
        let mut list = output::private().create(true).append(true).open(file)?;
        list.write_all(erased.line().as_bytes())?;
        list.sync_data()?;
    }
    vault_and_log.erase(&erased).await?;
    println!("erased");
    Ok(ExitCode::SUCCESS)
}

/// Goes on after a failure; exit code 1 if there was one.
async fn replay(vault_and_log: &Eraser, file: &Path) -> Result {
    let (mut erased, mut failed) = (0_u64, 0_u64);
    for (number, line) in (1_u64..).zip(open(file)?.lines()) {
        let line = line?;
        let done = match Erased::parse(&line) {
            Some(erased) => vault_and_log
                .erase(&erased)
                .await
                .map_err(|error| error.to_string()),
            None => Err("the line is no erasure".to_owned()),
        };
        match done {
            Ok(()) => erased += 1,
            Err(error) => {
                eprintln!("line {number}: {error}");
                failed += 1;
            }
        }
    }
    println!("{erased} erasures repeated, {failed} failed");
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// What destroys keys and records it.
struct Eraser {
    db: TenantDb,
    log: AuditLog,
}

impl Eraser {
    async fn new(app_url: &str) -> Result<Self> {
        let db = TenantDb::connect(app_url).await?;
        let audit = Arc::new(PgAuditLog::new(db.clone()));
        let authorizer = Arc::new(PgAuthorizer::new(db.clone(), audit.clone()));
        let keys = LocalKeyring::from_env()?;
        let secrets = SecretVault::new(db.clone(), keys, authorizer.clone(), audit.clone());
        let vault = SubjectVault::new(db.clone(), &secrets, authorizer.clone(), audit.clone());
        let log = AuditLog::new(db.clone(), authorizer, audit).with_cipher(Arc::new(vault));
        Ok(Self { db, log })
    }

    async fn erase(&self, what: &Erased) -> Result<()> {
        let permissions = vec![PermissionKey::from_static("subjects.erase")];
        let ctx = self
            .db
            .enter_system(what.tenant, SERVICE, permissions)
            .await?;
        Ok(self.log.erase_subject(&ctx, &what.subject).await?)
    }
}
