//! A process that is killed in the middle of an ingestion.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use sqlx::PgPool;
use tenancy_core::{
    TenantDb, TenantId, UserId,
    testing::{FakeAuthorizer, MemoryAudit},
};
use tenancy_rag::{
    IngestLimits, Ingestor, MemoryBytes, RetrieveOptions, SourceName, SplitterChunker, perm,
};

use crate::common::{TestEmbedder, World, new, role};

const URL: &str = "KB_TEST_CHILD_URL";
const WHO: &str = "KB_TEST_CHILD_WHO";
const LEASE: Duration = Duration::from_secs(2);

fn text(version: &str) -> String {
    (0..40)
        .map(|n| format!("Paragraph {n} of the {version} version, with words.\n\n"))
        .collect()
}

fn limits() -> IngestLimits {
    IngestLimits::default().with_batch(1).with_lease(LEASE)
}

/// The process that will be killed: replaces the document, slowly.
async fn child(url: &str, who: &str) {
    use tenancy_core::Permission as _;
    let (tenant, user) = who.split_once('/').unwrap();
    let (tenant, user): (TenantId, UserId) = (tenant.parse().unwrap(), user.parse().unwrap());
    let db = TenantDb::connect(url).await.unwrap();
    let ctx = db.enter(tenant, user).await.unwrap();
    let authorizer = FakeAuthorizer::new();
    authorizer.grant(&ctx, perm::KbWrite::KEY);
    authorizer.set_roles(&ctx, vec![role("admin")]);
    let embedder = Arc::new(TestEmbedder::new());
    embedder.slow_down(Duration::from_millis(100));
    let ingestor = Ingestor::new(
        db,
        embedder,
        Arc::new(authorizer),
        Arc::new(MemoryAudit::new()),
    )
    .with_limits(limits())
    .with_chunker(Arc::new(SplitterChunker::new(80)));
    let source = ingestor
        .source(&ctx, &SourceName::parse("handbook").unwrap())
        .await
        .unwrap();
    let document = new(source, "a.txt", &["admin"]);
    ingestor
        .ingest(&ctx, document, &mut MemoryBytes::new(text("new")), &|_| ())
        .await
        .unwrap();
}

async fn until_some_vectors_are_staged(superuser: &PgPool) {
    for _ in 0..400 {
        let staged: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.kb_staged")
            .fetch_one(superuser)
            .await
            .unwrap();
        if staged >= 3 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the child stages nothing");
}

#[tokio::test]
async fn a_killed_ingestion_leaves_no_half_visible_document_and_holds_nothing() {
    if let (Ok(url), Ok(who)) = (std::env::var(URL), std::env::var(WHO)) {
        return child(&url, &who).await;
    }
    let world = World::new().await;
    let ingestor = world
        .ingestor()
        .with_limits(limits())
        .with_chunker(Arc::new(SplitterChunker::new(80)));
    world
        .put_with(&ingestor, &world.admin, "a.txt", &text("old"), &["admin"])
        .await
        .unwrap();
    let superuser = world.superuser().await;

    let who = format!("{}/{}", world.admin.tenant(), world.admin.user().unwrap());
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::a_killed_ingestion_leaves_no_half_visible_document_and_holds_nothing",
        ])
        .env(URL, world.db.server.app_url())
        .env(WHO, who)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until_some_vectors_are_staged(&superuser).await;
    process.kill().unwrap();
    assert!(!process.wait().unwrap().success());

    let found = world
        .retriever()
        .retrieve(
            &world.admin,
            "words",
            RetrieveOptions::default().with_k(100),
        )
        .await
        .unwrap();
    assert_eq!(found.hits.len(), 40);
    assert!(
        found
            .hits
            .iter()
            .all(|hit| hit.text.contains("old") && hit.citation.version == 1)
    );

    // When the lease has run out, the next upload clears away what the dead one held.
    tokio::time::sleep(LEASE + Duration::from_millis(200)).await;
    world
        .put_with(&ingestor, &world.admin, "b.txt", "Other words.", &["admin"])
        .await
        .unwrap();
    let left: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM tenancy.kb_uploads), (SELECT count(*) FROM tenancy.kb_staged),
            (SELECT count(*) FROM tenancy.kb_ingestions WHERE error_code = 'abandoned'),
            (SELECT sum(held_bytes + held_docs + held_chunks)::bigint FROM tenancy.kb_quotas)",
    )
    .fetch_one(&superuser)
    .await
    .unwrap();
    assert_eq!(left, (0, 0, 1, 0));
    let done = world
        .put_with(&ingestor, &world.admin, "a.txt", &text("new"), &["admin"])
        .await
        .unwrap();
    assert_eq!(done.version, 2);
}
