use sqlx::Executor as _;
use tenancy_core::{PermissionKey, ServiceKey, TenantCtx};
use tenancy_rag::{
    DocId, ErrorKind, MemoryBytes, RetrieveOptions, SourceId, SourceName, SplitterChunker,
};

use crate::common::{World, new, role};

const TABLES: [&str; 6] = [
    "kb_docs",
    "kb_doc_versions",
    "kb_chunks",
    "kb_ingestions",
    "kb_uploads",
    "kb_staged",
];

/// SQL that forgets every predicate, inside the context that a search opens.
async fn raw(world: &World, ctx: &TenantCtx, roles: &[&str], table: &str) -> i64 {
    let mut tx = world.db.app.read(ctx).await.unwrap();
    let roles: Vec<_> = roles.iter().map(|name| role(name)).collect();
    tx.bind_roles(&roles).await.unwrap();
    let sql = format!("SELECT count(*) FROM (SELECT * FROM tenancy.{table}) AS everything");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(&mut *tx)
        .await
        .unwrap()
}

/// One document for admins only, with an upload and staged vectors on their way.
async fn secret(world: &World) {
    world
        .put(
            &world.admin,
            "salaries.md",
            "# Salaries\n\nThe secret salary is 4711.",
            &["admin"],
        )
        .await
        .unwrap();
    world
        .put(
            &world.admin,
            "faq.md",
            "# FAQ\n\nSupport answers within a day.",
            &["admin", "support"],
        )
        .await
        .unwrap();
    world
        .put(
            &world.stranger,
            "other.md",
            "The other tenant's salary is 99.",
            &["admin", "support"],
        )
        .await
        .unwrap();
    let superuser = world.superuser().await;
    for sql in [
        "INSERT INTO tenancy.kb_uploads SELECT tenant_id, id, 0, 'salary', allowed_roles FROM tenancy.kb_ingestions",
        "INSERT INTO tenancy.kb_staged SELECT i.tenant_id, i.id, c.content_hash, c.embedding, i.allowed_roles
         FROM tenancy.kb_ingestions i JOIN tenancy.kb_docs d ON d.id = i.doc_id JOIN tenancy.kb_chunks c ON c.doc_id = d.id",
    ] {
        superuser.execute(sql).await.unwrap();
    }
}

#[tokio::test]
async fn a_support_role_never_gets_an_admin_only_chunk_by_the_api_or_by_forgetful_sql() {
    let world = World::new().await;
    secret(&world).await;
    let support = world.member(&["support"]).await;

    let found = world
        .retriever()
        .retrieve(
            &support,
            "the secret salary",
            RetrieveOptions::default().with_k(100),
        )
        .await
        .unwrap();
    assert_eq!(found.hits.len(), 1);
    assert_eq!(found.hits[0].citation.uri, "faq.md");
    let all = world
        .retriever()
        .retrieve(
            &world.admin,
            "the secret salary",
            RetrieveOptions::default(),
        )
        .await
        .unwrap();
    assert_eq!(all.hits.len(), 2);
    assert!(all.hits[0].text.contains("4711"));
    let stolen = world
        .retriever()
        .open_citation(&support, &all.hits[0].citation)
        .await
        .unwrap_err();
    assert_eq!(stolen.code(), "citation_unknown");

    for table in TABLES {
        assert_eq!(
            raw(&world, &support, &["support"], table).await,
            1,
            "support in {table}"
        );
        assert_eq!(
            raw(&world, &support, &["admin"], table).await,
            2,
            "admin in {table}"
        );
        assert_eq!(
            raw(&world, &support, &[], table).await,
            0,
            "nobody in {table}"
        );
    }
}

#[tokio::test]
async fn nothing_of_the_other_tenant_is_seen_whatever_the_roles() {
    let world = World::new().await;
    secret(&world).await;
    let mine = world
        .retriever()
        .retrieve(
            &world.stranger,
            "salary",
            RetrieveOptions::default().with_k(100),
        )
        .await
        .unwrap();
    assert_eq!(mine.hits.len(), 1);
    let theirs = world
        .retriever()
        .retrieve(&world.admin, "salary", RetrieveOptions::default())
        .await
        .unwrap();
    let error = world
        .retriever()
        .open_citation(&world.stranger, &theirs.hits[0].citation)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "citation_unknown");
    let without: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.kb_chunks")
        .fetch_one(world.db.app.without_tenant())
        .await
        .unwrap();
    assert_eq!(without, 0, "without a context");
}

