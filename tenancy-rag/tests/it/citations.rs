use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::TestRunner,
};
use tenancy_rag::{MediaType, MemoryBytes, NewDocument, RetrieveOptions};

use crate::common::{World, new, role};

const CASES: usize = 24;

/// Documents of any Unicode text and any Markdown, through the whole way and back.
#[tokio::test]
async fn every_citation_gives_back_the_exact_bytes_of_the_source() {
    let world = World::new().await;
    let ingestor = world
        .ingestor()
        .with_chunker(std::sync::Arc::new(tenancy_rag::SplitterChunker::new(60)));
    let texts = "([a-zäß漢🦀é\u{301}\u{202e}\\-#*`>|\\[\\]&< ]{1,60}(\n|\r\n|\n\n|\n```\n|\n# )){1,15}[a-z漢🦀]{1,9}";
    let mut runner = TestRunner::deterministic();
    let strategy = proptest::string::string_regex(texts).unwrap();
    let (retriever, source) = (world.retriever(), world.source(&world.admin).await);
    let mut checked = 0;
    for case in 0..CASES {
        let text = strategy.new_tree(&mut runner).unwrap().current();
        let uri = ["doc.txt", "doc.md"][case % 2];
        let document = new(source, uri, &["admin"]);
        ingestor
            .ingest(
                &world.admin,
                document,
                &mut MemoryBytes::new(text.as_str()),
                &|_| (),
            )
            .await
            .unwrap();
        let found = retriever
            .retrieve(
                &world.admin,
                "words",
                RetrieveOptions::default().with_k(100),
            )
            .await
            .unwrap();
        for hit in found.hits.iter().filter(|hit| hit.citation.uri == uri) {
            let bytes = hit.citation.bytes.start as usize..hit.citation.bytes.end as usize;
            assert_eq!(&text.as_bytes()[bytes], hit.text.as_bytes());
            let passage = retriever
                .open_citation(&world.admin, &hit.citation)
                .await
                .unwrap();
            assert_eq!(passage.text, hit.text);
            assert_eq!(passage.origin, None);
            checked += 1;
        }
    }
    assert!(checked > 3 * CASES, "{checked}");
}

#[tokio::test]
async fn a_citation_of_html_names_the_bytes_of_the_upload_too() {
    let world = World::new().await;
    let html = "<html><body><h1>Caf\u{e9}</h1><p>Opens at <b>nine</b> &amp; closes at six.</p></body></html>";
    world
        .put(&world.admin, "a.html", html, &["admin"])
        .await
        .unwrap();
    let found = world
        .retriever()
        .retrieve(&world.admin, "opens", RetrieveOptions::default())
        .await
        .unwrap();
    let hit = &found.hits[0];
    assert_eq!(hit.text, "Caf\u{e9}\n\nOpens at nine & closes at six.");
    let passage = world
        .retriever()
        .open_citation(&world.admin, &hit.citation)
        .await
        .unwrap();
    assert_eq!(passage.text, hit.text);
    let origin = hit.citation.origin.clone().unwrap();
    let upload = &html.as_bytes()[origin.start as usize..origin.end as usize];
    assert_eq!(passage.origin.as_deref(), Some(upload));
    assert_eq!(
        std::str::from_utf8(upload).unwrap(),
        "Caf\u{e9}</h1><p>Opens at <b>nine</b> &amp; closes at six."
    );
}

#[tokio::test]
async fn a_citation_knows_version_heading_and_place() {
    let world = World::new().await;
    let text = format!(
        "# Guide\n\nIntro.\n\n## Travel\n\n{}\n\nTrains leave hourly.",
        "Long words. ".repeat(150)
    );
    world
        .put(&world.admin, "guide.md", "old", &["admin"])
        .await
        .unwrap();
    world
        .put(&world.admin, "guide.md", &text, &["admin"])
        .await
        .unwrap();
    let found = world
        .retriever()
        .retrieve(
            &world.admin,
            "trains leave hourly",
            RetrieveOptions::default(),
        )
        .await
        .unwrap();
    let hit = found
        .hits
        .iter()
        .find(|hit| hit.text.contains("Trains"))
        .unwrap();
    assert_eq!(
        (hit.citation.version, hit.citation.heading.as_deref()),
        (2, Some("Guide > Travel"))
    );
}

/// The database itself refuses a chunk that is not as long as its place.
#[tokio::test]
async fn a_chunk_that_is_not_its_bytes_is_refused_by_the_schema() {
    let world = World::new().await;
    world
        .put(&world.admin, "a.txt", "Some words.", &["admin"])
        .await
        .unwrap();
    let mut tx = world.db.app.write(&world.admin).await.unwrap();
    tx.bind_roles(&[role("admin")]).await.unwrap();
    let refused =
        sqlx::query("UPDATE tenancy.kb_chunks SET content = 'other' WHERE tenant_id = $1")
            .bind(world.admin.tenant())
            .execute(&mut *tx)
            .await
            .unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().code().as_deref(),
        Some("23514")
    );
}

#[tokio::test]
#[cfg(feature = "pdf")]
async fn a_broken_pdf_leaves_nothing() {
    let world = World::new().await;
    let source = world.source(&world.admin).await;
    let uri = tenancy_rag::DocUri::parse("a.pdf").unwrap();
    let document = NewDocument::new(source, uri, MediaType::pdf(), [role("admin")]).unwrap();
    let mut bytes = MemoryBytes::new("%PDF-1.7\n1 0 obj << /Length 99999999999 >> stream");
    let error = world
        .ingestor()
        .ingest(&world.admin, document, &mut bytes, &|_| ())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "document_unreadable");
    assert_eq!(world.leftovers(world.admin.tenant()).await, 0);
}
