use std::sync::{Mutex, atomic::Ordering};

use tenancy_rag::{
    Error, ErrorKind, FolderOptions, HashEmbedder, IngestLimits, Ingestor, RetrieveOptions, Stage,
};

use crate::common::{World, role};

#[tokio::test]
async fn a_folder_of_real_documents_is_taken_in_with_visible_progress() {
    let world = World::new().await;
    let folder = std::env::temp_dir().join(format!("kb-{}", world.admin.tenant()));
    std::fs::create_dir_all(folder.join("guides/deep")).unwrap();
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (from, to) in [
        ("README.md", "readme.md"),
        ("migrations/0001_knowledge_base.sql", "guides/schema.txt"),
    ] {
        std::fs::copy(docs.join(from), folder.join(to)).unwrap();
    }
    let html = "<h1>Refunds</h1><p>An invoice is refunded within <b>fourteen</b> days.</p>";
    std::fs::write(folder.join("guides/deep/refunds.html"), html).unwrap();
    std::fs::write(folder.join("empty.txt"), "").unwrap();
    std::fs::write(folder.join("picture.png"), "png").unwrap();
    std::fs::write(folder.join(".hidden.md"), "hidden").unwrap();

    let source = world.source(&world.admin).await;
    let options = FolderOptions::new(source, [role("admin")]);
    let seen = Mutex::new(Vec::new());
    let watch = |name: &str, progress: tenancy_rag::Progress| {
        seen.lock().unwrap().push((name.to_owned(), progress));
    };
    let ingestor = world
        .ingestor()
        .with_limits(IngestLimits::default().with_batch(4));
    let report = ingestor
        .ingest_folder(&world.admin, &folder, &options, &watch)
        .await
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();

    let names: Vec<&str> = report
        .ingested
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        ["guides/deep/refunds.html", "guides/schema.txt", "readme.md"]
    );
    assert_eq!(report.failed[0].0, "empty.txt");
    assert_eq!(report.failed[0].1.code(), "document_empty");
    assert_eq!(report.skipped, ["picture.png"]);

    let seen = seen.into_inner().unwrap();
    let steps: Vec<_> = seen
        .iter()
        .filter(|(name, _)| name == "guides/schema.txt")
        .map(|(_, p)| *p)
        .collect();
    let stages: Vec<Stage> = steps.iter().map(|progress| progress.stage).collect();
    for stage in [
        Stage::Receiving,
        Stage::Extracting,
        Stage::Chunking,
        Stage::Embedding,
        Stage::Publishing,
        Stage::Done,
    ] {
        assert!(stages.contains(&stage), "{stage:?}");
    }
    let ready: Vec<i32> = steps
        .iter()
        .filter(|p| p.stage == Stage::Embedding)
        .map(|p| p.ready)
        .collect();
    assert!(
        ready.len() > 2 && ready.windows(2).all(|pair| pair[0] <= pair[1]),
        "{ready:?}"
    );

    let stored = ingestor
        .get(&world.admin, report.ingested[1].1.ingestion)
        .await
        .unwrap();
    assert_eq!(stored.progress.stage, Stage::Done);
    assert_eq!(
        (stored.progress.ready, stored.progress.chunks),
        (stored.progress.chunks, report.ingested[1].1.chunks)
    );

    let found = world
        .retriever()
        .retrieve(
            &world.admin,
            "when is an invoice refunded?",
            RetrieveOptions::default().with_k(1),
        )
        .await
        .unwrap();
    assert_eq!(found.hits[0].citation.uri, "guides/deep/refunds.html");
    assert_eq!(found.hits[0].citation.heading.as_deref(), Some("Refunds"));
}

