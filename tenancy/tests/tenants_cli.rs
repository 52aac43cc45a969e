//! `tenancy tenants …` as an operator runs it: what it prints, what it leaves, its exit codes.

use std::process::{Command, Output};

use serde_json::Value;
use sqlx::PgPool;
use tenancy::core::{ExportSummary, TenantId, UserId};
use tenancy_testkit::Db;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;

struct Cli {
    db: Db,
    superuser: PgPool,
}

/// What the binary did: its exit code, its output, its errors.
#[derive(Debug)]
struct Done(i32, String, String);

impl Done {
    /// The output, if it went well.
    fn out(self) -> Result<String> {
        if self.0 == 0 {
            return Ok(self.1);
        }
        Err(format!("exit code {}: {}", self.0, self.2).into())
    }

    fn json(self) -> Result<Value> {
        Ok(serde_json::from_str(&self.out()?)?)
    }
}

impl Cli {
    async fn new() -> Result<Self> {
        static PARTS: std::sync::LazyLock<Vec<&'static tenancy::core::migrate::Component>> =
            std::sync::LazyLock::new(tenancy::components);
        let db = Db::new(&PARTS).await?;
        tenancy::migrate(&db.operator, &[]).await?;
        let superuser = db.superuser().await?;
        Ok(Self { db, superuser })
    }

    fn run(&self, words: &[&str]) -> Result<Done> {
        let server = &self.db.server;
        run(words, server.operator_url(), server.app_url())
    }

    fn create(&self, slug: &str) -> Result<String> {
        let owner = UserId::new().to_string();
        let name = format!("The {slug}");
        let words = ["create", "--slug", slug, "--name", &name, "--owner", &owner];
        Ok(self.run(&words)?.out()?.trim().to_owned())
    }

    /// A key beside the log of each tenant.
    async fn put_keys(&self) -> Result {
        let sql = "INSERT INTO tenancy.audit_keys (tenant_id, key_hash, entry_id, content_hash)
            SELECT id, sha256('k'), gen_random_uuid(), sha256('c') FROM tenancy.tenants";
        sqlx::query(sql).execute(&self.superuser).await?;
        Ok(())
    }

    /// Keys beside the tenant's log, which go with it, and whether there are entries, which outlive it.
    async fn of_the_log(&self, tenant: &str) -> Result<(i64, bool)> {
        let sql = "SELECT (SELECT count(*) FROM tenancy.audit_keys WHERE tenant_id = $1::uuid),
            EXISTS (SELECT FROM tenancy.audit_logs WHERE tenant_id = $1::uuid)";
        let found = sqlx::query_as(sql).bind(tenant);
        Ok(found.fetch_one(&self.superuser).await?)
    }

    /// One line of what `show` says.
    fn shown(&self, tenant: &str, line: &str) -> Result<String> {
        let text = self.run(&["show", tenant])?.out()?;
        let mut lines = text.lines();
        let found = lines.find_map(|other| other.strip_prefix(line)?.strip_prefix(": "));
        Ok(found.unwrap_or_default().to_owned())
    }

    fn code(&self, words: &[&str]) -> Result<i32> {
        Ok(self.run(words)?.0)
    }
}

fn run(words: &[&str], operator: &str, app: &str) -> Result<Done> {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .arg("tenants")
        .args(words)
        .env("TENANCY_OPERATOR_URL", operator)
        .env("TENANCY_APP_URL", app)
        .output()?;
    let code = status.code().ok_or("ended by a signal")?;
    Ok(Done(
        code,
        String::from_utf8(stdout)?,
        String::from_utf8(stderr)?,
    ))
}

