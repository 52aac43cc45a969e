//! The commands of the audit log, as an operator runs them.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use tenancy::{
    audit::{AuditLog, AuditQuery, PgAuditLog, Verdict},
    authz::PgAuthorizer,
    core::{
        AuditSink as _, Event, Subject, TenantCtx,
        testing::{FakeAuthorizer, tenant},
    },
    secrets::{LocalKeyring, SecretVault, SubjectVault},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Shop {
    db: Db,
    ctx: TenantCtx,
    other: TenantCtx,
    key: String,
    folder: tempfile::TempDir,
}

impl Shop {
    async fn new() -> Result<Self> {
        let db = Db::new(&[
            &tenancy::core::migrate::CORE,
            &tenancy::audit::COMPONENT,
            &tenancy::authz::COMPONENT,
        ])
        .await?;
        let (ctx, other) = (tenant(&db.app).await?, tenant(&db.app).await?);
        let keygen = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .args(["audit", "keygen", "2026-a"])
            .output()?;
        let key = String::from_utf8(keygen.stdout)?.trim().to_owned();
        Ok(Self {
            db,
            ctx,
            other,
            key,
            folder: tempfile::tempdir()?,
        })
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .arg("audit")
            .args(arguments)
            .env("TENANCY_OPERATOR_URL", self.db.server.operator_url())
            .env("TENANCY_WORKER_URL", self.db.server.worker_url())
            .env("TENANCY_AUDIT_SEAL_KEY", &self.key)
            .output()?)
    }

    fn said(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.run(arguments)?;
        let words = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(words)?))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    async fn record(&self, count: u32) -> Result {
        let audit = PgAuditLog::new(self.db.app.clone());
        for at in 0..count {
            audit
                .record(&self.ctx, Event::new("login.begun").meta("at", at))
                .await?;
            audit
                .record(&self.other, Event::new("thing.made").meta("at", at))
                .await?;
        }
        Ok(())
    }

    /// Other tests' transactions hold the horizon up.
    async fn seal(&self, entries: i64) -> Result {
        for _ in 0..200 {
            let (code, text) = self.said(&["seal", "--anchor", &self.path("heads")])?;
            assert_eq!(code, Some(0), "{text}");
            let sealed: i64 = sqlx::query_scalar(
                "SELECT coalesce(sum(entries), 0)::bigint FROM tenancy.audit_seals",
            )
            .fetch_one(&self.db.superuser().await?)
            .await?;
            if sealed == entries {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("not sealed".into())
    }

    fn verify(&self, file: &Path) -> Result<(Option<i32>, String)> {
        let (file, heads) = (file.to_string_lossy(), self.path("heads"));
        let (_, key) = self.said(&["public-key"])?;
        // Nothing but the file and the public key.
        let output = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .args([
                "audit",
                "verify",
                &*file,
                "--tenant",
                &self.ctx.tenant().to_string(),
                "--key",
                key.trim(),
                "--anchor",
                &heads,
            ])
            .env_clear()
            .output()?;
        Ok((
            output.status.code(),
            String::from_utf8([output.stdout, output.stderr].concat())?,
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_sealed_proved_and_verified_without_a_database() -> Result {
    let shop = Shop::new().await?;
    shop.record(3).await?;
    shop.seal(6).await?;
    let tenant = shop.ctx.tenant().to_string();
    let proof = shop.run(&["prove", &tenant])?;
    let file = shop.folder.path().join("proof");
    std::fs::write(&file, &proof.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("3 entries as they were sealed"), "{text}");

    let edited = String::from_utf8(proof.stdout)?.replacen("login.begun", "login.ended", 1);
    std::fs::write(&file, &edited)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(1));
    assert!(
        text.contains("place 1, entry ") && text.contains(": the entry was changed\n"),
        "{text}"
    );

    let cut: String = edited
        .lines()
        .take(2)
        .flat_map(|line| [line, "\n"])
        .collect();
    std::fs::write(&file, cut)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(1));
    assert!(text.contains("the file ends in the middle"), "{text}");

    std::fs::write(&file, [0, 159, 146, 150])?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.starts_with("error: the file does not begin as a proof"),
        "{text}"
    );
    let (code, _) = shop.said(&["verify", "/nowhere", "--tenant", &tenant, "--key", "x:y"])?;
    assert_eq!(code, Some(2));
    let (code, text) = shop.said(&["verify", "/nowhere", "--key", "x:y"])?;
    assert_eq!(code, Some(2));
    assert!(text.contains("--tenant"), "whose log it has to be: {text}");

    let theirs = shop.run(&["prove", &shop.other.tenant().to_string()])?;
    std::fs::write(&file, &theirs.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(1));
    let foreign = format!("line 1: the log belongs to tenant {}", shop.other.tenant());
    assert!(text.starts_with(&foreign), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_entry_and_two_states_of_the_log_are_proved() -> Result {
    let shop = Shop::new().await?;
    for sealed in [4, 8, 12] {
        shop.record(2).await?;
        shop.seal(sealed).await?;
    }
    let tenant = shop.ctx.tenant().to_string();
    let id: tenancy::audit::AuditEntryId = sqlx::query_scalar(
        "SELECT id FROM tenancy.audit_logs WHERE tenant_id = $1 ORDER BY id LIMIT 1",
    )
    .bind(shop.ctx.tenant())
    .fetch_one(&shop.db.superuser().await?)
    .await?;
    let file = shop.folder.path().join("proof");
    let inclusion = shop.run(&["prove", &tenant, "--entry", &id.to_string()])?;
    std::fs::write(&file, &inclusion.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("1 seals, 1 entries as they were sealed"),
        "{text}"
    );
    let inclusion = String::from_utf8(inclusion.stdout)?;
    for (from, to) in [
        ("login.begun", "login.ended"),
        (r#""at":0"#, r#""at":7"#),
        (r#""index":0"#, r#""index":1"#),
    ] {
        std::fs::write(&file, inclusion.replacen(from, to, 1))?;
        let (code, text) = shop.verify(&file)?;
        assert_eq!(code, Some(1), "{to}");
        assert!(
            text.contains(&format!("entry {id}: the proof does not hold")),
            "{text}"
        );
    }

    let consistency = shop.run(&["prove", &tenant, "--from", "1", "--to", "3"])?;
    std::fs::write(&file, &consistency.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(0), "{text}");
    let mut edited: serde_json::Value = serde_json::from_slice(&consistency.stdout)?;
    let entries = edited["consistency"]["from"]["entries"].as_u64();
    edited["consistency"]["from"]["entries"] = entries.map(|entries| entries + 1).into();
    std::fs::write(&file, format!("{edited}\n"))?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(1), "{text}");
    let other = shop.run(&[
        "prove",
        &shop.other.tenant().to_string(),
        "--from",
        "1",
        "--to",
        "3",
    ])?;
    std::fs::write(&file, &other.stdout)?;
    assert_eq!(shop.verify(&file)?.0, Some(1), "another tenant's");
    let (code, text) = shop.said(&["prove", &tenant, "--from", "2", "--to", "9"])?;
    assert_eq!(code, Some(2), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_past_their_time_go_with_a_record() -> Result {
    let shop = Shop::new().await?;
    shop.record(2).await?;
    shop.seal(4).await?;
    let tenant = shop.ctx.tenant().to_string();
    let remove = [
        "remove",
        &tenant,
        "--older-than",
        "0",
        "--action",
        "login.*",
        "--reason",
        "a test",
    ];
    let (code, text) = shop.said(&remove)?;
    assert_eq!((code, text.as_str()), (Some(0), "2 entries removed\n"));
    let file = shop.folder.path().join("proof");
    std::fs::write(&file, shop.run(&["prove", &tenant])?.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("2 removed by retention"), "{text}");
    let policy = [
        "policy", "set", "--action", "thing.*", "--keep", "7", "--reason", "a week",
    ];
    assert_eq!(shop.said(&policy)?, (Some(0), "set\n".to_owned()));
    let (_, text) = shop.said(&["policy", "list"])?;
    assert_eq!(text, "every tenant: thing.*: 7 days (a week)\n");
    assert_eq!(
        shop.said(&["retain"])?,
        (Some(0), "0 entries removed\n".to_owned())
    );
    let (code, text) = shop.said(&["hold", &tenant, "case 7"])?;
    assert_eq!(code, Some(2));
    assert!(text.contains("is not gone"), "{text}");
    let (code, text) = shop.said(&["drop-month", "2020-01-01", "--reason", "a test"])?;
    assert_eq!(code, Some(2));
    assert!(text.contains("no partition of this month"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_sealer_ends_when_told_and_health_raises_the_alarm() -> Result {
    let shop = Shop::new().await?;
    shop.record(1).await?;
    let mut running = Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .args(["audit", "seal", "--every", "1"])
        .env("TENANCY_WORKER_URL", shop.db.server.worker_url())
        .env("TENANCY_AUDIT_SEAL_KEY", &shop.key)
        .spawn()?;
    let mut healthy = (None, String::new());
    for _ in 0..200 {
        healthy = shop.said(&["health"])?;
        if healthy.1.contains("sealing: yes") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(healthy.0, Some(0), "{}", healthy.1);
    Command::new("kill")
        .args(["-TERM", &running.id().to_string()])
        .status()?;
    assert_eq!(running.wait()?.code(), Some(0));
    shop.record(1).await?;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (code, text) = shop.said(&["health", "--wait-seconds", "1"])?;
    assert_eq!(code, Some(1), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told from its beginning")]
async fn a_person_is_erased_by_hand() -> Result {
    let db = Db::new(&[
        &tenancy::core::migrate::CORE,
        &tenancy::audit::COMPONENT,
        &tenancy::authz::COMPONENT,
        &tenancy::secrets::COMPONENT,
    ])
    .await?;
    let (ctx, keys) = (tenant(&db.app).await?, LocalKeyring::generate_entry("one")?);
    let plain = std::sync::Arc::new(PgAuditLog::new(db.app.clone()));
    let authz = std::sync::Arc::new(PgAuthorizer::new(db.app.clone(), plain.clone()));
    let secrets = SecretVault::new(
        db.app.clone(),
        LocalKeyring::parse(&keys)?,
        authz.clone(),
        plain.clone(),
    );
    let vault = std::sync::Arc::new(SubjectVault::new(
        db.app.clone(),
        &secrets,
        authz,
        plain.clone(),
    ));
    let audit = PgAuditLog::new(db.app.clone()).with_cipher(vault.clone());
    let lead = Subject::parse("lead:7")?;
    let mut event = Event::new("lead.invited")
        .about(lead)
        .personal("email", "ann@example.com");
    event.origin.ip = Some("192.0.2.7".to_owned());
    audit.record(&ctx, event).await?;
    let searched = Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .args(["audit", "search", &ctx.tenant().to_string(), "ip:192.0.2.7"])
        .env("TENANCY_APP_URL", db.server.app_url())
        .output()?;
    let said = String::from_utf8(searched.stderr)?;
    assert!(
        !searched.status.success() && said.contains("addresses are sealed"),
        "{said}"
    );

    let folder = tempfile::tempdir()?;
    let list = folder.path().join("erased").to_string_lossy().into_owned();
    let erase = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let output = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .args(["audit", "erase"])
            .args(arguments)
            .env("TENANCY_APP_URL", db.server.app_url())
            .env("TENANCY_KEYRING", &**keys)
            .output()?;
        let words = String::from_utf8([output.stdout, output.stderr].concat())?;
        Ok((output.status.code(), words))
    };
    // What a backup of now would bring back.
    let superuser = db.superuser().await?;
    sqlx::query("CREATE TABLE public.backup AS SELECT * FROM tenancy.subject_keys")
        .execute(&superuser)
        .await?;
    let tenant = ctx.tenant().to_string();
    let hold = "INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES ($1, 'case 7')";
    let placed = sqlx::query(hold).bind(ctx.tenant());
    placed.execute(&superuser).await?;
    let (code, words) = erase(&[&tenant, "lead:7"])?;
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("is under a legal hold"), "{words}");
    sqlx::query("DELETE FROM tenancy.tenant_holds")
        .execute(&superuser)
        .await?;
    let done = erase(&[&tenant, "lead:7", "--list", &list])?;
    assert_eq!(done, (Some(0), "erased\n".to_owned()));
    let restore = "DELETE FROM tenancy.subject_keys;
        INSERT INTO tenancy.subject_keys SELECT * FROM public.backup;
        DELETE FROM tenancy.audit_logs WHERE action LIKE '%.erased' OR action LIKE '%subject_erased'";
    sqlx::raw_sql(restore).execute(&superuser).await?;
    let anybody = std::sync::Arc::new(FakeAuthorizer::allowing_all());
    let log = AuditLog::new(db.app.clone(), anybody, plain.clone()).with_cipher(vault.clone());
    let entry = log
        .search(&ctx, &AuditQuery::new())
        .await?
        .entries
        .remove(0);
    let back = log.reveal(&ctx, entry).await?;
    assert_eq!(
        back.personal_detail("email")
            .and_then(|email| email.as_str()),
        Some("ann@example.com"),
        "the backup undoes the erasure"
    );
    std::fs::write(&list, std::fs::read_to_string(&list)? + "junk\n")?;
    let (code, words) = erase(&["--replay", &list])?;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("1 erasures repeated, 1 failed"), "{words}");
    assert!(words.contains("line 2: the line is no erasure"), "{words}");

    let entries = log.search(&ctx, &AuditQuery::new()).await?.entries;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "audit.subject_erased",
            "subject.erased",
            "audit.revealed",
            "lead.invited"
        ]
    );
    let shown = log.reveal(&ctx, entries[3].clone()).await?;
    assert_eq!(shown.verify(), Verdict::Erased(vec!["email".to_owned()]));
    Ok(())
}

impl Shop {
    fn read(&self, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
        let output = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .arg("audit")
            .args(arguments)
            .env("TENANCY_APP_URL", self.db.server.app_url())
            .env("TENANCY_WORKER_URL", self.db.server.worker_url())
            .output()?;
        let (out, err) = (
            String::from_utf8(output.stdout)?,
            String::from_utf8(output.stderr)?,
        );
        Ok((output.status.code(), out, err))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_searched_page_by_page_and_counted() -> Result {
    let shop = Shop::new().await?;
    shop.record(5).await?;
    let denied = Event::new("login.refused")
        .target("door", "a\u{1b}[2Jb")
        .outcome(tenancy::core::Outcome::Denied);
    PgAuditLog::new(shop.db.app.clone())
        .record(&shop.ctx, denied)
        .await?;
    let tenant = shop.ctx.tenant().to_string();
    let search = |more: &[&str]| shop.read(&[&["search", &*tenant][..], more].concat());

    let (code, text, _) = search(&["login.begun"])?;
    assert_eq!((code, text.lines().count()), (Some(0), 5), "{text}");
    assert!(
        text.lines()
            .all(|line| line.contains("allowed") && line.contains("login.begun"))
    );
    let (code, text, _) = search(&["-outcome:allowed"])?;
    assert_eq!((code, text.lines().count()), (Some(0), 1), "{text}");
    assert!(
        text.contains("door:a�[2Jb"),
        "no escape reaches the terminal: {text}"
    );
    let (_, text, _) = search(&["action:login.*", "--count", "outcome"])?;
    assert_eq!(text, "       5 allowed\n       1 denied\n6 entries\n");

    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut arguments = vec!["action:login.begun", "--json", "--limit", "2"];
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let (code, text, more) = search(&arguments)?;
        assert_eq!(code, Some(0), "{more}");
        for line in text.lines() {
            let entry: serde_json::Value = serde_json::from_str(line)?;
            seen.push(entry["meta"]["at"].as_u64());
        }
        let Some((_, next)) = more.trim().split_once("--after ") else {
            break;
        };
        after = Some(next.to_owned());
    }
    assert_eq!(seen, [4, 3, 2, 1, 0].map(Some));

    let (code, _, text) = search(&["outcome:refused"])?;
    assert_eq!(code, Some(2));
    assert!(
        text.contains("at character 9: expected `allowed`, `denied` or `error`"),
        "{text}"
    );
    let (code, _, text) = search(&["action:login.begun", "--after", "AAAA"])?;
    assert_eq!(code, Some(2), "{text}");
    let cursor = after.unwrap_or_default();
    let (code, _, text) = search(&["outcome:denied", "--after", &cursor])?;
    assert!(
        code == Some(2) && text.contains("belongs to another search"),
        "{text}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_written_in_every_format_and_recorded() -> Result {
    let shop = Shop::new().await?;
    shop.record(3).await?;
    let tenant = shop.ctx.tenant().to_string();
    for (format, lines) in [
        ("ndjson", 3),
        ("csv", 4),
        ("ocsf", 3),
        ("cloudevents", 3),
        ("workos", 3),
    ] {
        let arguments = ["export", &tenant, "action:login.begun", "--format", format];
        let (code, text, error) = shop.read(&arguments)?;
        assert_eq!((code, text.lines().count()), (Some(0), lines), "{error}");
    }
    let (_, text, _) = shop.read(&["search", &tenant, "action:audit.exported"])?;
    assert_eq!(text.lines().count(), 5, "{text}");
    let file = shop.path("export");
    let to_file = ["export", &*tenant, "--output", &file];
    assert_eq!(shop.read(&to_file)?.0, Some(0));
    assert_eq!(std::fs::read_to_string(&file)?.lines().count(), 8);
    let (code, _, text) = shop.read(&to_file)?;
    assert!(
        code == Some(2) && text.contains("can't be written"),
        "{text}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_prints_what_is_committed_and_ends_when_told() -> Result {
    use std::io::BufRead as _;
    let shop = Shop::new().await?;
    shop.record(2).await?;
    let tenant = shop.ctx.tenant().to_string();
    let mut running = Command::new(env!("CARGO_BIN_EXE_tenancy"))
        .args([
            "audit", "tail", &tenant, "--last", "1", "--json", "--every", "20",
        ])
        .env("TENANCY_APP_URL", shop.db.server.app_url())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let out = running.stdout.take().ok_or("no output")?;
    let mut lines = std::io::BufReader::new(out).lines();
    let mut next = || -> Result<u64> {
        let line = lines.next().ok_or("it ended")??;
        let entry: serde_json::Value = serde_json::from_str(&line)?;
        Ok(entry["meta"]["at"].as_u64().ok_or("no number")?)
    };
    assert_eq!(tokio::task::block_in_place(&mut next)?, 1);
    shop.record(3).await?;
    for at in 0..3 {
        assert_eq!(tokio::task::block_in_place(&mut next)?, at);
    }
    Command::new("kill")
        .args(["-TERM", &running.id().to_string()])
        .status()?;
    assert_eq!(running.wait()?.code(), Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_listed_with_their_lag() -> Result {
    let shop = Shop::new().await?;
    let (code, text, _) = shop.read(&["streams", "list"])?;
    assert_eq!((code, &*text), (Some(0), ""));
    sqlx::query("SELECT tenancy.audit_stream_open('siem', NULL, true)")
        .execute(shop.db.worker.pool())
        .await?;
    shop.record(1).await?;
    let (code, text, _) = shop.read(&["streams", "list"])?;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.starts_with("siem: stopped, all tenants, 0 delivered, behind by "),
        "{text}"
    );
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(
        shop.read(&["streams", "list", "--wait-seconds", "1"])?.0,
        Some(1)
    );
    assert_eq!(shop.read(&["streams", "resume", "nobody"])?.0, Some(2));
    assert_eq!(shop.read(&["streams", "remove", "siem"])?.0, Some(0));
    Ok(())
}

impl Shop {
    /// Verifies what comes on standard input, in a process that knows of no database.
    fn offline(&self, file: &str, more: &[&str]) -> Result<(Option<i32>, String)> {
        use std::io::Write as _;
        let mut verify = Command::new(env!("CARGO_BIN_EXE_tenancy"))
            .args(["audit", "verify", "-", "--tenant"])
            .arg(self.ctx.tenant().to_string())
            .args(more)
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        // It may end before it has read all.
        drop(
            verify
                .stdin
                .take()
                .ok_or("no input")?
                .write_all(file.as_bytes()),
        );
        let output = verify.wait_with_output()?;
        let words = String::from_utf8([output.stdout, output.stderr].concat())?;
        Ok((output.status.code(), words))
    }
}

/// What somebody does to the lines of a file.
type Change<'a> = &'a dyn Fn(&mut Vec<String>);

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table of all that can be found")]
async fn an_export_and_a_public_key_are_enough_to_say_what_was_changed_and_where() -> Result {
    let shop = Shop::new().await?;
    for sealed in [6, 12] {
        shop.record(3).await?;
        shop.seal(sealed).await?;
    }
    let tenant = shop.ctx.tenant().to_string();
    let (_, public) = shop.said(&["public-key"])?;
    std::fs::write(shop.path("keys"), format!("# of 2026\n\n{public}"))?;
    let (keys, heads) = (["--keys", "keys"], ["--keys", "keys", "--anchor", "heads"]);
    let whole = String::from_utf8(shop.run(&["prove", &tenant])?.stdout)?;
    for with in [&keys[..], &heads] {
        let (code, text) = shop.offline(&whole, with)?;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.ends_with("nothing was changed\n"), "{text}");
    }

    let lines: Vec<&str> = whole.lines().collect();
    let at = |kind: &str| -> Vec<usize> {
        let begin = format!("{{\"{kind}\":");
        (0..lines.len())
            .filter(|at| lines[*at].starts_with(&begin))
            .collect()
    };
    let (seals, entries) = (at("seal"), at("entry"));
    let first = entries[0];
    let entry: serde_json::Value = serde_json::from_str(lines[first])?;
    let id = entry["entry"]["record"]["id"].as_str().ok_or("no id")?;
    let last_seal = *seals.last().ok_or("no seal")?;
    let numbers = (seals.len(), lines.len());
    let changes: [(Change<'_>, String); 10] = [
        (
            &|file| file[first] = file[first].replacen("login.begun", "login.ended", 1),
            format!(
                "line {}, seal 1, place 1, entry {id}: the entry was changed\n",
                first + 1
            ),
        ),
        (
            &|file| file[first] = file[first].replacen("\"at\":0", "\"at\":7", 1),
            format!(
                "line {}, seal 1, place 1, entry {id}: the entry was changed\n",
                first + 1
            ),
        ),
        (
            &|file| drop(file.remove(first)),
            format!("seal 1, place 1, entry {id}: the entry is missing\n"),
        ),
        (
            &|file| file.insert(first + 1, file[first].clone()),
            format!(
                "line {}, seal 1, place 1, entry {id}: the entry was added\n",
                first + 2
            ),
        ),
        (
            &|file| file[first] = "{}".to_owned(),
            format!("malformed line {}\n", first + 1),
        ),
        (
            &|file| file[seals[0]] = file[seals[0]].replacen("\"count\":", "\"count\":1", 1),
            format!("line {}, seal 1: the seal was changed\n", seals[0] + 1),
        ),
        (
            &|file| drop(file.drain(seals[0]..seals[1])),
            format!("line {}: the seals 1 to 1 are missing\n", seals[0] + 1),
        ),
        (
            &|file| file[0] = file[0].replacen("\"entries\":6", "\"entries\":5", 1),
            "line 1: the newest seal that is named is not signed\n".to_owned(),
        ),
        (
            &|file| drop(file.pop()),
            format!("line {}: the file ends in the middle\n", numbers.1),
        ),
        (
            &|file| file.truncate(last_seal),
            format!("the seals {0} to {0} are missing\n", numbers.0),
        ),
    ];
    for (change, said) in changes {
        let mut file: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        change(&mut file);
        let file = file.join("\n") + "\n";
        assert_ne!(file, whole, "{said}");
        let (code, text) = shop.offline(&file, &keys)?;
        assert_eq!(code, Some(1), "{said}: {text}");
        assert!(text.contains(&said), "{said}: {text}");
        assert!(text.ends_with("THE LOG WAS CHANGED\n"), "{text}");
    }

    // A tail that was taken away before the export was made shows by the anchor alone.
    let left = numbers.0 - 1;
    let head = std::fs::read_to_string(shop.path("heads"))?
        .lines()
        .filter(|line| line.contains(&tenant))
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|head| head["number"] == left)
        .ok_or("no head")?;
    let mut header: serde_json::Value = serde_json::from_str(lines[0])?;
    header["header"]["head"] = head;
    let count = entries.iter().filter(|at| **at < last_seal).count();
    let end = serde_json::json!({ "end": { "seals": left, "entries": count } });
    let cut = format!("{header}\n{}\n{end}\n", lines[1..last_seal].join("\n"));
    let (code, text) = shop.offline(&cut, &keys)?;
    assert_eq!(code, Some(0), "nothing in it tells: {text}");
    let (code, text) = shop.offline(&cut, &heads)?;
    assert_eq!(code, Some(1), "{text}");
    let ahead = format!(": the anchor knows seals up to {}\n", numbers.0);
    assert!(text.contains(&ahead), "{text}");

    let other = "2026-a:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    for (with, said) in [
        (["--key", other], "the seal was changed\n"),
        (
            ["--key", &other.replace("2026-a", "2027")],
            "there is no key `2026-a`\n",
        ),
    ] {
        let (code, text) = shop.offline(&whole, &with)?;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(said), "{text}");
    }
    for with in [&["--keys", "nowhere"][..], &["--key", "no key"], &[]] {
        let (code, text) = shop.offline(&whole, with)?;
        assert_eq!(code, Some(2), "{with:?}: {text}");
    }
    let (code, text) = shop.offline("", &keys)?;
    assert_eq!(code, Some(2), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_has_no_proof_and_the_rest_has() -> Result {
    let shop = Shop::new().await?;
    shop.record(2).await?;
    shop.seal(4).await?;
    let tenant = shop.ctx.tenant().to_string();
    let ids: Vec<tenancy::audit::AuditEntryId> =
        sqlx::query_scalar("SELECT id FROM tenancy.audit_logs WHERE tenant_id = $1 ORDER BY id")
            .bind(shop.ctx.tenant())
            .fetch_all(&shop.db.superuser().await?)
            .await?;
    let gone = ids[0].to_string();
    let remove = [
        "remove",
        &*tenant,
        "--older-than",
        "0",
        "--action",
        "login.*",
        "--reason",
        "x",
    ];
    assert_eq!(shop.said(&remove)?.0, Some(0));
    let (code, text) = shop.said(&["prove", &tenant, "--entry", &gone])?;
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains(&format!("there is no entry `{gone}`")),
        "{text}"
    );
    shop.record(1).await?;
    shop.seal(6).await?;
    let left: tenancy::audit::AuditEntryId =
        sqlx::query_scalar("SELECT id FROM tenancy.audit_logs WHERE tenant_id = $1")
            .bind(shop.ctx.tenant())
            .fetch_one(&shop.db.superuser().await?)
            .await?;
    let file = shop.folder.path().join("proof");
    let left = left.to_string();
    for what in [
        vec!["--entry", &left],
        vec!["--from", "1", "--to", "2"],
        vec![],
    ] {
        let arguments = [vec!["prove", &tenant], what].concat();
        std::fs::write(&file, shop.run(&arguments)?.stdout)?;
        let (code, text) = shop.verify(&file)?;
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
    }
    Ok(())
}
