//! Reading the audit log of a tenant: search, tail, export; and the streams to systems outside.

use std::{
    io::{IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use tenancy::{
    audit::{AuditLog, AuditQuery, CountBy, Cursor, Entry, ExportFormat, PgAuditLog, Streams},
    authz::PgAuthorizer,
    core::{PermissionKey, ServiceKey, TenantCtx, TenantDb, TenantId, WorkerDb},
};

use crate::{
    Worker,
    audit::told_to_stop,
    command::Result,
    output::{WholeFile, escaped_json, printable},
};

/// The name that audit entries of this binary bear.
const SERVICE: ServiceKey = ServiceKey::from_static("tenancy_cli");

/// The most entries that are counted.
const MOST_COUNTED: u32 = 100_000;

/// Whose log, and what of it.
#[derive(Args, Debug)]
pub(crate) struct What {
    /// The application's login.
    #[arg(long, env = "TENANCY_APP_URL", hide_env_values = true)]
    app_url: String,
    /// The tenant.
    tenant: TenantId,
    /// Such as `action:invoice.* -outcome:allowed created:2026-01 "a text"`; everything by default.
    #[arg(default_value = "", allow_hyphen_values = true)]
    query: AuditQuery,
    /// How entries are written; for people by default.
    #[arg(long, value_name = "cloudevents|csv|ndjson|ocsf|workos")]
    format: Option<ExportFormat>,
    /// The same as `--format ndjson`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Search {
    #[command(flatten)]
    what: What,
    /// The most entries.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Goes on where an earlier search ended: what that one printed.
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// Counts them instead.
    #[arg(long, value_name = "BY", num_args = 0..=1, default_missing_value = "total")]
    count: Option<By>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Action,
    Day,
    Outcome,
    Total,
}

#[derive(Args, Debug)]
pub(crate) struct Tail {
    #[command(flatten)]
    what: What,
    /// Begins with so many entries that are there already.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    last: u16,
    /// How many milliseconds it rests when there is nothing.
    #[arg(long, default_value_t = 250, value_name = "MILLISECONDS")]
    every: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    what: What,
    /// Writes there instead of to standard output; it must not be there yet, and is there only when all is in it.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StreamsOf {
    /// Lists them. Exit code 1 if one is parked, can't go on, or is behind for too long.
    List {
        #[command(flatten)]
        worker: Worker,
        /// How many seconds an entry may wait.
        #[arg(long, default_value_t = 300)]
        wait_seconds: u32,
    },
    /// Tries a parked one again.
    Resume {
        #[command(flatten)]
        worker: Worker,
        /// Its name.
        name: String,
    },
    /// Forgets one and how far it has come.
    Remove {
        #[command(flatten)]
        worker: Worker,
        /// Its name.
        name: String,
    },
}

impl What {
    /// The log, and somebody who may do this to it.
    async fn open(&self, permission: PermissionKey) -> Result<(AuditLog, TenantCtx)> {
        let db = TenantDb::connect(&self.app_url).await?;
        let ctx = db
            .enter_system(self.tenant, SERVICE, vec![permission])
            .await?;
        let audit = Arc::new(PgAuditLog::new(db.clone()));
        let authorizer = Arc::new(PgAuthorizer::new(db.clone(), audit.clone()));
        Ok((AuditLog::new(db, authorizer, audit), ctx))
    }

    fn format(&self) -> Option<ExportFormat> {
        self.format.or(self.json.then_some(ExportFormat::Ndjson))
    }

    fn head(&self) -> &'static str {
        self.format().map_or("", ExportFormat::head)
    }

    fn lines(&self, entries: &[Entry]) -> Result<String> {
        let mut lines = String::new();
        for entry in entries {
            match self.format() {
                Some(format) => format.write(entry, &mut lines)?,
                None => row(entry, &mut lines),
            }
        }
        Ok(self.shown(lines))
    }

    /// What a program reads has the same bytes always; what a person reads on a terminal does not mislead him.
    fn shown(&self, lines: String) -> String {
        match self.format() {
            Some(_) if !std::io::stdout().is_terminal() => lines,
            Some(ExportFormat::Csv) => {
                let lines = lines.split('\n').map(printable);
                lines.collect::<Vec<_>>().join("\n")
            }
            Some(_) => escaped_json(&lines),
            None => lines,
        }
    }
}

/// A line for people: when, how it ended, who, what, to what, from where.
fn row(entry: &Entry, lines: &mut String) {
    let actor = match &*entry.actor.kind {
        "user" => entry.actor.id.clone(),
        kind => format!("{kind}:{}", entry.actor.id),
    };
    let parts = [
        entry
            .occurred_at()
            .format("%Y-%m-%dT%H:%M:%S%.3fZ")
            .to_string(),
        format!("{:<7}", entry.outcome.as_str()),
        format!("{actor:<36}"),
        format!("{:<28}", entry.action),
        entry.resource.clone().unwrap_or_else(|| "-".to_owned()),
        entry.origin().ip.unwrap_or_default(),
    ];
    // Nothing that somebody recorded moves the cursor of a terminal.
    lines.push_str(&printable(parts.join("  ").trim_end()));
    lines.push('\n');
}

fn put(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

pub(crate) async fn search(search: Search) -> Result {
    let what = &search.what;
    let (log, ctx) = what.open(PermissionKey::from_static("audit.read")).await?;
    let mut query = what.query.clone();
    if let Some(by) = search.count {
        return count(&log, &ctx, &query, by).await;
    }
    query.after = search.after;
    put(what.head())?;
    let mut left = search.limit;
    loop {
        query.limit = Some(u16::try_from(left.min(1_000))?);
        let page = log.search(&ctx, &query).await?;
        put(&what.lines(&page.entries)?)?;
        left = left.saturating_sub(u32::try_from(page.entries.len())?);
        match page.next {
            None => return Ok(ExitCode::SUCCESS),
            Some(next) if left == 0 => {
                eprintln!("there is more: --after {next}");
                return Ok(ExitCode::SUCCESS);
            }
            next => query.after = next,
        }
    }
}

async fn count(log: &AuditLog, ctx: &TenantCtx, query: &AuditQuery, by: By) -> Result {
    let by = match by {
        By::Action => CountBy::Action,
        By::Day => CountBy::Day,
        By::Outcome => CountBy::Outcome,
        By::Total => CountBy::Total,
    };
    let counts = log.count(ctx, query, by, MOST_COUNTED).await?;
    if by != CountBy::Total {
        for (name, count) in &counts.groups {
            println!("{count:>8} {}", printable(name));
        }
    }
    let more = if counts.more { "more than " } else { "" };
    println!("{more}{} entries", counts.counted);
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn tail(tail: Tail) -> Result {
    let what = &tail.what;
    let (log, ctx) = what.open(PermissionKey::from_static("audit.read")).await?;
    let running = log.tail(&ctx, &what.query).await?;
    let mut running = running.with_interval(Duration::from_millis(tail.every));
    put(what.head())?;
    put(&what.lines(&running.before(tail.last).await?)?)?;
    let mut stop = Box::pin(told_to_stop());
    loop {
        tokio::select! {
            () = &mut stop => return Ok(ExitCode::SUCCESS),
            came = running.next() => put(&what.lines(&came?)?)?,
        }
    }
}

pub(crate) async fn export(export: Export) -> Result {
    let what = &export.what;
    let (log, ctx) = what
        .open(PermissionKey::from_static("audit.export"))
        .await?;
    let unwritten = |error: std::io::Error| match &export.output {
        Some(file) => format!("`{}` can't be written: {error}", file.display()),
        None => format!("standard output can't be written: {error}"),
    };
    let whole = export.output.as_deref().map(WholeFile::create);
    let mut whole = whole.transpose().map_err(unwritten)?;
    let mut running = log
        .export(&ctx, &what.query, what.format().unwrap_or_default())
        .await?;
    while let Some(lines) = running.next_lines().await? {
        match &mut whole {
            Some(file) => file.write_all(lines.as_bytes()),
            None => std::io::stdout().write_all(what.shown(lines).as_bytes()),
        }
        .map_err(unwritten)?;
    }
    match whole {
        Some(file) => file.finish(),
        None => std::io::stdout().flush(),
    }
    .map_err(unwritten)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn streams(which: StreamsOf) -> Result {
    let connect = async |worker: Worker| -> Result<Streams> {
        Ok(Streams::new(WorkerDb::connect(&worker.worker_url).await?))
    };
    match which {
        StreamsOf::List {
            worker,
            wait_seconds,
        } => list(&connect(worker).await?, wait_seconds).await,
        StreamsOf::Resume { worker, name } => {
            connect(worker).await?.resume(&name).await?;
            println!("resumed");
            Ok(ExitCode::SUCCESS)
        }
        StreamsOf::Remove { worker, name } => {
            connect(worker).await?.remove(&name).await?;
            println!("removed");
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(streams: &Streams, wait_seconds: u32) -> Result {
    let mut alarm = false;
    for stream in streams.list().await? {
        let waited = stream
            .waiting_since
            .map_or(0, |since| (chrono::Utc::now() - since).num_seconds().max(0));
        let state = match (stream.restored, stream.parked_at.is_some(), stream.running) {
            (true, ..) => "restored into another cluster",
            (_, true, _) => "parked",
            (.., true) => "running",
            _ => "stopped",
        };
        alarm |= stream.restored || stream.parked_at.is_some() || waited > i64::from(wait_seconds);
        let whose = stream
            .tenant
            .map_or("all tenants".to_owned(), |tenant| tenant.to_string());
        let why = stream.code.map_or(String::new(), |code| {
            format!(", {} failures, the last {code}", stream.failures)
        });
        println!(
            "{}: {state}, {whose}, {} delivered, behind by {waited} s{why}",
            stream.name, stream.delivered
        );
    }
    Ok(ExitCode::from(u8::from(alarm)))
}
