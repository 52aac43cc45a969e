//! The suites of the ports: `AuditSink` on every sink of this crate, `AuditStore` on every store.

use std::sync::{Arc, Barrier};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tenancy_audit::{
    AuditQuery, AuditStore, AuditWriter, BufferOptions, BufferedAudit, Entry, Order,
    testing::MemoryAuditStore,
};
use tenancy_core::{
    Error, Event, TenantCtx,
    testing::conformance::{AuditReader, SeenEntry, audit_sink},
};

use crate::support::House;

/// Reads a store, after what is buffered in front of it was written.
struct Reading {
    store: Arc<dyn AuditStore>,
    buffered: Option<BufferedAudit>,
}

#[async_trait]
impl AuditReader for Reading {
    async fn entries(&self, ctx: &TenantCtx) -> Result<Vec<SeenEntry>, Error> {
        if let Some(buffered) = &self.buffered {
            buffered.flush().await?;
        }
        let query = AuditQuery::new()
            .with_limit(1_000)
            .with_order(Order::OldestFirst);
        let page = self.store.search(ctx, &query).await?;
        Ok(page.entries.iter().map(seen).collect())
    }
}

fn seen(entry: &Entry) -> SeenEntry {
    let record = (**entry).clone();
    SeenEntry {
        action: record.action,
        outcome: record.outcome,
        actor_kind: record.actor.kind,
        actor_id: record.actor.id,
        on_behalf_of: record.actor.on_behalf_of,
        request: record.request,
        targets: record.targets,
        meta: record.meta,
    }
}

#[tokio::test]
async fn the_log_on_postgres_is_a_sink() {
    let house = House::new().await;
    let store = Arc::new(house.store());
    let reading = Reading {
        store,
        buffered: None,
    };
    audit_sink(Arc::new(house.audit.clone()), &reading, &house.db.app)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_buffered_log_is_a_sink_once_it_is_flushed() {
    let house = House::new().await;
    let buffered = BufferedAudit::new(house.audit.writer().clone(), BufferOptions::default());
    let reading = Reading {
        store: Arc::new(house.store()),
        buffered: Some(buffered.clone()),
    };
    audit_sink(Arc::new(buffered), &reading, &house.db.app)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_writer_in_memory_is_a_sink() {
    let house = House::new().await;
    let store = Arc::new(MemoryAuditStore::new());
    let reading = Reading {
        store: store.clone(),
        buffered: None,
    };
    audit_sink(Arc::new(AuditWriter::new(store)), &reading, &house.db.app)
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

#[tokio::test]
async fn in_memory_too_a_key_is_taken_once_by_many_at_once() {
    let house = House::new().await;
    let store = Arc::new(MemoryAuditStore::new());
    let writer = AuditWriter::new(store.clone());
    let together = Arc::new(Barrier::new(4));
    let many = (0..4).map(|_| {
        let (writer, ctx, together) = (writer.clone(), house.a.clone(), together.clone());
        tokio::task::spawn_blocking(move || {
            let record = |at| {
                let event = Event::new("thing.made").idempotency_key(format!("key {at}"));
                together.wait();
                let entry = writer.record_entry(&ctx, event).now_or_never();
                entry.unwrap().unwrap()
            };
            (0..2_000).map(record).collect::<Vec<_>>()
        })
    });
    let ids = futures_util::future::try_join_all(many).await.unwrap();
    assert!(ids.iter().all(|some| *some == ids[0]));
    assert_eq!(store.entries().len(), 2_000);
}