/// Planted fault: with policies that know the tenant only, the same SQL leaks.
#[tokio::test]
async fn without_the_policy_the_leak_appears() {
    let world = World::new().await;
    secret(&world).await;
    let support = world.member(&["support"]).await;
    let superuser = world.superuser().await;
    for table in TABLES {
        assert_eq!(raw(&world, &support, &["support"], table).await, 1);
        let sql = format!(
            "DROP POLICY tenant_select ON tenancy.{table};
             CREATE POLICY tenant_select ON tenancy.{table} FOR SELECT TO tenancy_app USING (tenant_id = util.current_tenant())"
        );
        superuser.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        assert_eq!(
            raw(&world, &support, &["support"], table).await,
            2,
            "{table}"
        );
    }
    // The explicit predicate of our own statements still holds: it is the second check.
    let found = world
        .retriever()
        .retrieve(&support, "the secret salary", RetrieveOptions::default())
        .await
        .unwrap();
    assert_eq!(found.hits.len(), 1);
}

#[tokio::test]
async fn forgetful_updates_and_deletes_reach_only_what_the_roles_may_see() {
    let world = World::new().await;
    secret(&world).await;
    let support = world.member(&["support"]).await;
    for table in [
        "kb_docs",
        "kb_doc_versions",
        "kb_chunks",
        "kb_ingestions",
        "kb_uploads",
        "kb_staged",
    ] {
        let mut tx = world.db.app.write(&support).await.unwrap();
        tx.bind_roles(&[role("support")]).await.unwrap();
        let update = format!("UPDATE tenancy.{table} SET allowed_roles = '{{support}}'");
        let done = sqlx::query(sqlx::AssertSqlSafe(update))
            .execute(&mut *tx)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), 1, "{table}");
        let delete = format!("DELETE FROM tenancy.{table}");
        let done = sqlx::query(sqlx::AssertSqlSafe(delete))
            .execute(&mut *tx)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), 1, "{table}");
    }
}

#[tokio::test]
async fn a_revoked_role_is_gone_from_the_next_transaction_on() {
    let world = World::new().await;
    secret(&world).await;
    let member = world.member(&["support", "admin"]).await;
    let retriever = world.retriever();
    let hits = || retriever.retrieve(&member, "salary", RetrieveOptions::default());
    assert_eq!(hits().await.unwrap().hits.len(), 2);
    world.authorizer.set_roles(&member, vec![role("support")]);
    assert_eq!(hits().await.unwrap().hits.len(), 1);
    world.authorizer.set_roles(&member, vec![]);
    assert_eq!(hits().await.unwrap().hits.len(), 0);
}

