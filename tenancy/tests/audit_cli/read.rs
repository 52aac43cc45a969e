//! `search`, `tail`, `export` and `streams`.

use std::{process::Command, time::Duration};

use tenancy::{
    audit::PgAuditLog,
    core::{AuditSink as _, Event},
};

use super::{Result, Shop};

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
