//! The suite of [`AuditSink`].

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::unusable;
use crate::{
    AuditSink, Error, ErrorKind, Event, Kept, Outcome, RequestId, Target, TenantCtx, TenantDb,
    UserId, testing,
};

/// An entry as the suite wants to see it.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a test fills it")]
pub struct SeenEntry {
    /// What happened.
    pub action: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The kind of who did it.
    pub actor_kind: String,
    /// Who did it.
    pub actor_id: String,
    /// For whom.
    pub on_behalf_of: Option<UserId>,
    /// In which request.
    pub request: Option<RequestId>,
    /// What it was done to.
    pub targets: Vec<Target>,
    /// The rest.
    pub meta: Map<String, Value>,
}

/// Reads back what a sink recorded.
#[async_trait]
pub trait AuditReader: Send + Sync {
    /// The entries of the context's tenant, oldest first. Everything that `record` has returned for
    /// and that was committed has to be there: a reader of a buffered sink flushes it first.
    async fn entries(&self, ctx: &TenantCtx) -> Result<Vec<SeenEntry>, Error>;
}

/// Runs the suite on a sink whose entries can be read back.
///
/// # Errors
/// What the sink or the database failed with.
///
/// # Panics
/// Where the sink breaks its contract.
pub async fn audit_sink(
    sink: Arc<dyn AuditSink>,
    reader: &dyn AuditReader,
    db: &TenantDb,
) -> Result<(), Error> {
    signs_with_the_context(&*sink, reader, db).await?;
    keeps_tenants_apart(&*sink, reader, db).await?;
    follows_the_callers_transaction(&*sink, reader, db).await?;
    answers_what_it_keeps(&*sink, reader, db).await?;
    records_aside_of_an_open_transaction(&*sink, reader, db).await?;
    refuses_bad_events_and_goes_on(&*sink, reader, db).await?;
    takes_many_at_once(&sink, reader, db).await
}

/// Runs what holds for a sink that keeps nothing: it disturbs nobody.
///
/// # Errors
/// What the sink or the database failed with.
///
/// # Panics
/// Where the sink breaks its contract.
pub async fn silent_audit_sink(sink: Arc<dyn AuditSink>, db: &TenantDb) -> Result<(), Error> {
    let ctx = testing::tenant(db).await?;
    let mut tx = db.write(&ctx).await?;
    let kept = sink.record_in(&mut tx, Event::new("suite.joined")).await?;
    assert_eq!(kept, Kept::Nowhere);
    sink.record(&ctx, Event::new("suite.aside")).await?;
    let alive: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut *tx).await?;
    assert_eq!(alive, 1, "the transaction stays usable");
    tx.commit().await?;
    many(&sink, &ctx).await
}

async fn signs_with_the_context(
    sink: &dyn AuditSink,
    reader: &dyn AuditReader,
    db: &TenantDb,
) -> Result<(), Error> {
    let owner = testing::tenant(db).await?;
    let member = testing::member(db, &owner).await?;
    let (Some(actor), Some(impersonated)) = (owner.user(), member.user()) else {
        return Err(unusable("an owner and a member are users"));
    };
    let impersonating = testing::acting_for(&owner, actor, impersonated);
    let event = Event::new("suite.signed")
        .outcome(Outcome::Denied)
        .target("a", 1)
        .target("b", 2);
    sink.record(&impersonating, event.meta("n", 1)).await?;
    let seen = reader.entries(&owner).await?;
    assert_eq!(seen.len(), 1, "one entry: {seen:?}");
    for entry in seen {
        assert_eq!(entry.action, "suite.signed");
        assert_eq!(entry.outcome, Outcome::Denied);
        let who = (entry.actor_kind.as_str(), entry.actor_id);
        assert_eq!(who, ("user", actor.to_string()));
        assert_eq!(entry.on_behalf_of, Some(impersonated));
        assert_eq!(entry.request, Some(impersonating.request_id()));
        assert_eq!(entry.targets, [Target::new("a", 1), Target::new("b", 2)]);
        assert_eq!(entry.meta.get("n"), Some(&Value::from(1)));
    }
    Ok(())
}

async fn keeps_tenants_apart(
    sink: &dyn AuditSink,
    reader: &dyn AuditReader,
    db: &TenantDb,
) -> Result<(), Error> {
    let (a, b) = (testing::tenant(db).await?, testing::tenant(db).await?);
    sink.record(&a, Event::new("suite.private")).await?;
    assert_eq!(reader.entries(&a).await?.len(), 1);
    assert_eq!(
        reader.entries(&b).await?.len(),
        0,
        "another tenant's entries"
    );
    Ok(())
}