#[tokio::test]
async fn a_tenant_is_created_and_listed_with_its_roles_and_its_entry() -> Result {
    let cli = Cli::new().await?;
    let acme = cli.create("acme")?;
    let (id, owner) = (TenantId::new().to_string(), UserId::new().to_string());
    let words = [
        "create",
        "--slug",
        "bolt",
        "--name",
        "Bolt & Co",
        "--owner",
        &owner,
        "--id",
        &id,
        "--format",
        "json",
    ];
    let made = cli.run(&words)?.json()?;
    assert_eq!(
        made,
        serde_json::json!({"id": id, "slug": "bolt", "name": "Bolt & Co", "owner": owner})
    );

    let list = cli.run(&["list"])?.out()?;
    assert_eq!(
        list,
        format!("{acme} acme active The acme\n{id} bolt active Bolt & Co\n")
    );
    let lines = cli
        .run(&["list", "--format", "json", "--status", "active"])?
        .out()?;
    let lines = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Value>, _>>()?;
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["id"], id.as_str());
    assert_eq!(
        (&lines[1]["status"], &lines[1]["held"]),
        (&"active".into(), &false.into())
    );
    assert_eq!(cli.run(&["list", "--status", "deleting"])?.out()?, "");

    // The owner is one with the role of it, and his tenant's log begins with it.
    let ctx = cli.db.app.enter(id.parse()?, owner.parse()?).await?;
    let mut tx = cli.db.app.read(&ctx).await?;
    let actions: Vec<String> = sqlx::query_scalar("SELECT action FROM tenancy.audit_logs")
        .fetch_all(&mut *tx)
        .await?;
    assert!(
        actions.contains(&"tenant.created".to_owned()),
        "{actions:?}"
    );
    let roles: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.member_roles")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(roles, 1);
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() -> Result {
    let cli = Cli::new().await?;
    cli.create("acme")?;
    let owner = UserId::new().to_string();
    let again = cli.run(&["create", "--slug", "acme", "--name", "x", "--owner", &owner])?;
    assert_eq!(again.0, 1);
    assert!(again.2.contains("acme"), "{}", again.2);
    assert_eq!(cli.run(&["list"])?.out()?.lines().count(), 1);
    Ok(())
}

#[tokio::test]
async fn states_change_as_they_may_and_what_may_not_is_1() -> Result {
    let cli = Cli::new().await?;
    let (acme, bolt) = (cli.create("acme")?, cli.create("bolt")?);
    let me = UserId::new().to_string();
    let done = cli.run(&["suspend", &acme, "--reason", "unpaid", "--as", &me])?;
    assert_eq!(done.out()?, "");
    assert_eq!(cli.shown(&acme, "status")?, "suspended_blocked");
    assert_eq!(cli.shown(&acme, "by")?, "platform");
    assert_eq!(cli.shown(&acme, "reason")?, "unpaid");
    let again = cli.run(&["suspend", &acme])?;
    assert_eq!(again.0, 1, "{again:?}");
    assert!(again.2.starts_with("error: "), "{}", again.2);
    assert_eq!(cli.code(&["suspend", &acme, "--how", "read-only"])?, 0);
    let state = cli.run(&["show", &acme, "--format", "json"])?.json()?;
    assert_eq!(
        (&state["status"], &state["by_platform"]),
        (&"suspended_read_only".into(), &true.into())
    );

    assert_eq!(cli.code(&["delete", &acme, "--grace-days", "1"])?, 0);
    assert_eq!(cli.shown(&acme, "status")?, "deleting");
    assert!(!cli.shown(&acme, "deleted after")?.is_empty());
    assert_eq!(
        cli.run(&["list", "--due"])?.out()?,
        "",
        "the grace is not over"
    );
    assert_eq!(cli.code(&["resume", &acme])?, 1);
    assert_eq!(cli.code(&["purge", &acme])?, 1);
    assert_eq!(cli.code(&["undelete", &acme])?, 0);
    assert_eq!(
        cli.shown(&acme, "status")?,
        "suspended_read_only",
        "as it was before"
    );
    assert_eq!(cli.code(&["undelete", &acme])?, 1);
    assert_eq!(cli.code(&["resume", &acme])?, 0);
    assert_eq!(cli.code(&["resume", &acme])?, 1);
    assert_eq!(cli.shown(&acme, "status")?, "active");
    assert_eq!(
        cli.code(&["purge", &acme, "--force"])?,
        1,
        "nobody wants it deleted"
    );
    assert_eq!(
        cli.shown(&bolt, "status")?,
        "active",
        "the other one is as it was"
    );

    let entry: (String, String, String) = sqlx::query_as(
        "SELECT actor_id, on_behalf_of::text, meta ->> 'reason' FROM tenancy.audit_logs
         WHERE action = 'tenant.suspended' ORDER BY id LIMIT 1",
    )
    .fetch_one(&cli.superuser)
    .await?;
    assert_eq!(entry, ("tenancy_cli".to_owned(), me, "unpaid".to_owned()));
    Ok(())
}