#[tokio::test]
async fn a_search_needs_its_permission_and_leaves_an_entry_without_the_question() {
    let world = World::new().await;
    secret(&world).await;
    let support = world.member(&["support"]).await;
    world
        .retriever()
        .retrieve(&support, "how fast is support?", RetrieveOptions::default())
        .await
        .unwrap();
    let entry = world.audit.of("kb.searched").pop().unwrap();
    assert!(!format!("{:?}", entry.event).contains("how fast"));

    world
        .authorizer
        .revoke(&support, &PermissionKey::from_static("kb.read"));
    let error = world
        .retriever()
        .retrieve(&support, "x", RetrieveOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(world.audit.of("access.denied").len(), 1);
}

#[tokio::test]
async fn a_sources_writers_replace_its_documents_and_nobody_else_does() {
    let world = World::new().await;
    secret(&world).await;
    let support = world.member(&["support"]).await;
    // Not even a reader of a document may change it: its source was made by an admin.
    for uri in ["salaries.md", "faq.md"] {
        let error = world
            .put(&support, uri, "hacked", &["support"])
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Denied, "source_denied")
        );
    }
    assert_eq!(world.audit.of("kb.source.denied").len(), 2);

    let (documents, source) = (world.documents(), world.source(&world.admin).await);
    let error = documents
        .set_writers(&support, source, [role("support")])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    documents
        .set_writers(&world.admin, source, [role("support")])
        .await
        .unwrap();
    assert_eq!(world.audit.of("kb.source.writers_changed").len(), 1);
    world
        .put(&support, "faq.md", "Support answers at once.", &["support"])
        .await
        .unwrap();
    // Nobody but who manages, and the host's services.
    documents
        .set_writers(&world.admin, source, [])
        .await
        .unwrap();
    assert!(
        world
            .put(&support, "faq.md", "x", &["support"])
            .await
            .is_err()
    );
    world
        .put(
            &world.admin,
            "faq.md",
            "Support answers tomorrow.",
            &["support"],
        )
        .await
        .unwrap();
    let missing = documents
        .set_writers(&world.admin, SourceId::new(), [])
        .await
        .unwrap_err();
    assert_eq!(missing.code(), "source_unknown");

    // A service has no roles: its permissions are all it has, and all it needs.
    let keys = vec![
        PermissionKey::from_static("kb.write"),
        PermissionKey::from_static("kb.read"),
    ];
    let service = world
        .db
        .app
        .enter_system(
            world.admin.tenant(),
            ServiceKey::from_static("importer"),
            keys,
        )
        .await
        .unwrap();
    let done = world
        .put(&service, "salaries.md", "The salary is 4712.", &["admin"])
        .await
        .unwrap();
    assert_eq!(done.version, 2);
    let found = world
        .retriever()
        .retrieve(&service, "salary", RetrieveOptions::default())
        .await
        .unwrap();
    assert!(found.hits.is_empty(), "no roles are no rows");
}

#[tokio::test]
async fn the_uploader_follows_his_upload_even_where_he_is_no_reader() {
    let world = World::new().await;
    let support = world.member(&["support"]).await;
    let done = world
        .put(&support, "report.txt", "For the admins' eyes.", &["admin"])
        .await
        .unwrap();
    assert!(world.ingestor().get(&support, done.ingestion).await.is_ok());
    let viewer = world.member(&["viewer"]).await;
    let error = world
        .ingestor()
        .get(&viewer, done.ingestion)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "ingestion_unknown");
    assert!(
        world
            .retriever()
            .retrieve(&support, "eyes", RetrieveOptions::default())
            .await
            .unwrap()
            .hits
            .is_empty()
    );
}

/// What somebody who is refused can see of it: the error, his own audit trail, the tenant's quota,
/// ingestions that he may look up, and how many statements it took.
async fn observed(world: &World, who: &TenantCtx, uri: &str) -> String {
    let source = world.source(&world.admin).await;
    let statements = || async {
        let pool = world.superuser().await;
        // Every statement of the app's login shows up as scans of the tables that it looks at.
        let seen: String = sqlx::query_scalar(
            "SELECT coalesce(string_agg(relname || ' ' || n_tup_ins || ' ' || n_tup_upd || ' ' || n_tup_del, ',' ORDER BY relname), '')
             FROM pg_stat_user_tables WHERE relname LIKE 'kb_%'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        seen
    };
    let rows = || async {
        let mut tx = world.db.app.read(who).await.unwrap();
        let roles = [role("support")];
        tx.bind_roles(&roles).await.unwrap();
        let counted: (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM tenancy.kb_ingestions), (SELECT count(*) FROM tenancy.kb_docs),
                (SELECT sum(used_docs + used_bytes + used_chunks + held_docs + held_bytes + held_chunks)::bigint FROM tenancy.kb_quotas)",
        )
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        counted
    };
    let (before, rows_before, calls) = (statements().await, rows().await, world.embedder.calls());
    let entries = world.audit.entries().len();
    let document = new(source, uri, &["support", "admin"]);
    let mut bytes = MemoryBytes::new("The secret salary is 4711.");
    let heard = std::sync::Mutex::new(Vec::new());
    let error = world
        .ingestor()
        .ingest(who, document, &mut bytes, &|progress| {
            heard.lock().unwrap().push(format!("{progress:?}"));
        })
        .await
        .unwrap_err();
    let recorded: Vec<_> = world.audit.entries()[entries..]
        .iter()
        .map(|entry| format!("{:?}", entry.event))
        .collect();
    let (after, rows_after) = (statements().await, rows().await);
    format!(
        "{:?} {} {error} {:?}; heard {:?}; recorded {recorded:?}; written {}; rows {}; embedded {}",
        error.kind(),
        error.code(),
        error.retry(),
        heard.into_inner().unwrap(),
        before == after,
        rows_before == rows_after,
        world.embedder.calls() - calls,
    )
}