async fn follows_the_callers_transaction(
    sink: &dyn AuditSink,
    reader: &dyn AuditReader,
    db: &TenantDb,
) -> Result<(), Error> {
    let ctx = testing::tenant(db).await?;
    for commits in [false, true] {
        let mut tx = db.write(&ctx).await?;
        for at in 0..3 {
            let event = Event::new("suite.joined").meta("at", at);
            sink.record_in(&mut tx, event).await?;
        }
        let early = reader.entries(&ctx).await?.len();
        assert_eq!(early, 0, "visible before the commit");
        if commits {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
    }
    let seen = reader.entries(&ctx).await?;
    let order: Vec<_> = seen.iter().map(|entry| entry.meta.get("at")).collect();
    let expected = [0, 1, 2].map(Value::from);
    assert_eq!(
        order,
        expected.iter().map(Some).collect::<Vec<_>>(),
        "entries of one transaction keep their order"
    );
    Ok(())
}

/// Each answer that says `New` is an entry, and says of it what a reader will find.
async fn answers_what_it_keeps(
    sink: &dyn AuditSink,
    reader: &dyn AuditReader,
    db: &TenantDb,
) -> Result<(), Error> {
    let ctx = testing::tenant(db).await?;
    let event = Event::new("suite.kept")
        .target("a", "x\0y")
        .meta("api_key", "sk_live_4eC39HqLyjWDarjtT1zdp7dc")
        .personal("email", "ann@example.com");
    let keyed = event.clone().idempotency_key("suite-1");
    let mut told = Vec::new();
    for event in [event, keyed.clone(), keyed.clone(), keyed] {
        let mut tx = db.write(&ctx).await?;
        if let Kept::New { targets, meta } = sink.record_in(&mut tx, event).await? {
            told.push((targets, meta));
        }
        tx.commit().await?;
    }
    let seen = reader.entries(&ctx).await?.into_iter();
    let found: Vec<_> = seen.map(|entry| (entry.targets, entry.meta)).collect();
    assert_eq!(told, found, "what it says it keeps, and what it keeps");
    Ok(())
}

async fn records_aside_of_an_open_transaction(
    sink: &dyn AuditSink,
    reader: &dyn AuditReader,
    db: &TenantDb,
) -> Result<(), Error> {
    let ctx = testing::tenant(db).await?;
    let mut tx = db.write(&ctx).await?;
    sink.record_in(&mut tx, Event::new("suite.undone")).await?;
    sink.record(&ctx, Event::new("suite.denied")).await?;
    tx.rollback().await?;
    assert_eq!(actions(reader, &ctx).await?, ["suite.denied"]);
    Ok(())
}

async fn refuses_bad_events_and_goes_on(
    sink: &dyn AuditSink,
    reader: &dyn AuditReader,
    db: &TenantDb,
) -> Result<(), Error> {
    let ctx = testing::tenant(db).await?;
    let mut tx = db.write(&ctx).await?;
    for bad in ["", "one", "Upper.Case", "a.b c", "a.\0b", &"a.".repeat(200)] {
        for refused in [
            sink.record_in(&mut tx, Event::new(bad)).await.map(drop),
            sink.record(&ctx, Event::new(bad)).await,
        ] {
            let kind = refused.err().map(|error| error.kind());
            assert_eq!(kind, Some(ErrorKind::InvalidInput), "{bad:?}");
        }
    }
    let hostile = Event::new("suite.hostile")
        .target("a", "x\0y")
        .meta("k", "\u{202e}\0'; --");
    sink.record_in(&mut tx, hostile).await?;
    tx.commit().await?;
    assert_eq!(actions(reader, &ctx).await?, ["suite.hostile"]);
    Ok(())
}

async fn takes_many_at_once(
    sink: &Arc<dyn AuditSink>,
    reader: &dyn AuditReader,
    db: &TenantDb,
) -> Result<(), Error> {
    let ctx = testing::tenant(db).await?;
    many(sink, &ctx).await?;
    assert_eq!(reader.entries(&ctx).await?.len(), MANY);
    Ok(())
}

async fn many(sink: &Arc<dyn AuditSink>, ctx: &TenantCtx) -> Result<(), Error> {
    let one = |at: usize| {
        let (sink, ctx) = (sink.clone(), ctx.clone());
        tokio::spawn(async move {
            let event = Event::new("suite.many").meta("at", at);
            sink.record(&ctx, event).await
        })
    };
    let tasks: Vec<_> = (0..MANY).map(one).collect();
    for task in tasks {
        task.await.map_err(|_| unusable("a task panicked"))??;
    }
    Ok(())
}

async fn actions(reader: &dyn AuditReader, ctx: &TenantCtx) -> Result<Vec<String>, Error> {
    let seen = reader.entries(ctx).await?;
    Ok(seen.into_iter().map(|entry| entry.action).collect())
}

const MANY: usize = 40;
