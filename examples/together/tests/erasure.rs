//! A person is forgotten: the log keeps its details under a key of the vault, and that key goes.

use std::{process::Command, sync::Arc, time::Duration};

use tenancy_audit::{
    AuditLog, AuditProofs, AuditQuery, Ed25519Signer, PgAuditLog, SealKeys, Sealer, Verdict,
    Verifier,
};
use tenancy_core::{
    AuditSink as _, Event, OwnerAuthorizer, SecretText, Subject, SubjectCipher as _, TenantCtx,
    migrate::{CORE, Component},
    testing::tenant,
};
use tenancy_secrets::{LocalKeyring, SecretVault, SubjectVault};
use tenancy_testkit::Db;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Failure> = std::result::Result<T, E>;

const PARTS: &[&Component] = &[
    &CORE,
    &tenancy_audit::COMPONENT,
    &tenancy_secrets::COMPONENT,
];

const CLEAR: [&str; 3] = ["ann.lead@example.com", "Ann Leadbetter", "198.51.100.23"];

struct Host {
    db: Db,
    audit: PgAuditLog,
    log: AuditLog,
    proofs: AuditProofs,
    vault: SubjectVault,
    a: TenantCtx,
    b: TenantCtx,
}

impl Host {
    async fn new() -> Result<Self> {
        let db = Db::new(PARTS).await?;
        let plain = Arc::new(PgAuditLog::new(db.app.clone()));
        let authorizer = Arc::new(OwnerAuthorizer::new(db.app.clone(), plain.clone()));
        let keys = LocalKeyring::parse(LocalKeyring::generate_entry("one")?.expose())?;
        let secrets = SecretVault::new(db.app.clone(), keys, authorizer.clone(), plain.clone());
        let vault = SubjectVault::new(db.app.clone(), &secrets, authorizer.clone(), plain.clone());
        let audit = PgAuditLog::new(db.app.clone()).with_cipher(Arc::new(vault.clone()));
        let log = AuditLog::new(db.app.clone(), authorizer.clone(), Arc::new(audit.clone()))
            .with_cipher(Arc::new(vault.clone()));
        Ok(Self {
            a: tenant(&db.app).await?,
            b: tenant(&db.app).await?,
            proofs: AuditProofs::new(db.app.clone(), authorizer, plain),
            db,
            audit,
            log,
            vault,
        })
    }