#[tokio::test]
async fn an_export_is_whole_and_a_purge_leaves_its_certificate_and_the_neighbour() -> Result {
    let cli = Cli::new().await?;
    let (acme, bolt) = (cli.create("acme")?, cli.create("bolt")?);
    let exported = cli.run(&["export", &acme])?;
    assert!(exported.2.contains(" rows, SHA-256 "), "{}", exported.2);
    let file = exported.out()?;
    let summary = ExportSummary::check(file.as_bytes())?;
    assert!(summary.total() > 5);
    assert!(file.contains(&acme) && !file.contains(&bolt) && !file.contains("The bolt"));

    assert_eq!(cli.code(&["hold", &acme, "case-7"])?, 0);
    assert_eq!(cli.code(&["delete", &acme, "--grace-days", "0"])?, 0);
    assert_eq!(cli.shown(&acme, "hold")?, "case-7");
    assert!(
        cli.run(&["list"])?
            .out()?
            .contains(&format!("{acme} acme deleting held The acme"))
    );
    let held = cli.run(&["purge", &acme, "--force"])?;
    assert_eq!(held.0, 1);
    assert!(held.2.contains("legal hold"), "{}", held.2);
    assert_eq!(
        cli.code(&["release", &acme, "case-8"])?,
        1,
        "there is no such hold"
    );
    assert_eq!(cli.code(&["release", &acme, "case-7"])?, 0);
    assert_eq!(cli.code(&["release", &acme, "case-7"])?, 1);
    assert!(cli.run(&["list", "--due"])?.out()?.starts_with(&acme));

    cli.put_keys().await?;
    let text = cli.run(&["purge", &acme])?.out()?;
    assert_eq!(cli.of_the_log(&acme).await?, (0, true));
    assert!(text.starts_with(&format!("tenant: {acme}\n")), "{text}");
    assert!(
        text.contains("\nforced: false\n") && text.contains("\ntenancy.memberships: 1\n"),
        "{text}"
    );
    // Again is the same certificate.
    let again = cli.run(&["purge", &acme, "--format", "json"])?.json()?;
    assert_eq!(
        (&again["tenant"], &again["rows"]["tenancy.memberships"]),
        (&acme.as_str().into(), &1.into())
    );
    assert_eq!(cli.shown(&acme, "status")?, "deleted");
    assert!(
        cli.run(&["list"])?
            .out()?
            .contains(&format!("{acme} - deleted deleted"))
    );
    assert_eq!(cli.run(&["list", "--due"])?.out()?, "");
    for words in [
        ["suspend", &acme],
        ["resume", &acme],
        ["delete", &acme],
        ["undelete", &acme],
    ] {
        assert_eq!(cli.code(&words)?, 1, "{words:?}");
    }
    let left: Vec<String> = sqlx::query_scalar("SELECT tenant_id::text FROM tenancy.memberships")
        .fetch_all(&cli.superuser)
        .await?;
    assert_eq!(left, [bolt]);
    Ok(())
}

