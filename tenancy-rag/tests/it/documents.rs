use tenancy_rag::{DocId, ErrorKind, RetrieveOptions};

use crate::common::{World, role};

#[tokio::test]
async fn new_readers_hold_in_the_next_search_without_a_single_embedding() {
    let world = World::new().await;
    let done = world
        .put(&world.admin, "a.md", "Words for some.", &["admin"])
        .await
        .unwrap();
    world.embedder.taken();
    let support = world.member(&["support"]).await;
    let retriever = world.retriever();
    let hits = || async {
        retriever
            .retrieve(&support, "words", RetrieveOptions::default())
            .await
            .unwrap()
            .hits
            .len()
    };
    assert_eq!(hits().await, 0);
    world
        .documents()
        .set_roles(&world.admin, done.doc, [role("support")])
        .await
        .unwrap();
    assert_eq!(hits().await, 1);
    world
        .documents()
        .set_roles(&world.admin, done.doc, [role("admin")])
        .await
        .unwrap();
    assert_eq!(hits().await, 0);
    assert_eq!(world.embedder.taken(), 0);
    let same: bool = sqlx::query_scalar(
        "SELECT bool_and(d.allowed_roles = c.allowed_roles AND d.allowed_roles = v.allowed_roles)
         FROM tenancy.kb_docs d JOIN tenancy.kb_chunks c ON c.doc_id = d.id JOIN tenancy.kb_doc_versions v ON v.doc_id = d.id",
    )
    .fetch_one(&world.superuser().await)
    .await
    .unwrap();
    assert!(same);
    assert_eq!(world.audit.of("kb.document.roles_changed").len(), 2);
}

#[tokio::test]
async fn lists_show_what_the_caller_may_read_page_by_page() {
    let world = World::new().await;
    for n in 0..5 {
        let roles: &[&str] = if n == 3 {
            &["admin"]
        } else {
            &["admin", "support"]
        };
        world
            .put(
                &world.admin,
                &format!("{n}.txt"),
                &format!("Number {n}."),
                roles,
            )
            .await
            .unwrap();
    }
    let support = world.member(&["support"]).await;
    let documents = world.documents();
    let first = documents.list(&support, None, None, 3).await.unwrap();
    let uris: Vec<&str> = first.iter().map(|doc| doc.uri.as_str()).collect();
    assert_eq!(uris, ["0.txt", "1.txt", "2.txt"]);
    let rest = documents
        .list(&support, None, Some(first[2].id), 3)
        .await
        .unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(
        documents
            .list(&world.stranger, None, None, 500)
            .await
            .unwrap()
            .len(),
        0
    );
    assert_eq!(
        documents.sources(&support, None, 10).await.unwrap()[0].name,
        "handbook"
    );
}

#[tokio::test]
async fn unknown_and_foreign_documents_are_not_told_apart() {
    let world = World::new().await;
    let done = world
        .put(&world.admin, "a.md", "Words.", &["admin"])
        .await
        .unwrap();
    let documents = world.documents();
    for doc in [done.doc, DocId::new()] {
        assert!(documents.get(&world.stranger, doc).await.unwrap().is_none());
        let error = documents.delete(&world.stranger, doc).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = documents
            .set_roles(&world.stranger, doc, [role("admin")])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    let error = documents
        .set_roles(&world.admin, done.doc, [])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "roles_missing");
    let support = world.member(&["support"]).await;
    assert_eq!(
        documents
            .delete(&support, done.doc)
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
}