    /// What a backup would hold, with everything that could be text in it.
    async fn dump(&self) -> Result<String> {
        let dev = tenancy_devdb::DevDb::start().await?;
        let superuser = self.db.superuser().await?;
        let name: String = sqlx::query_scalar("SELECT current_database()")
            .fetch_one(&superuser)
            .await?;
        if let Some(program) = dev.program("pg_dump") {
            let url = self.db.server.superuser_url()?;
            let output = Command::new(program)
                .args(["--no-sync", "-d", url])
                .output()?;
            assert!(
                output.status.success(),
                "{name}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^(pg_|information)'",
        )
        .fetch_all(&superuser)
        .await?;
        let mut rows = String::new();
        for table in tables {
            let all: &'static str = format!("SELECT t::text FROM {table} t").leak();
            let texts: Vec<String> = sqlx::query_scalar(all).fetch_all(&superuser).await?;
            rows.extend(texts);
        }
        Ok(rows)
    }
}

fn hits(dump: &str) -> usize {
    let spelled = CLEAR
        .iter()
        .flat_map(|text| [(*text).to_owned(), hex::encode(text)]);
    spelled.map(|text| dump.matches(&text).count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told from its beginning")]
async fn after_an_erasure_a_whole_dump_has_no_hit_and_the_log_verifies() -> Result {
    let host = Host::new().await?;
    let (ann, olga) = (Subject::parse("lead:ann")?, Subject::parse("lead:olga")?);
    for at in 0..5 {
        let mut event = Event::new("lead.invited")
            .target("lead", at)
            .about(ann.clone());
        event = event.personal("email", CLEAR[0]).personal("name", CLEAR[1]);
        event.origin.ip = Some(CLEAR[2].to_owned());
        let mut tx = host.db.app.write(&host.a).await?;
        host.audit.record_in(&mut tx, event.clone()).await?;
        tx.commit().await?;
        host.audit.record(&host.b, event).await?;
        host.audit
            .record(
                &host.a,
                Event::new("lead.seen")
                    .about(olga.clone())
                    .personal("name", "Olga"),
            )
            .await?;
    }
    assert_eq!(
        hits(&host.dump().await?),
        0,
        "nothing is in clear to begin with"
    );
    let planted = "CREATE TABLE public.planted AS SELECT 'ann.lead@example.com' AS text";
    sqlx::query(planted)
        .execute(&host.db.superuser().await?)
        .await?;
    assert_eq!(hits(&host.dump().await?), 1, "and a hit would be found");
    sqlx::query("DROP TABLE public.planted")
        .execute(&host.db.superuser().await?)
        .await?;

    let signer = Ed25519Signer::parse(Ed25519Signer::generate("one")?.expose())?;
    let keys = SealKeys::new([signer.public_key()]);
    let sealer = Sealer::new(host.db.worker.clone(), Arc::new(signer));
    host.log.erase_subject(&host.a, &ann).await?;
    while sealer.health().await?.waiting_since.is_some() {
        sealer.seal().await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(hits(&host.dump().await?), 0);
    let error = host
        .vault
        .seal(&host.a, &ann, SecretText::new("x"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "subject_erased");

    let (mut erased, mut facts) = (0, 0);
    for entry in host.log.search(&host.a, &AuditQuery::new()).await?.entries {
        let proof = host.proofs.inclusion(&host.a, entry.id).await?;
        assert!(proof.verify(&entry, &keys), "{}", entry.action);
        facts += usize::from(entry.action == "subject.erased");
        let shown = host.log.reveal(&host.a, entry).await?;
        match shown.action.as_str() {
            "lead.invited" => {
                let names = vec!["email".to_owned(), "name".to_owned()];
                assert_eq!(shown.verify(), Verdict::Erased(names));
                assert_eq!(
                    shown.origin().ip.as_deref(),
                    Some(CLEAR[2]),
                    "the actor's own"
                );
                erased += 1;
            }
            "lead.seen" => assert_eq!(
                shown.personal_detail("name").and_then(|v| v.as_str()),
                Some("Olga")
            ),
            _ => {}
        }
    }
    assert_eq!((erased, facts), (5, 1), "the fact itself is on record");
    let other = host
        .log
        .search(&host.b, &AuditQuery::new().with_limit(1))
        .await?
        .entries
        .remove(0);
    let other = host.log.reveal(&host.b, other).await?;
    assert_eq!(
        other.personal_detail("email").and_then(|v| v.as_str()),
        Some(CLEAR[0]),
        "another tenant's stays"
    );

    let mut file = Vec::new();
    let mut export = host.proofs.export(&host.a).await?;
    while let Some(lines) = export.next_lines().await? {
        file.extend_from_slice(lines.as_bytes());
    }
    let report = Verifier::new(host.a.tenant(), keys).verify(&*file)?;
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(hits(&String::from_utf8_lossy(&file)), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_transactions_at_once_can_all_seal_what_they_record() -> Result {
    let host = Arc::new(Host::new().await?);
    let ann = Subject::parse("lead:ann")?;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (host, ann) = (host.clone(), ann.clone());
            tokio::spawn(async move {
                let mut tx = host.db.app.write(&host.a).await?;
                let event = Event::new("lead.invited")
                    .about(ann)
                    .personal("email", CLEAR[0]);
                host.audit.record_in(&mut tx, event).await?;
                tx.commit().await
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let count = host
        .log
        .search(&host.a, &AuditQuery::new().with_limit(100))
        .await?
        .entries
        .len();
    assert_eq!(count, 64);
    Ok(())
}
