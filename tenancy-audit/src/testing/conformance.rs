//! What every [`AuditStore`] has to do. Panics where one does not.

pub use super::seal_conformance::{seal_anchor, seal_signer};

use std::{collections::HashSet, sync::Arc};

use tenancy_core::{AuditSink as _, Event, Outcome, Target, TenantCtx, TenantDb};

use crate::{
    ActionFilter, ActorFilter, AuditQuery, AuditStore, AuditWriter, Entry, ErrorKind, Order,
    ResourceFilter,
};

/// Runs the suite in two fresh tenants of a migrated database.
///
/// # Panics
/// With what the store does wrong.
#[expect(clippy::panic, reason = "a suite says what is wrong by panicking")]
pub async fn audit_store(store: Arc<dyn AuditStore>, db: &TenantDb) {
    if let Err(error) = run(store, db).await {
        panic!(
            "the store failed where it should not: {error} ({})",
            error.code()
        );
    }
}

async fn run(store: Arc<dyn AuditStore>, db: &TenantDb) -> Result<(), crate::Error> {
    let (a, b) = (
        tenancy_core::testing::tenant(db).await?,
        tenancy_core::testing::tenant(db).await?,
    );
    let writer = AuditWriter::new(store.clone());
    keeps_word_for_word(&*store, &writer, &a).await?;
    keeps_tenants_apart(&*store, &writer, &a, &b).await?;
    refuses_a_second_time_and_a_foreign_name(&*store, &writer, &a, &b).await?;
    follows_the_transaction(&*store, &writer, db, &b).await?;
    filters(
        &*store,
        &writer,
        db,
        &tenancy_core::testing::tenant(db).await?,
    )
    .await?;
    pages(&*store, &writer, &tenancy_core::testing::tenant(db).await?).await
}

async fn all(store: &dyn AuditStore, ctx: &TenantCtx) -> Result<Vec<Entry>, crate::Error> {
    Ok(store
        .search(ctx, &AuditQuery::new().with_limit(1_000))
        .await?
        .entries)
}

async fn keeps_word_for_word(
    store: &dyn AuditStore,
    writer: &AuditWriter,
    ctx: &TenantCtx,
) -> Result<(), crate::Error> {
    let mut event = Event::new("suite.kept")
        .target("thing", "a b ☃")
        .target("thing", 2);
    event = event
        .outcome(Outcome::Error)
        .meta("n", 0.1 + 0.2)
        .meta("big", 1e300)
        .meta("z", -0.0);
    event.origin.ip = Some("2001:db8::1".to_owned());
    let record = writer.prepare(ctx, event).await?;
    store.append(ctx, std::slice::from_ref(&record)).await?;
    let kept = store.get(ctx, record.id).await?;
    assert!(
        kept.as_ref()
            .is_some_and(|entry| entry.verify().is_intact()),
        "verifies: {kept:?}"
    );
    assert!(
        kept.is_some_and(|entry| entry.content_hash == record.content_hash
            && entry.targets == record.targets
            && entry.origin() == record.origin())
    );
    Ok(())
}

async fn keeps_tenants_apart(
    store: &dyn AuditStore,
    writer: &AuditWriter,
    a: &TenantCtx,
    b: &TenantCtx,
) -> Result<(), crate::Error> {
    let record = writer.prepare(a, Event::new("suite.private")).await?;
    store.append(a, std::slice::from_ref(&record)).await?;
    assert!(
        store.get(b, record.id).await?.is_none(),
        "another tenant gets an entry"
    );
    assert!(
        all(store, b).await?.is_empty(),
        "another tenant finds entries"
    );
    Ok(())
}

