//! What each command does.

use std::{io::IsTerminal as _, path::Path, process::ExitCode, sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use tenancy::core::{
    OperatorDb, PlatformEvents, PlatformQuery, TenantDb, WorkerDb, doctor, migrate,
};

use crate::{
    Command, Doctor, Format, Kb, Mcp, Migrate, Migrations, Operator, PlatformLog, SecretKeys,
    Secrets, audit, jobs, output,
};

pub(crate) type Result<T = ExitCode> =
    std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub(crate) async fn run(command: Command) -> Result {
    match command {
        Command::Migrate(options) => bring_up_to_date(&options).await,
        Command::Migrations(Migrations::Print) => {
            print!("{}", migrate::print(&tenancy::components())?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrations(Migrations::List) => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(options) => examine(&options).await,
        Command::Authz(which) => crate::authz::run(which).await,
        Command::Secrets(Secrets::Keygen { name }) => {
            let entry = tenancy::secrets::LocalKeyring::generate_entry(&name)?;
            println!("{}", entry.expose());
            Ok(ExitCode::SUCCESS)
        }
        Command::Secrets(Secrets::Rotate(keys)) => rotate(&keys).await,
        Command::Secrets(Secrets::Rewrap(keys)) => rewrap(&keys).await,
        Command::Kb(which) => kb(which).await,
        Command::Mcp(which) => mcp(which).await,
        Command::Tenants(which) => crate::tenants::run(which).await,
        Command::Audit(which) => audit::run(*which).await,
        Command::PlatformLog(which) => platform_log(which).await,
        Command::Jobs(which) => jobs::run(which).await,
    }
}

pub(crate) async fn connect(operator: &Operator) -> Result<OperatorDb> {
    Ok(OperatorDb::connect(&operator.database_url).await?)
}

async fn bring_up_to_date(options: &Migrate) -> Result {
    let operator = connect(&options.operator).await?;
    let nets = if options.single_node {
        tenancy::single_node()
    } else {
        Vec::new()
    };
    let done = tenancy::migrate(&operator, &nets).await?;
    for step in &done.applied {
        println!("applied {} {}: {}", step.component, step.version, step.name);
    }
    if done.applied.is_empty() {
        println!("the schema is up to date");
    }
    println!("{} permissions registered", done.permissions);
    if let Some(url) = &options.app_url {
        let app = TenantDb::connect(url).await?;
        let audit = tenancy::audit::PgAuditLog::new(app.clone());
        let recorded = tenancy::authz::record_upgrades(&operator, &app, &audit).await?;
        println!("{recorded} changes of roles by their templates recorded");
    }
    Ok(ExitCode::SUCCESS)
}

fn list() {
    for part in tenancy::components() {
        for step in part.migrations {
            let serves = match step.compatible_from {
                0 => String::new(),
                from => format!(" (for programs that know {from} or later)"),
            };
            println!("{} {}: {}{serves}", part.name, step.version, step.name);
        }
    }
}

async fn examine(options: &Doctor) -> Result {
    let operator = connect(&options.operator).await?;
    let app = match &options.app_url {
        Some(url) => Some(TenantDb::connect(url).await?),
        None => None,
    };
    let mut settings = doctor::Options::default();
    if let Some(app) = &app {
        settings = settings.with_app(app);
    }
    if let Some(file) = &options.baseline {
        settings = settings.with_accepted(read(file)?.lines());
    }
    let report = tenancy::doctor_with(&operator, settings).await?;
    match options.format {
        Format::Json => println!("{}", report.to_json()),
        Format::Sarif => println!("{}", report.to_sarif()),
        Format::Text => print!("{}", report.to_text(in_colour())),
    }
    let Some(file) = &options.write_baseline else {
        return Ok(ExitCode::from(u8::try_from(report.exit_code())?));
    };
    let named = |error| format!("`{}` can't be written: {error}", file.display());
    std::fs::write(file, report.to_baseline()).map_err(named)?;
    let blocked = report.matrix.is_some_and(|matrix| matrix.blocked.is_some());
    Ok(ExitCode::from(if blocked { 2 } else { 0 }))
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| format!("`{}` can't be read: {error}", file.display()).into())
}

/// On a terminal, unless the reader asked for none (<https://no-color.org>).
fn in_colour() -> bool {
    let asked_for_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !asked_for_none
}

async fn rotation(keys: &SecretKeys) -> Result<tenancy::secrets::Rotation> {
    let worker = WorkerDb::connect(&keys.worker_url).await?;
    Ok(tenancy::secrets::Rotation::new(
        worker,
        tenancy::secrets::LocalKeyring::from_env()?,
    ))
}

async fn rotate(keys: &SecretKeys) -> Result {
    let options = tenancy::secrets::RotateOptions::default();
    let report = rotation(keys)
        .await?
        .rotate_all(&options, |at| {
            println!("{}: {} of {}", at.tenant, at.done, at.total);
        })
        .await?;
    println!(
        "{} tenants, {} secrets sealed anew, {} old keys destroyed",
        report.tenants, report.rows, report.destroyed
    );
    for (tenant, code) in &report.failed {
        eprintln!("failed: {tenant} ({code}); run it again");
    }
    Ok(if report.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

async fn rewrap(keys: &SecretKeys) -> Result {
    println!(
        "{} data keys wrapped anew",
        rotation(keys).await?.rewrap_all().await?
    );
    Ok(ExitCode::SUCCESS)
}

async fn kb(which: Kb) -> Result {
    match which {
        Kb::IndexHealth(operator) => {
            let indexes = tenancy::rag::index_health(&connect(&operator).await?).await?;
            for index in &indexes {
                println!(
                    "{}: {}",
                    index.name,
                    if index.valid { "valid" } else { "NOT VALID" }
                );
            }
            if indexes.is_empty() {
                println!("no vector index: every search is exact");
            }
            let healthy = indexes.iter().all(|index| index.valid);
            Ok(if healthy {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            })
        }
        Kb::BuildIndex { operator, tenant } => {
            let options = tenancy::rag::IndexOptions::default();
            let operator = connect(&operator).await?;
            let index = tenancy::rag::build_tenant_index(&operator, tenant, &options).await?;
            println!("{}: valid {}", index.name, index.valid);
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn mcp(which: Mcp) -> Result {
    /// Calls deleted in one transaction.
    const BATCH: u32 = 1_000;
    match which {
        Mcp::Purge { worker, keep_days } => {
            let worker = WorkerDb::connect(&worker.worker_url).await?;
            let maintenance = tenancy::mcp::McpMaintenance::new(worker);
            let keep = Duration::from_hours(24 * u64::from(keep_days));
            let mut deleted = 0;
            loop {
                let some = maintenance.purge(keep, BATCH).await?;
                deleted += some;
                if some < u64::from(BATCH) {
                    break;
                }
            }
            println!("{deleted} calls deleted");
            Ok(ExitCode::SUCCESS)
        }
        Mcp::Reconcile {
            worker,
            app_url,
            limit,
        } => {
            let worker = WorkerDb::connect(&worker.worker_url).await?;
            let app = TenantDb::connect(&app_url).await?;
            let audit = Arc::new(tenancy::audit::PgAuditLog::new(app.clone()));
            let done = tenancy::mcp::McpReconciler::new(worker, app, audit)
                .run(limit)
                .await?;
            println!("{} lost tries ended", done.ended);
            for (tenant, code) in &done.failed {
                eprintln!("failed: {tenant} ({code}); run it again");
            }
            Ok(ExitCode::from(u8::from(!done.failed.is_empty())))
        }
    }
}

async fn platform_log(which: PlatformLog) -> Result {
    match which {
        PlatformLog::List {
            operator,
            limit,
            hours,
        } => {
            let mut query = PlatformQuery::new().with_limit(limit);
            query.since = hours.map(|hours| Utc::now() - TimeDelta::hours(hours.into()));
            let events = PlatformEvents::new(connect(&operator).await?);
            for entry in events.list(&query).await? {
                println!("{}", output::platform_entry(&entry));
            }
        }
        PlatformLog::Purge { operator, days } => {
            let older = Utc::now() - TimeDelta::days(days.into());
            let events = PlatformEvents::new(connect(&operator).await?);
            println!("{} entries removed", events.purge(older).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
