//! What every [`AuditStore`] has to do. Panics where one does not.

pub use super::{
    seal_conformance::{seal_anchor, seal_signer},
    stream_conformance::stream_target,
};

use std::{collections::HashSet, sync::Arc};

use tenancy_core::{AuditSink as _, Event, Outcome, Target, TenantCtx, TenantDb};

use crate::{
    ActionFilter, ActorFilter, AuditQuery, AuditStore, AuditWriter, CountBy, Entry, ErrorKind,
    Filter, Mark, Order, ResourceFilter, SearchText,
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
    super::key_conformance::writes_once(&*store, &writer, db, &a, &b).await?;
    filters(
        &*store,
        &writer,
        db,
        &tenancy_core::testing::tenant(db).await?,
    )
    .await?;
    pages(&*store, &writer, &tenancy_core::testing::tenant(db).await?).await?;
    counts(&*store, &writer, &tenancy_core::testing::tenant(db).await?).await?;
    follows(&*store, &writer, db, &a).await
}

pub(super) async fn all(
    store: &dyn AuditStore,
    ctx: &TenantCtx,
) -> Result<Vec<Entry>, crate::Error> {
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
    filters_without_an_index(store, owner).await
}

/// In what [`filters`] has recorded.
async fn filters_without_an_index(
    store: &dyn AuditStore,
    owner: &TenantCtx,
) -> Result<(), crate::Error> {
    let query = AuditQuery::new;
    for (name, query, expected) in [
        (
            "text",
            query().with_text(SearchText::parse("SUITE.MADE")?),
            2,
        ),
        ("ip", query().with_ip("0.0.0.0/0".parse()?), 0),
        (
            "exception",
            query().without(Filter::Outcome(Outcome::Allowed)),
            1,
        ),
        (
            "exception by prefix",
            query().without(Filter::Action(ActionFilter::prefix("suite.")?)),
            1,
        ),
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
            assert!(page.entries.len() <= 7, "a page is longer than asked for");
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

async fn counts(
    store: &dyn AuditStore,
    writer: &AuditWriter,
    ctx: &TenantCtx,
) -> Result<(), crate::Error> {
    for at in 0..3 {
        let action = if at == 0 { "suite.rare" } else { "suite.often" };
        writer.record(ctx, Event::new(action)).await?;
    }
    let query = AuditQuery::new();
    for (most, counted, more) in [(2, 2, true), (3, 3, false), (4, 3, false)] {
        let counts = store.count(ctx, &query, CountBy::Total, most).await?;
        assert_eq!(
            (counts.counted, counts.more),
            (counted, more),
            "counts up to {most}"
        );
    }
    let counts = store.count(ctx, &query, CountBy::Action, 100).await?;
    let expected = [("suite.often".to_owned(), 2), ("suite.rare".to_owned(), 1)];
    assert_eq!(counts.groups, expected, "the largest group first");
    Ok(())
}

async fn follows(
    store: &dyn AuditStore,
    writer: &AuditWriter,
    db: &TenantDb,
    ctx: &TenantCtx,
) -> Result<(), crate::Error> {
    let mut mark = store.mark(ctx).await?;
    let mut early = db.write(ctx).await?;
    writer
        .record_in(&mut early, Event::new("suite.early"))
        .await?;
    let mut recorded = Vec::new();
    for _ in 0..5 {
        let record = writer.prepare(ctx, Event::new("suite.followed")).await?;
        store.append(ctx, std::slice::from_ref(&record)).await?;
        recorded.push(record.id);
    }
    let (mut came, mut looks) = (Vec::new(), 0);
    loop {
        let some = store.follow(ctx, &mark, 2).await?;
        assert!(some.entries.len() <= 2, "more than was asked for");
        mark = some.mark;
        came.extend(some.entries.iter().map(|entry| entry.id));
        looks += 1;
        if !some.more && some.entries.is_empty() {
            break;
        }
    }
    assert!(looks > 2);
    assert_eq!(came, recorded, "each once, in the order they came");
    early.commit().await?;
    let late = store.follow(ctx, &mark, 100).await?;
    let actions: Vec<&str> = late.entries.iter().map(|e| e.action.as_str()).collect();
    assert_eq!(
        actions,
        ["suite.early"],
        "what was committed late is missed"
    );
    let refused = store.follow(ctx, &Mark::new("no mark"), 1).await;
    assert!(refused.is_err_and(|error| error.kind() == ErrorKind::Cursor));
    Ok(())
}
