use tenancy_core::{PermissionKey, ServiceKey};
use tenancy_rag::{ErrorKind, Limits, Quotas};

use crate::common::World;

fn quotas(world: &World) -> Quotas {
    let authorizer = std::sync::Arc::new(world.authorizer.clone());
    let audit = std::sync::Arc::new(world.audit.clone());
    Quotas::new(world.db.app.clone(), authorizer, audit, Limits::default())
}

#[tokio::test]
async fn a_full_quota_refuses_with_a_typed_error_and_leaves_nothing_behind() {
    let world = World::new().await;
    let text = "word ".repeat(100);
    for limits in [
        Limits::default().with_bytes(499),
        Limits::default().with_docs(0),
        Limits::default().with_chunks(0),
    ] {
        let ingestor = world.ingestor().with_quota(limits);
        let error = world
            .put_with(&ingestor, &world.admin, "a.txt", &text, &["admin"])
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Limit, "quota_exceeded"),
            "{limits:?}"
        );
        assert_eq!(world.leftovers(world.admin.tenant()).await, 0, "{limits:?}");
    }
    // The next call works, and the other tenant has a quota of its own.
    let ingestor = world
        .ingestor()
        .with_quota(Limits::default().with_bytes(500));
    world
        .put_with(&ingestor, &world.admin, "a.txt", &text, &["admin"])
        .await
        .unwrap();
    world
        .put_with(&ingestor, &world.stranger, "a.txt", &text, &["admin"])
        .await
        .unwrap();
}

#[tokio::test]
async fn sixteen_uploads_at_once_never_pass_the_quota() {
    let world = World::new().await;
    let source = world.source(&world.admin).await;
    let ingestor = world
        .ingestor()
        .with_quota(Limits::default().with_bytes(5_000));
    let uploads = (0..16).map(|n| {
        let (ingestor, ctx) = (ingestor.clone(), world.admin.clone());
        tokio::spawn(async move {
            let document = crate::common::new(source, &format!("{n}.txt"), &["admin"]);
            let text = format!("{n:04} ").repeat(200);
            let mut bytes = tenancy_rag::MemoryBytes::new(text);
            ingestor.ingest(&ctx, document, &mut bytes, &|_| ()).await
        })
    });
    let results = futures_util::future::join_all(uploads).await;
    let (done, refused): (Vec<_>, Vec<_>) = results
        .into_iter()
        .map(Result::unwrap)
        .partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (5, 11));
    assert!(
        refused
            .into_iter()
            .all(|error| error.unwrap_err().code() == "quota_exceeded")
    );
    let quota = quotas(&world).get(&world.admin).await.unwrap();
    assert_eq!(
        (quota.used.bytes, quota.used.docs, quota.held),
        (5_000, 5, tenancy_rag::Amount::default())
    );
}

#[tokio::test]
async fn replacing_and_removing_a_document_gives_its_room_back() {
    let world = World::new().await;
    let first = world
        .put(&world.admin, "a.txt", &"word ".repeat(400), &["admin"])
        .await
        .unwrap();
    world
        .put(&world.admin, "a.txt", "short", &["admin"])
        .await
        .unwrap();
    let quota = quotas(&world).get(&world.admin).await.unwrap();
    assert_eq!(
        (quota.used.bytes, quota.used.docs, quota.used.chunks),
        (5, 1, 1)
    );
    world
        .documents()
        .delete(&world.admin, first.doc)
        .await
        .unwrap();
    assert_eq!(world.leftovers(world.admin.tenant()).await, 0);
}

#[tokio::test]
async fn an_administrator_of_the_tenant_can_not_raise_his_own_quota() {
    let world = World::new().await;
    let error = quotas(&world)
        .set(&world.admin, Limits::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(world.audit.of("kb.quota.changed").len(), 1);
    // Neither by hand, as the app's role in his context.
    for sql in [
        "UPDATE tenancy.kb_quotas SET limit_docs = 1000000",
        "INSERT INTO tenancy.kb_quotas (tenant_id, limit_docs) VALUES (util.current_tenant(), 1000000)",
    ] {
        let mut tx = world.db.app.write(&world.admin).await.unwrap();
        let refused = sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("42501"), "{sql}");
    }
    let mut tx = world.db.app.write(&world.admin).await.unwrap();
    let answer: String = sqlx::query_scalar("SELECT tenancy.kb_set_limits(1, 1, 1)")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(answer, "not_platform");
    drop(tx);

    let keys = ["kb.manage", "kb.write"].map(PermissionKey::from_static);
    let host = world
        .db
        .app
        .enter_system(
            world.admin.tenant(),
            ServiceKey::from_static("billing"),
            keys.to_vec(),
        )
        .await
        .unwrap();
    quotas(&world)
        .set(&host, Limits::default().with_docs(1))
        .await
        .unwrap();
    world
        .put(&world.admin, "a.txt", "one", &["admin"])
        .await
        .unwrap();
    let error = world
        .put(&world.admin, "b.txt", "two", &["admin"])
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the quota of 1 documents is used up");
    // One that is there can still be replaced.
    world
        .put(&world.admin, "a.txt", "other", &["admin"])
        .await
        .unwrap();
}
