//! What every `AuditSink` has to do, run on every sink of this crate.

use std::{future::Future, pin::Pin, sync::Arc};

use crate::support::House;
use serde_json::Value;
use tenancy_audit::{AuditWriter, BufferOptions, BufferedAudit, testing::MemoryAuditStore};
use tenancy_core::{
    AuditSink, Error, ErrorKind, Event, Outcome, Principal, RequestId, Target, TenantCtx, TenantDb,
    UserId,
};

/// An entry as the suite wants to see it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) action: String,
    pub(crate) outcome: Outcome,
    pub(crate) actor_kind: String,
    pub(crate) actor_id: String,
    pub(crate) on_behalf_of: Option<UserId>,
    pub(crate) request: Option<RequestId>,
    pub(crate) targets: Vec<Target>,
    pub(crate) meta: Value,
}

pub(crate) type Reading = Pin<Box<dyn Future<Output = Vec<Seen>> + Send>>;
/// Reads the entries of a context's tenant, oldest first.
pub(crate) type Reader = Arc<dyn Fn(TenantCtx) -> Reading + Send + Sync>;

/// The suite. `read` must see what `record` has returned for.
pub(crate) async fn audit_sink(
    sink: Arc<dyn AuditSink>,
    read: Reader,
    db: &TenantDb,
) -> Result<(), Error> {
    signs_with_the_context(&*sink, &read, db).await?;
    keeps_tenants_apart(&*sink, &read, db).await?;
    follows_the_callers_transaction(&*sink, &read, db).await?;
    records_aside_of_an_open_transaction(&*sink, &read, db).await?;
    refuses_bad_events_and_goes_on(&*sink, &read, db).await?;
    takes_many_at_once(&sink, &read, db).await
}

async fn fresh(db: &TenantDb) -> Result<TenantCtx, Error> {
    tenancy_core::testing::tenant(db).await
}

async fn signs_with_the_context(
    sink: &dyn AuditSink,
    read: &Reader,
    db: &TenantDb,
) -> Result<(), Error> {
    let owner = fresh(db).await?;
    let member = tenancy_core::testing::member(db, &owner).await?;
    let mut principal = Principal::user(owner.user().unwrap());
    principal.on_behalf_of = member.user();
    let impersonating = db.enter_as(owner.tenant(), principal).await?;
    let event = Event::new("suite.signed")
        .outcome(Outcome::Denied)
        .target("a", 1)
        .target("b", 2);
    sink.record(&impersonating, event.meta("n", 1)).await?;
    let seen = read(owner.clone()).await;
    let [entry] = &seen[..] else {
        panic!("one entry: {seen:?}")
    };
    assert_eq!(entry.action, "suite.signed");
    assert_eq!(entry.outcome, Outcome::Denied);
    assert_eq!(
        (entry.actor_kind.as_str(), &entry.actor_id),
        ("user", &owner.user().unwrap().to_string())
    );
    assert_eq!(entry.on_behalf_of, member.user());
    assert_eq!(entry.request, Some(impersonating.request_id()));
    assert_eq!(entry.targets, [Target::new("a", 1), Target::new("b", 2)]);
    assert_eq!(entry.meta["n"], 1);
    Ok(())
}

async fn keeps_tenants_apart(
    sink: &dyn AuditSink,
    read: &Reader,
    db: &TenantDb,
) -> Result<(), Error> {
    let (a, b) = (fresh(db).await?, fresh(db).await?);
    sink.record(&a, Event::new("suite.private")).await?;
    assert_eq!((read(a).await.len(), read(b).await.len()), (1, 0));
    Ok(())
}

