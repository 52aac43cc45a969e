//! What panics under a buffered log: it takes along what it was at work on, and nothing else.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    buffered::{Gate, buffered, event},
    support::House,
};
use async_trait::async_trait;
use tenancy_audit::{AuditWriter, BufferOptions, BufferedAudit};
use tenancy_core::{AuditSink as _, SealedText, SecretText, Subject, SubjectCipher, TenantCtx};

#[tokio::test]
async fn a_writer_that_panics_loses_its_batch_and_nothing_else() {
    let house = House::new().await;
    let gate = Gate::new(1_000);
    gate.panics.store(2, Ordering::Relaxed);
    let audit = buffered(gate.clone(), BufferOptions::default().with_writers(1));
    for at in 0..5 {
        audit.record(&house.a, event(at)).await.unwrap();
        let stats = audit.flush().await.unwrap();
        let lost = stats.accepted.min(2);
        assert_eq!((stats.lost, stats.written), (lost, stats.accepted - lost));
    }
    let stats = audit.shutdown().await.unwrap();
    assert_eq!((stats.accepted, stats.written, stats.lost), (5, 3, 2));
    assert_eq!(gate.inner.entries().len(), 3);
}

/// Seals nothing, and says so loudly.
struct Loud;

#[async_trait]
impl SubjectCipher for Loud {
    async fn seal(
        &self,
        _: &TenantCtx,
        _: &Subject,
        _: SecretText,
    ) -> Result<SealedText, tenancy_core::Error> {
        panic!("planted")
    }

    async fn open(
        &self,
        _: &TenantCtx,
        _: &Subject,
        _: &SealedText,
    ) -> Result<SecretText, tenancy_core::Error> {
        panic!("planted")
    }

    async fn erase_subject(&self, _: &TenantCtx, _: &Subject) -> Result<(), tenancy_core::Error> {
        panic!("planted")
    }
}

#[tokio::test]
async fn a_cipher_that_panics_takes_its_caller_along_and_not_the_buffer() {
    let house = House::new().await;
    let gate = Gate::new(1_000);
    let writer = AuditWriter::new(gate.clone()).with_cipher(Arc::new(Loud));
    let audit = BufferedAudit::new(writer, BufferOptions::default());
    audit.record(&house.a, event(0)).await.unwrap();
    let loud = {
        let (audit, ctx) = (audit.clone(), house.a.clone());
        let event = event(1).personal("email", "ann@example.com");
        tokio::spawn(async move { audit.record(&ctx, event).await })
    };
    assert!(loud.await.unwrap_err().is_panic());
    audit.record(&house.a, event(2)).await.unwrap();
    let stats = audit.shutdown().await.unwrap();
    assert_eq!((stats.accepted, stats.written, stats.lost), (2, 2, 0));
}