#[tokio::test]
async fn an_embedding_failure_is_retried_and_the_document_arrives() {
    let world = World::new().await;
    for _ in 0..2 {
        world.embedder.answer_next(Err(Error::new(
            ErrorKind::Unavailable,
            "test",
            "overloaded",
        )));
    }
    let done = world
        .put(&world.admin, "a.txt", "Some words.", &["admin"])
        .await
        .unwrap();
    let stored = world
        .ingestor()
        .get(&world.admin, done.ingestion)
        .await
        .unwrap();
    assert_eq!(
        (
            stored.progress.retries,
            stored.progress.calls,
            stored.progress.embedded
        ),
        (2, 3, 1)
    );
}

#[tokio::test]
async fn a_failure_that_lasts_gives_up_after_the_attempts_and_leaves_nothing() {
    let world = World::new().await;
    for _ in 0..3 {
        world.embedder.answer_next(Err(Error::new(
            ErrorKind::Unavailable,
            "test",
            "overloaded",
        )));
    }
    let ingestor = world
        .ingestor()
        .with_limits(IngestLimits::default().with_attempts(2));
    let error = world
        .put_with(&ingestor, &world.admin, "a.txt", "Some words.", &["admin"])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "test")
    );
    assert_eq!(world.embedder.calls.load(Ordering::SeqCst), 2);
    assert_eq!(world.leftovers(world.admin.tenant()).await, 0);
}

#[tokio::test]
async fn taking_in_what_did_not_change_asks_for_no_vector_and_keeps_the_version() {
    let world = World::new().await;
    let text = long_text(0..200, None);
    let first = world
        .put(&world.admin, "a.md", &text, &["admin"])
        .await
        .unwrap();
    assert!(first.chunks > 20, "{first:?}");
    assert_eq!(
        world.embedder.taken(),
        usize::try_from(first.embedded).unwrap()
    );

    let again = world
        .put(&world.admin, "a.md", &text, &["admin"])
        .await
        .unwrap();
    assert_eq!(
        (again.doc, again.version, again.embedded),
        (first.doc, 1, 0)
    );
    assert_eq!(world.embedder.taken(), 0);

    let other = world
        .put(&world.admin, "copy.md", &text, &["admin"])
        .await
        .unwrap();
    assert_eq!(
        world.embedder.taken(),
        0,
        "the tenant's own vectors serve a copy"
    );
    assert_ne!(other.doc, first.doc);
}

#[tokio::test]
async fn a_changed_paragraph_costs_few_vectors_and_the_old_text_is_gone() {
    let world = World::new().await;
    world
        .put(&world.admin, "a.md", &long_text(0..300, None), &["admin"])
        .await
        .unwrap();
    world.embedder.taken();
    let changed = long_text(
        0..300,
        Some((150, "A wholly new paragraph about submarines.")),
    );
    let done = world
        .put(&world.admin, "a.md", &changed, &["admin"])
        .await
        .unwrap();
    assert_eq!(done.version, 2);
    let taken = world.embedder.taken();
    assert!((1..=3).contains(&taken), "{taken} texts were embedded");

    let versions: Vec<i32> = sqlx::query_scalar("SELECT DISTINCT version FROM tenancy.kb_chunks UNION SELECT version FROM tenancy.kb_doc_versions")
        .fetch_all(&world.superuser().await)
        .await
        .unwrap();
    assert_eq!(versions, [2]);
    let found = world
        .retriever()
        .retrieve(
            &world.admin,
            "submarines",
            RetrieveOptions::default().with_k(1),
        )
        .await
        .unwrap();
    assert!(found.hits[0].text.contains("submarines"));
}

#[tokio::test]
async fn a_changed_list_of_readers_asks_for_no_vector_even_by_another_upload() {
    let world = World::new().await;
    world
        .put(&world.admin, "a.md", "Some words.", &["admin"])
        .await
        .unwrap();
    world.embedder.taken();
    let done = world
        .put(&world.admin, "a.md", "Some words.", &["support"])
        .await
        .unwrap();
    assert_eq!((done.version, world.embedder.taken()), (2, 0));
    let support = world.member(&["support"]).await;
    let retriever = world.retriever();
    let hits = |ctx| retriever.retrieve(ctx, "words", RetrieveOptions::default());
    assert_eq!(hits(&support).await.unwrap().hits.len(), 1);
    assert_eq!(hits(&world.admin).await.unwrap().hits.len(), 0);
}