async fn follows_the_callers_transaction(
    sink: &dyn AuditSink,
    read: &Reader,
    db: &TenantDb,
) -> Result<(), Error> {
    let ctx = fresh(db).await?;
    for commits in [false, true] {
        let mut tx = db.write(&ctx).await?;
        for at in 0..3 {
            sink.record_in(&mut tx, Event::new("suite.joined").meta("at", at))
                .await?;
        }
        assert_eq!(
            read(ctx.clone()).await.len(),
            0,
            "visible before the commit"
        );
        if commits {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
    }
    let order: Vec<_> = read(ctx)
        .await
        .iter()
        .map(|entry| entry.meta["at"].clone())
        .collect();
    assert_eq!(
        order,
        [0, 1, 2],
        "entries of one transaction keep their order"
    );
    Ok(())
}

async fn records_aside_of_an_open_transaction(
    sink: &dyn AuditSink,
    read: &Reader,
    db: &TenantDb,
) -> Result<(), Error> {
    let ctx = fresh(db).await?;
    let mut tx = db.write(&ctx).await?;
    sink.record_in(&mut tx, Event::new("suite.undone")).await?;
    sink.record(&ctx, Event::new("suite.denied")).await?;
    tx.rollback().await?;
    let seen = read(ctx).await;
    assert_eq!(
        seen.iter()
            .map(|entry| entry.action.as_str())
            .collect::<Vec<_>>(),
        ["suite.denied"]
    );
    Ok(())
}

async fn refuses_bad_events_and_goes_on(
    sink: &dyn AuditSink,
    read: &Reader,
    db: &TenantDb,
) -> Result<(), Error> {
    let ctx = fresh(db).await?;
    let mut tx = db.write(&ctx).await?;
    for bad in ["", "one", "Upper.Case", "a.b c", "a.\0b", &"a.".repeat(200)] {
        let refused = sink.record_in(&mut tx, Event::new(bad)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{bad}");
        let refused = sink.record(&ctx, Event::new(bad)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{bad}");
    }
    let hostile = Event::new("suite.hostile")
        .target("a", "x\0y")
        .meta("k", "\u{202e}\0'; --");
    sink.record_in(&mut tx, hostile).await?;
    tx.commit().await?;
    assert_eq!(read(ctx).await.len(), 1);
    Ok(())
}

async fn takes_many_at_once(
    sink: &Arc<dyn AuditSink>,
    read: &Reader,
    db: &TenantDb,
) -> Result<(), Error> {
    let ctx = fresh(db).await?;
    let one = |at: i32| {
        let (sink, ctx) = (sink.clone(), ctx.clone());
        tokio::spawn(async move {
            sink.record(&ctx, Event::new("suite.many").meta("at", at))
                .await
        })
    };
    let tasks: Vec<_> = (0..40).map(one).collect();
    for task in tasks {
        task.await.unwrap()?;
    }
    assert_eq!(read(ctx).await.len(), 40);
    Ok(())
}

fn seen(entry: &tenancy_audit::Entry) -> Seen {
    Seen {
        action: entry.action.clone(),
        outcome: entry.outcome,
        actor_kind: entry.actor.kind.clone(),
        actor_id: entry.actor.id.clone(),
        on_behalf_of: entry.actor.on_behalf_of,
        request: entry.request,
        targets: entry.targets.clone(),
        meta: Value::Object(entry.meta.clone()),
    }
}

fn reader(
    house: &Arc<House>,
    before: impl Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static,
) -> Reader {
    let (house, before) = (house.clone(), Arc::new(before));
    Arc::new(move |ctx| {
        let (house, before) = (house.clone(), before.clone());
        Box::pin(async move {
            before().await;
            house.entries(&ctx).await.iter().rev().map(seen).collect()
        })
    })
}

#[tokio::test]
async fn the_log_on_postgres_is_a_sink() {
    let house = Arc::new(House::new().await);
    let read = reader(&house, || Box::pin(async {}));
    audit_sink(Arc::new(house.audit.clone()), read, &house.db.app)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_buffered_log_is_a_sink_once_it_is_flushed() {
    let house = Arc::new(House::new().await);
    let buffered = BufferedAudit::new(house.audit.writer().clone(), BufferOptions::default());
    let flushing = buffered.clone();
    let read = reader(&house, move || {
        let flushing = flushing.clone();
        Box::pin(async move {
            flushing.flush().await.unwrap();
        })
    });
    audit_sink(Arc::new(buffered), read, &house.db.app)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_writer_in_memory_is_a_sink() {
    let house = House::new().await;
    let store = MemoryAuditStore::new();
    let kept = store.clone();
    let read: Reader = Arc::new(move |ctx| {
        let kept = kept.clone();
        Box::pin(async move {
            kept.entries()
                .iter()
                .filter(|e| e.tenant == ctx.tenant())
                .map(seen)
                .collect()
        })
    });
    audit_sink(
        Arc::new(AuditWriter::new(Arc::new(store))),
        read,
        &house.db.app,
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn stores_conform() {
    let house = House::new().await;
    tenancy_audit::testing::conformance::audit_store(Arc::new(house.store()), &house.db.app).await;
    let memory = Arc::new(MemoryAuditStore::new());
    tenancy_audit::testing::conformance::audit_store(memory, &house.db.app).await;
}
