//! What the log says about a person can be erased, and every proof still holds.

use std::sync::Arc;

use crate::{
    seals::{proofs, seal_all, signer},
    support::House,
    verify::{export, report},
};
use tenancy_audit::{AuditLog, BufferOptions, BufferedAudit, Entry, PgAuditLog, Sealer, Verdict};
use tenancy_core::{
    AuditSink as _, Event, Subject, SubjectCipher as _, TenantCtx,
    testing::{FakeAuthorizer, FakeSubjectCipher},
};

struct Sealing {
    house: House,
    cipher: FakeSubjectCipher,
    audit: PgAuditLog,
    log: AuditLog,
}

impl Sealing {
    async fn new() -> Self {
        let house = House::new().await;
        let cipher = FakeSubjectCipher::new();
        let audit = house.audit.clone().with_cipher(Arc::new(cipher.clone()));
        let log = AuditLog::new(
            house.db.app.clone(),
            Arc::new(FakeAuthorizer::allowing_all()),
            Arc::new(audit.clone()),
        );
        let log = log.with_cipher(Arc::new(cipher.clone()));
        Self {
            house,
            cipher,
            audit,
            log,
        }
    }

    async fn record(&self, ctx: &TenantCtx, event: Event) {
        self.audit.record(ctx, event).await.unwrap();
    }

    async fn revealed(&self, ctx: &TenantCtx, action: &str) -> Entry {
        let entries = self.house.entries(ctx).await;
        let entry = entries
            .into_iter()
            .find(|entry| entry.action == action)
            .unwrap();
        assert_eq!(entry.verify(), Verdict::Intact, "as it is stored");
        self.log.reveal(ctx, entry).await.unwrap()
    }
}

fn invited(lead: &Subject) -> Event {
    let mut event = Event::new("lead.invited")
        .about(lead.clone())
        .personal("email", "ann@example.com");
    event.origin.ip = Some("192.0.2.77".to_owned());
    event
}

#[tokio::test]
async fn an_erased_person_is_gone_from_every_entry_and_the_proofs_hold() {
    let sealing = Sealing::new().await;
    let house = &sealing.house;
    let lead = Subject::parse("lead:7").unwrap();
    let (a, b) = (&house.a, &house.b);
    sealing.record(a, invited(&lead)).await;
    sealing.record(b, invited(&lead)).await;
    sealing
        .record(a, Event::new("thing.made").personal("name", "Olga Owner"))
        .await;
    let mut tx = house.db.app.write(a).await.unwrap();
    sealing
        .audit
        .record_in(
            &mut tx,
            Event::new("thing.seen")
                .about(lead.clone())
                .personal("phone", "+49 30 7"),
        )
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let file = String::from_utf8([export(house, a).await, stored(house).await].concat()).unwrap();
    for clear in ["ann@example.com", "192.0.2.77", "Olga", "+49 30"] {
        assert!(!file.contains(clear), "{clear}");
    }
    let shown = sealing.revealed(a, "lead.invited").await;
    assert_eq!(shown.verify(), Verdict::Intact);
    assert_eq!(shown.personal_detail("email").unwrap(), "ann@example.com");
    assert_eq!(shown.origin().ip.as_deref(), Some("192.0.2.77"));

    let (signer, keys) = signer("one");
    let sealer = Sealer::new(house.db.worker.clone(), signer);
    // The last one is the export above.
    seal_all(house, &sealer, 5).await;
    sealing.log.erase_subject(a, &lead).await.unwrap();

    let shown = sealing.revealed(a, "lead.invited").await;
    assert_eq!(shown.verify(), Verdict::Erased(vec!["email".to_owned()]));
    assert_eq!(shown.personal_detail("email"), None);
    assert_eq!(
        shown.origin().ip.as_deref(),
        Some("192.0.2.77"),
        "the actor's, who is not erased"
    );
    assert_eq!(
        sealing.revealed(a, "thing.seen").await.verify(),
        Verdict::Erased(vec!["phone".to_owned()])
    );
    assert_eq!(
        sealing
            .revealed(a, "thing.made")
            .await
            .personal_detail("name")
            .unwrap(),
        "Olga Owner"
    );
    let other = sealing.revealed(b, "lead.invited").await;
    assert_eq!(
        other.personal_detail("email").unwrap(),
        "ann@example.com",
        "another tenant's"
    );
    let report = report(house, a, &keys).await;
    assert!(report.is_intact() && report.entries == 4, "{report:?}");
    for entry in house
        .entries(a)
        .await
        .into_iter()
        .filter(|entry| entry.action != "audit.exported")
    {
        let proof = proofs(house).inclusion(a, entry.id).await.unwrap();
        assert!(proof.verify(&entry, &keys));
        let revealed = sealing.log.reveal(a, entry).await.unwrap();
        assert!(
            proof.verify(&revealed, &keys),
            "with its details, as far as they are left"
        );
    }

    sealing.record(a, invited(&lead).meta("again", true)).await;
    let after = house.entries(a).await.into_iter().next().unwrap();
    assert_eq!(
        after.verify(),
        Verdict::Erased(vec!["email".to_owned()]),
        "an entry is written all the same"
    );
}

/// Every row of the log as text.
async fn stored(house: &House) -> Vec<u8> {
    let rows: Vec<String> = sqlx::query_scalar("SELECT l::text FROM tenancy.audit_logs l")
        .fetch_all(&house.superuser().await)
        .await
        .unwrap();
    rows.concat().into_bytes()
}

#[tokio::test]
async fn what_is_sealed_can_not_be_replaced_unseen() {
    let sealing = Sealing::new().await;
    let (house, lead) = (&sealing.house, Subject::parse("lead:7").unwrap());
    sealing.record(&house.a, invited(&lead)).await;
    let other = sealing
        .cipher
        .seal(&house.a, &lead, tenancy_core::SecretText::new("{}"))
        .await
        .unwrap();
    house
        .as_owner("DROP TRIGGER audit_append_only ON tenancy.audit_logs")
        .await;
    sqlx::query("UPDATE tenancy.audit_logs SET personal = jsonb_set(personal, '{*,sealed}', to_jsonb($1::text))")
        .bind(other.as_str())
        .execute(&house.superuser().await)
        .await
        .unwrap();
    let entry = &house.entries(&house.a).await[0];
    assert_eq!(
        entry.verify(),
        Verdict::Changed(tenancy_audit::Change::Personal("*".to_owned()))
    );
}

#[tokio::test]
async fn the_buffer_seals_too_and_without_a_cipher_nothing_is_opened() {
    let sealing = Sealing::new().await;
    let (house, lead) = (&sealing.house, Subject::parse("lead:7").unwrap());
    let buffered = BufferedAudit::new(sealing.audit.writer().clone(), BufferOptions::default());
    buffered.record(&house.a, invited(&lead)).await.unwrap();
    buffered.shutdown().await.unwrap();
    assert!(
        !String::from_utf8(stored(house).await)
            .unwrap()
            .contains("ann@example.com")
    );
    let entry = house.entries(&house.a).await.remove(0);
    assert_eq!(
        house.log.reveal(&house.a, entry).await.unwrap_err().code(),
        "audit_no_cipher"
    );
    assert_eq!(
        house
            .log
            .erase_subject(&house.a, &lead)
            .await
            .unwrap_err()
            .code(),
        "audit_no_cipher"
    );
    let named = Event::new("thing.made").personal("*", "x");
    let refused = sealing.audit.record(&house.a, named).await.unwrap_err();
    assert_eq!(refused.code(), "audit_personal_reserved");
}