#[tokio::test]
async fn two_uploads_of_one_document_at_once_both_arrive_one_after_the_other() {
    let world = World::new().await;
    let uploads = (0..6).map(|n| {
        let text = format!("Text number {n}.");
        let world = &world;
        async move { world.put(&world.admin, "same.txt", &text, &["admin"]).await }
    });
    let done = futures_util::future::join_all(uploads).await;
    let mut versions: Vec<i32> = done.into_iter().map(|done| done.unwrap().version).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    let quota: (i64, i64, i64) = sqlx::query_as("SELECT used_docs, used_chunks, held_docs + held_bytes + held_chunks FROM tenancy.kb_quotas WHERE tenant_id = $1")
        .bind(world.admin.tenant())
        .fetch_one(&world.superuser().await)
        .await
        .unwrap();
    assert_eq!(quota, (1, 1, 0));
}

#[tokio::test]
async fn an_embedder_of_another_model_is_refused_for_writing_and_for_reading() {
    let world = World::new().await;
    world
        .put(&world.admin, "a.txt", "Some words.", &["admin"])
        .await
        .unwrap();
    let other = std::sync::Arc::new(HashEmbedder::new(256).unwrap());
    let authorizer = std::sync::Arc::new(world.authorizer.clone());
    let audit = std::sync::Arc::new(world.audit.clone());
    let ingestor = Ingestor::new(
        world.db.app.clone(),
        other.clone(),
        authorizer.clone(),
        audit.clone(),
    );
    let error = world
        .put_with(&ingestor, &world.admin, "b.txt", "More.", &["admin"])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelMismatch);
    let retriever = tenancy_rag::Retriever::new(world.db.app.clone(), other, authorizer, audit);
    let error = retriever
        .retrieve(&world.admin, "words", RetrieveOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "model_mismatch");
    // The other tenant is free to choose.
    world
        .put_with(&ingestor, &world.stranger, "b.txt", "More.", &["admin"])
        .await
        .unwrap();
}

#[tokio::test]
async fn what_ended_a_month_ago_is_forgotten_by_the_next_upload_of_the_tenant() {
    let world = World::new().await;
    let old = world
        .put(&world.admin, "a.md", "Words.", &["admin"])
        .await
        .unwrap();
    let other = world
        .put(&world.stranger, "a.md", "Words.", &["admin"])
        .await
        .unwrap();
    sqlx::query("UPDATE tenancy.kb_ingestions SET updated_at = now() - interval '31 days'")
        .execute(&world.superuser().await)
        .await
        .unwrap();
    let new = world
        .put(&world.admin, "b.md", "Words.", &["admin"])
        .await
        .unwrap();
    let ingestor = world.ingestor();
    let gone = ingestor.get(&world.admin, old.ingestion).await.unwrap_err();
    assert_eq!(gone.code(), "ingestion_unknown");
    assert!(ingestor.get(&world.admin, new.ingestion).await.is_ok());
    assert!(ingestor.get(&world.stranger, other.ingestion).await.is_ok());
    assert!(
        world
            .documents()
            .get(&world.admin, old.doc)
            .await
            .unwrap()
            .is_some()
    );
}

fn long_text(paragraphs: std::ops::Range<usize>, instead: Option<(usize, &str)>) -> String {
    let paragraph = |n: usize| match instead {
        Some((at, text)) if at == n => format!("{text}\n\n"),
        _ => format!(
            "Paragraph {n} tells of {}.\n\n",
            format!("item{n} and thing{} ", n * 7).repeat(12)
        ),
    };
    paragraphs.map(paragraph).collect()
}
