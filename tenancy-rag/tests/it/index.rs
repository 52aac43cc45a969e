use sqlx::Executor as _;
use tenancy_core::migrate::{CORE, Component};
use tenancy_rag::{
    COMPONENT, GLOBAL_HNSW, IndexOptions, IndexScope, PathPolicy, RetrieveOptions, SearchPath,
    build_tenant_index, drop_tenant_index, index_candidates, index_health,
};

use crate::{
    common::{World, role},
    retrieve::{fill, word},
};

#[tokio::test]
async fn a_tenants_index_is_built_found_healthy_and_used() {
    let world = World::new().await;
    fill(&world, &world.admin, 300).await;
    world
        .put(&world.stranger, "a.txt", "Something else.", &["admin"])
        .await
        .unwrap();
    assert_eq!(index_health(&world.db.operator).await.unwrap(), []);
    let tenant = world.admin.tenant();
    let large = index_candidates(&world.db.operator, 100).await.unwrap();
    assert_eq!(
        large.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>(),
        [tenant]
    );

    let options = IndexOptions::default().with_memory_mb(64);
    let built = build_tenant_index(&world.db.operator, tenant, &options)
        .await
        .unwrap();
    assert!(built.valid && built.ready && built.bytes > 0, "{built:?}");
    assert_eq!(built.scope, IndexScope::Tenant(tenant));
    assert_eq!(index_candidates(&world.db.operator, 100).await.unwrap(), []);
    let again = build_tenant_index(&world.db.operator, tenant, &options)
        .await
        .unwrap();
    assert_eq!(again.name, built.name);

    let policy = PathPolicy::default()
        .with_exact_up_to(10)
        .with_hnsw_from(100);
    let retriever = world.retriever().with_policy(policy);
    let query = format!("the item called {}", word(77));
    let found = retriever
        .retrieve(&world.admin, &query, RetrieveOptions::default())
        .await
        .unwrap();
    assert_eq!((found.path, found.hits.len()), (SearchPath::Hnsw, 10));
    let exact = RetrieveOptions::default().with_path(SearchPath::Exact);
    let truth = retriever
        .retrieve(&world.admin, &query, exact)
        .await
        .unwrap();
    assert_eq!(truth.path, SearchPath::Exact);
    assert_eq!(found.hits[0].chunk, truth.hits[0].chunk);
    assert!(
        plan(&world).await.contains(&built.name),
        "{}",
        plan(&world).await
    );

    // The other tenant has none: nothing changes for it.
    let other = retriever
        .retrieve(&world.stranger, "something", RetrieveOptions::default())
        .await
        .unwrap();
    assert_eq!(other.path, SearchPath::Exact);
    drop_tenant_index(&world.db.operator, tenant).await.unwrap();
    assert_eq!(index_health(&world.db.operator).await.unwrap(), []);
}

/// How the planner would run the search by HNSW, as the retriever runs it.
async fn plan(world: &World) -> String {
    let mut tx = world.db.app.read(&world.admin).await.unwrap();
    tx.bind_roles(&[role("admin")]).await.unwrap();
    sqlx::query(include_str!("../../src/postgres/sql/hnsw_settings.sql"))
        .bind(world.admin.tenant())
        .bind("400")
        .execute(&mut *tx)
        .await
        .unwrap();
    let sql = format!(
        "EXPLAIN {}",
        include_str!("../../src/postgres/sql/search_hnsw.sql")
    );
    let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(world.admin.tenant())
        .bind(1)
        .bind(vec!["admin"])
        .bind(pgvector::Vector::from(vec![0.5; 1536]))
        .bind(None::<tenancy_rag::SourceId>)
        .bind(10_i64)
        .bind(40_i64)
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    rows.join("\n")
}

#[tokio::test]
async fn a_graph_never_serves_a_role_that_sees_little() {
    let world = World::new().await;
    fill(&world, &world.admin, 200).await;
    world
        .put(
            &world.admin,
            "faq.md",
            "Support answers within a day.",
            &["support"],
        )
        .await
        .unwrap();
    build_tenant_index(
        &world.db.operator,
        world.admin.tenant(),
        &IndexOptions::default(),
    )
    .await
    .unwrap();
    let policy = PathPolicy::default()
        .with_exact_up_to(10)
        .with_hnsw_from(100);
    let support = world.member(&["support"]).await;
    let found = world
        .retriever()
        .with_policy(policy)
        .retrieve(&support, "an item", RetrieveOptions::default())
        .await
        .unwrap();
    assert_eq!(found.path, SearchPath::Bits);
    assert_eq!(found.hits.len(), 1, "one that is far is found all the same");
    // Even when it is asked for, the graph gives nothing that the role may not see.
    let forced = RetrieveOptions::default()
        .with_path(SearchPath::Hnsw)
        .with_k(100);
    let found = world
        .retriever()
        .retrieve(&support, "an item", forced)
        .await
        .unwrap();
    assert!(found.hits.iter().all(|hit| hit.citation.uri == "faq.md"));
}

#[tokio::test]
async fn an_index_that_is_not_there_is_not_asked() {
    let world = World::new().await;
    fill(&world, &world.admin, 20).await;
    let forced = RetrieveOptions::default().with_path(SearchPath::Hnsw);
    let error = world
        .retriever()
        .retrieve(&world.admin, "an item", forced)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "index_missing");
}

#[tokio::test]
async fn the_remainder_of_a_broken_build_is_seen_and_replaced() {
    let world = World::new().await;
    fill(&world, &world.admin, 30).await;
    let tenant = world.admin.tenant();
    let built = build_tenant_index(&world.db.operator, tenant, &IndexOptions::default())
        .await
        .unwrap();
    let plant = format!(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'tenancy.{}'::regclass",
        built.name
    );
    world
        .superuser()
        .await
        .execute(sqlx::AssertSqlSafe(plant))
        .await
        .unwrap();
    assert!(!index_health(&world.db.operator).await.unwrap()[0].valid);
    let rebuilt = build_tenant_index(&world.db.operator, tenant, &IndexOptions::default())
        .await
        .unwrap();
    assert!(rebuilt.valid);
}

#[tokio::test]
async fn the_global_index_is_a_set_of_its_own_and_is_never_chosen() {
    static WITH_GLOBAL: &[&Component] = &[&CORE, &COMPONENT, &GLOBAL_HNSW];
    let world = World::with(WITH_GLOBAL).await;
    fill(&world, &world.admin, 100).await;
    let health = index_health(&world.db.operator).await.unwrap();
    assert_eq!(
        (health.len(), health[0].scope, health[0].valid),
        (1, IndexScope::Global, true)
    );
    let policy = PathPolicy::default()
        .with_exact_up_to(10)
        .with_hnsw_from(20);
    let retriever = world.retriever().with_policy(policy);
    let found = retriever
        .retrieve(&world.admin, "an item", RetrieveOptions::default())
        .await
        .unwrap();
    assert_eq!(found.path, SearchPath::Bits);
    let forced = RetrieveOptions::default().with_path(SearchPath::Hnsw);
    assert_eq!(
        retriever
            .retrieve(&world.admin, "an item", forced)
            .await
            .unwrap()
            .hits
            .len(),
        10
    );
}
