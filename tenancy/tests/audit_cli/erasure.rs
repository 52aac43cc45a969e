//! `erase`, and repeating it after a restore.

use std::process::Command;

use tenancy::{
    audit::{AuditLog, AuditQuery, PgAuditLog, Verdict},
    authz::PgAuthorizer,
    core::{
        AuditSink as _, Event, Subject,
        testing::{FakeAuthorizer, tenant},
    },
    secrets::{LocalKeyring, SecretVault, SubjectVault},
};
use tenancy_testkit::Db;

use super::Result;

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
        LocalKeyring::parse(keys.expose())?,
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
            .env("TENANCY_KEYRING", keys.expose())
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