#[tokio::test]
async fn to_who_may_not_write_a_hidden_document_and_none_are_the_same() {
    let world = World::new().await;
    secret(&world).await;
    let support = world.member(&["support"]).await;
    let hidden = observed(&world, &support, "salaries.md").await;
    let absent = observed(&world, &support, "nothing.md").await;
    assert_eq!(hidden, absent);
    assert!(hidden.contains("source_denied"), "{hidden}");
    let readable = observed(&world, &support, "faq.md").await;
    assert_eq!(readable, absent, "not even one that he may read differs");
}

#[tokio::test]
async fn by_its_id_a_hidden_document_and_none_are_the_same_too() {
    let world = World::new().await;
    secret(&world).await;
    let support = world.member(&["support"]).await;
    let documents = world.documents();
    let of = |uri: &'static str| {
        let all = documents.list(&world.admin, None, None, 10);
        async move {
            all.await
                .unwrap()
                .into_iter()
                .find(|it| it.uri == uri)
                .unwrap()
                .id
        }
    };
    let shape = |doc: DocId| {
        let (documents, support, world) = (&documents, &support, &world);
        async move {
            let before = world.audit.entries().len();
            let deleted = documents.delete(support, doc).await.unwrap_err();
            let changed = documents
                .set_roles(support, doc, [role("support")])
                .await
                .unwrap_err();
            let entries: Vec<_> = world.audit.entries()[before..]
                .iter()
                .map(|entry| (entry.event.action.clone(), entry.event.meta.clone()))
                .collect();
            format!(
                "{} {deleted} {} {changed} {entries:?}",
                deleted.code(),
                changed.code()
            )
        }
    };
    let (hidden, absent) = (
        shape(of("salaries.md").await).await,
        shape(DocId::new()).await,
    );
    assert_eq!(hidden, absent);
    assert!(hidden.starts_with("document_unknown"), "{hidden}");
    let readable = shape(of("faq.md").await).await;
    assert!(readable.starts_with("document_denied"), "{readable}");
}

/// An upload that asks for fewer vectors because a hidden chunk has the same text would tell its
/// uploader what that chunk says.
#[tokio::test]
async fn an_upload_never_tells_whether_a_hidden_chunk_says_the_same() {
    let world = World::new().await;
    secret(&world).await;
    let support = world.member(&["support"]).await;
    let ingestor = world
        .ingestor()
        .with_chunker(std::sync::Arc::new(SplitterChunker::new(40)));
    let source = ingestor
        .source(&support, &SourceName::parse("guesses").unwrap())
        .await
        .unwrap();
    let mut seen = Vec::new();
    for (uri, guess) in [
        ("a.md", "# Salaries\n\nThe secret salary is 4711."),
        ("b.md", "# Salaries\n\nThe secret salary is 4712."),
    ] {
        world.embedder.taken();
        // Only admins may read what he brings: that is how he would get at their chunks.
        let mut bytes = MemoryBytes::new(guess);
        let done = ingestor
            .ingest(&support, new(source, uri, &["admin"]), &mut bytes, &|_| ())
            .await
            .unwrap();
        seen.push((done.embedded, world.embedder.taken(), done.chunks));
    }
    assert_eq!(seen[0].0, seen[1].0, "{seen:?}");
    assert_eq!(seen[0].1, seen[1].1, "{seen:?}");
}