impl Cli {
    /// `tenancy audit …` with these keys, as the operator and the worker.
    fn audit(&self, key: &str, words: &[&str]) -> Result<Done> {
        let server = &self.db.server;
        let output = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .arg("audit")
            .args(words)
            .env("TENANCY_OPERATOR_URL", server.operator_url())
            .env("TENANCY_WORKER_URL", server.worker_url())
            .env("TENANCY_AUDIT_SEAL_KEY", key)
            .output()?;
        let code = output.status.code().ok_or("ended by a signal")?;
        let (out, err) = (output.stdout, output.stderr);
        Ok(Done(code, String::from_utf8(out)?, String::from_utf8(err)?))
    }

    /// Other tests' transactions hold the horizon up.
    async fn seal(&self, key: &str) -> Result {
        let waiting = "SELECT (SELECT count(*) FROM tenancy.audit_logs)
            > (SELECT coalesce(sum(entries), 0) FROM tenancy.audit_seals)";
        for _ in 0..600 {
            self.audit(key, &["seal"])?.out()?;
            if !sqlx::query_scalar::<_, bool>(waiting)
                .fetch_one(&self.superuser)
                .await?
            {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Err("not sealed".into())
    }
}

#[tokio::test]
async fn the_log_of_a_tenant_that_was_purged_is_proved_as_before() -> Result {
    let cli = Cli::new().await?;
    let (acme, bolt) = (cli.create("acme")?, cli.create("bolt")?);
    let key = cli.audit("", &["keygen", "2026-a"])?.out()?;
    let key = key.trim();
    let public = cli.audit(key, &["public-key"])?.out()?;
    cli.seal(key).await?;
    assert_eq!(cli.code(&["delete", &acme, "--grace-days", "0"])?, 0);
    cli.run(&["purge", &acme])?.out()?;
    // What was recorded of the deletion is sealed when nobody is there any more.
    cli.seal(key).await?;

    let folder = tempfile::tempdir()?;
    let verify = |tenant: &str, proof: String| -> Result<String> {
        let file = folder.path().join("proof");
        std::fs::write(&file, proof)?;
        let file = file.to_string_lossy();
        let words = ["verify", &*file, "--tenant", tenant, "--key", public.trim()];
        cli.audit("", &words)?.out()
    };
    for tenant in [&acme, &bolt] {
        let sql = "SELECT id::text FROM tenancy.audit_logs WHERE tenant_id = $1::uuid ORDER BY id";
        let ids = sqlx::query_scalar(sql).bind(tenant);
        let ids: Vec<String> = ids.fetch_all(&cli.superuser).await?;
        assert!(!ids.is_empty());
        let text = verify(tenant, cli.audit(key, &["prove", tenant])?.out()?)?;
        let whole = format!("{} entries as they were sealed", ids.len());
        assert!(text.contains(&whole), "{text}");
        for id in &ids {
            let proof = cli.audit(key, &["prove", tenant, "--entry", id])?.out()?;
            verify(tenant, proof)?;
        }
    }
    let actions = "SELECT action FROM tenancy.audit_logs WHERE tenant_id = $1::uuid ORDER BY id";
    let actions = sqlx::query_scalar(actions).bind(&acme);
    let actions: Vec<String> = actions.fetch_all(&cli.superuser).await?;
    assert!(
        actions.contains(&"tenant.created".to_owned()),
        "{actions:?}"
    );
    let states = ["prove", &*acme, "--from", "1", "--to", "2"];
    verify(&acme, cli.audit(key, &states)?.out()?)?;

    // A hold and retention go on behind it, too.
    assert_eq!(cli.audit(key, &["hold", &acme, "case-7"])?.0, 0);
    let remove = ["remove", &*acme, "--older-than", "0", "--reason", "over"];
    let held = cli.audit(key, &remove)?;
    assert!(held.0 == 2 && held.2.contains("legal hold"), "{held:?}");
    assert_eq!(cli.audit(key, &["release", &acme, "case-7"])?.0, 0);
    let removed = cli.audit(key, &remove)?.out()?;
    assert_eq!(removed, format!("{} entries removed\n", actions.len()));
    let text = verify(&acme, cli.audit(key, &["prove", &acme])?.out()?)?;
    let gone = format!("{} removed by retention", actions.len());
    assert!(
        text.contains(&gone) && text.contains(", 0 entries as they"),
        "{text}"
    );
    let text = verify(&bolt, cli.audit(key, &["prove", &bolt])?.out()?)?;
    assert!(text.contains(" 0 removed by retention"), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_tenant_is_1() -> Result {
    let cli = Cli::new().await?;
    let unknown = TenantId::new().to_string();
    for words in [
        ["show", &unknown].as_slice(),
        &["suspend", &unknown],
        &["resume", &unknown],
        &["delete", &unknown],
        &["undelete", &unknown],
        &["hold", &unknown, "case-7"],
        &["release", &unknown, "case-7"],
        &["export", &unknown],
        &["purge", &unknown],
    ] {
        let done = cli.run(words)?;
        assert_eq!((done.0, done.1.as_str()), (1, ""), "{words:?}: {}", done.2);
        assert!(
            done.2.contains("there is no such tenant"),
            "{words:?}: {}",
            done.2
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_question_is_2() -> Result {
    let cli = Cli::new().await?;
    let acme = cli.create("acme")?;
    let owner = UserId::new().to_string();
    let long = "x".repeat(1_000);
    for words in [
        ["show", "no-uuid"].as_slice(),
        &["show"],
        &["fly", &acme],
        &["suspend", &acme, "--how", "a bit"],
        &["suspend", &acme, "--as", "me"],
        &["suspend", &acme, "--reason", "a\u{202e}b"],
        &["suspend", &acme, "--reason", &long],
        &["delete", &acme, "--grace-days", "366"],
        &["delete", &acme, "--grace-days", "-1"],
        &["delete", &acme, "--grace-days", "18446744073709551615"],
        &["hold", &acme, ""],
        &["hold", &acme],
        &["list", "--status", "sleeping"],
        &["list", "--due", "--status", "active"],
        &["list", "--format", "verse"],
        &[
            "create", "--slug", "No Slug", "--name", "x", "--owner", &owner,
        ],
        &["create", "--slug", "good", "--name", "", "--owner", &owner],
        &[
            "create", "--slug", "good", "--name", "x", "--owner", "nobody",
        ],
        &["create", "--slug", "good", "--name", "x"],
    ] {
        let done = cli.run(words)?;
        assert_eq!((done.0, done.1.as_str()), (2, ""), "{words:?}: {}", done.2);
        assert!(
            !done.2.is_empty() && !done.2.contains("panicked"),
            "{words:?}: {}",
            done.2
        );
    }
    assert_eq!(
        cli.shown(&acme, "status")?,
        "active",
        "nothing of it was done"
    );
    Ok(())
}

#[tokio::test]
async fn a_database_that_can_not_be_asked_is_2_and_its_password_is_not_shown() -> Result {
    let cli = Cli::new().await?;
    let acme = cli.create("acme")?;
    let (operator, app) = (cli.db.server.operator_url(), cli.db.server.app_url());
    let nowhere = "postgres://nobody:s3cret@127.0.0.1:1/nowhere";
    for (words, operator, app) in [
        (["show", acme.as_str()].as_slice(), operator, nowhere),
        (&["list"], nowhere, app),
        (&["list"], "no url", app),
        // Whom row-level security does not bind is not taken for the application.
        (&["suspend", &acme], operator, operator),
    ] {
        let done = run(words, operator, app)?;
        assert_eq!((done.0, done.1.as_str()), (2, ""), "{words:?}: {}", done.2);
        assert!(
            done.2.starts_with("error: ") && !done.2.contains("s3cret"),
            "{words:?}: {}",
            done.2
        );
    }
    let help = run(&["suspend", "--help"], nowhere, nowhere)?.out()?;
    assert!(
        help.contains("TENANCY_APP_URL") && !help.contains("s3cret"),
        "{help}"
    );
    assert_eq!(cli.shown(&acme, "status")?, "active");
    Ok(())
}