async fn refuses_a_second_time_and_a_foreign_name(
    store: &dyn AuditStore,
    writer: &AuditWriter,
    a: &TenantCtx,
    b: &TenantCtx,
) -> Result<(), crate::Error> {
    let first = writer.prepare(a, Event::new("suite.twice")).await?;
    let fresh = writer.prepare(a, Event::new("suite.twice")).await?;
    store.append(a, std::slice::from_ref(&first)).await?;
    let again = store.append(a, &[fresh.clone(), first]).await;
    assert!(
        again.is_err_and(|error| error.kind() == ErrorKind::Conflict),
        "stores an id twice"
    );
    assert!(
        store.get(a, fresh.id).await?.is_none(),
        "stores a part of a refused batch"
    );
    assert!(
        store.append(b, &[fresh]).await.is_err(),
        "stores another tenant's entry"
    );
    Ok(())
}

async fn follows_the_transaction(
    store: &dyn AuditStore,
    writer: &AuditWriter,
    db: &TenantDb,
    ctx: &TenantCtx,
) -> Result<(), crate::Error> {
    for commits in [false, true] {
        let mut tx = db.write(ctx).await?;
        let events = (0..3)
            .map(|at| Event::new("suite.joined").meta("at", at))
            .collect();
        writer.record_batch_in(&mut tx, events).await?;
        if commits {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        assert_eq!(all(store, ctx).await?.len(), if commits { 3 } else { 0 });
    }
    Ok(())
}

async fn filters(
    store: &dyn AuditStore,
    writer: &AuditWriter,
    db: &TenantDb,
    owner: &TenantCtx,
) -> Result<(), crate::Error> {
    let member = tenancy_core::testing::member(db, owner).await?;
    let thing = Target::new("thing", 1);
    writer
        .record(owner, Event::new("suite.made").target("thing", 1))
        .await?;
    writer
        .record(
            owner,
            Event::new("suite.made.again")
                .target("other", 1)
                .target("thing", 1),
        )
        .await?;
    writer
        .record(&member, Event::new("suites.made").outcome(Outcome::Denied))
        .await?;
    let mut by_member = AuditQuery::new();
    by_member.actor = member.user().map(ActorFilter::User);
    let query = AuditQuery::new;
    for (name, query, expected) in [
        ("everything", query(), 3),
        ("actor", by_member, 1),
        (
            "action",
            query().with_action(ActionFilter::exact("suite.made")?),
            1,
        ),
        (
            "prefix",
            query().with_action(ActionFilter::prefix("suite.")?),
            2,
        ),
        (
            "resource",
            query().with_resource(ResourceFilter::Exact(thing.clone())),
            1,
        ),
        (
            "kind",
            query().with_resource(ResourceFilter::Kind("other".to_owned())),
            1,
        ),
        ("target", query().with_target(thing), 2),
        ("outcome", query().with_outcome(Outcome::Denied), 1),
        ("request", query().with_request(owner.request_id()), 2),
    ] {
        let found = store.search(owner, &query).await?.entries.len();
        assert_eq!(found, expected, "the filter by {name} finds {found}");
    }
    Ok(())
}

async fn pages(
    store: &dyn AuditStore,
    writer: &AuditWriter,
    ctx: &TenantCtx,
) -> Result<(), crate::Error> {
    for at in 0..25 {
        writer
            .record(ctx, Event::new("suite.paged").meta("at", at))
            .await?;
    }
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut query = AuditQuery::new().with_limit(7).with_order(order);
        let mut seen = Vec::new();
        loop {
            let page = store.search(ctx, &query).await?;
            seen.extend(page.entries.iter().map(|entry| entry.id));
            // What is recorded meanwhile moves no page.
            writer.record(ctx, Event::new("suite.paged")).await?;
            let Some(next) = page.next.filter(|_| seen.len() < 100) else {
                break;
            };
            query.after = Some(next);
        }
        let distinct: HashSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "an entry is on two pages");
        assert!(seen.len() >= 25, "an entry is on no page");
        let sorted = match order {
            Order::NewestFirst => seen.is_sorted_by(|x, y| x > y),
            Order::OldestFirst => seen.is_sorted(),
        };
        assert!(sorted, "pages are out of order");
    }
    Ok(())
}
