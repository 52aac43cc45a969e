//! What the log says about a person can be erased, and every proof still holds.

use std::sync::Arc;

use crate::{
    layer::Broken,
    seals::{proofs, seal_all, signer},
    support::House,
    verify::{export, report},
};
use tenancy_audit::{
    AuditLog, AuditQuery, BufferOptions, BufferedAudit, Change, CountBy, Entry, ErrorKind,
    ExportFormat, PgAuditLog, Sealer, Verdict,
};
use tenancy_core::{
    AuditSink as _, Event, Subject, SubjectCipher as _, Target, TenantCtx,
    testing::{FakeAuthorizer, FakeSubjectCipher},
};

pub(crate) struct Sealing {
    pub(crate) house: House,
    cipher: FakeSubjectCipher,
    pub(crate) audit: PgAuditLog,
    pub(crate) log: AuditLog,
}

impl Sealing {
    pub(crate) async fn new() -> Self {
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

    pub(crate) async fn record(&self, ctx: &TenantCtx, event: Event) {
        self.audit.record(ctx, event).await.unwrap();
    }

    pub(crate) async fn revealed(&self, ctx: &TenantCtx, action: &str) -> Entry {
        let entries = self.house.entries(ctx).await;
        let entry = entries
            .into_iter()
            .find(|entry| entry.action == action)
            .unwrap();
        assert_eq!(entry.verify(), Verdict::Intact, "as it is stored");
        self.log.reveal(ctx, entry).await.unwrap()
    }
}

pub(crate) fn invited(lead: &Subject) -> Event {
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
    // The last ones are the export and the revelation above.
    seal_all(house, &sealer, 6).await;
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
    assert!(report.is_intact() && report.entries == 5, "{report:?}");
    for entry in house
        .entries(a)
        .await
        .into_iter()
        .filter(|entry| !entry.action.starts_with("audit."))
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
        "an entry is written all the same, and says itself what was left out"
    );
}

/// The names that an entry says were revealed.
fn named(entry: &Entry) -> Vec<String> {
    assert_eq!(entry.action, "audit.revealed");
    let fields = entry.meta["fields"].as_object().unwrap();
    let names = fields.values().flat_map(|of| of.as_array().unwrap());
    let mut names: Vec<String> = names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_revealed_is_recorded_by_name_and_what_can_not_be_recorded_is_not_shown() {
    let sealing = Sealing::new().await;
    let (house, lead) = (&sealing.house, Subject::parse("lead:7").unwrap());
    let (a, member) = (&house.a, house.member(&house.a).await);
    let event = invited(&lead).personal("phone", "+49 30 7");
    sealing.record(a, event).await;
    let entry = house.entries(a).await.remove(0);
    let authorizer = Arc::new(FakeAuthorizer::allowing_all());
    let mute = AuditLog::new(house.db.app.clone(), authorizer, Arc::new(Broken))
        .with_cipher(Arc::new(sealing.cipher.clone()));
    let refused = mute.reveal(&member, entry.clone()).await.unwrap_err();
    assert_eq!(refused.code(), "planted");
    assert_eq!(house.entries(a).await.len(), 1);

    let shown = sealing.log.reveal(&member, entry.clone()).await.unwrap();
    assert_eq!(shown.personal_detail("phone").unwrap(), "+49 30 7");
    let said = house.entries(a).await.remove(0);
    assert_eq!(named(&said), ["email", "ip", "phone"]);
    assert_eq!(said.actor.user, member.user(), "who");
    assert_eq!(said.targets[0], Target::new("audit_entry", entry.id));
    assert_eq!(said.targets.len(), 3, "the lead's, and the actor's");
    let whole = format!("{said:?}");
    for clear in ["ann@example.com", "192.0.2.77", "+49 30", "lead:7"] {
        assert!(!whole.contains(clear), "{clear}");
    }

    sealing.log.erase_subject(a, &lead).await.unwrap();
    let erased = house.entries(a).await.remove(0);
    assert!(said.targets.contains(&erased.targets[0]), "whose");
    let shown = sealing.log.reveal(&member, entry.clone()).await.unwrap();
    assert!(shown.personal_detail("email").is_none());
    let said = house.entries(a).await.remove(0);
    assert_eq!(named(&said), ["ip"], "what is gone is not revealed");
    let actor = Subject::from(a.user().unwrap());
    sealing.log.erase_subject(a, &actor).await.unwrap();
    let before = house.entries(a).await.len();
    sealing.log.reveal(&member, entry).await.unwrap();
    // Nothing is sealed in this one.
    let clear = house.entries(a).await.remove(0);
    sealing.log.reveal(&member, clear).await.unwrap();
    assert_eq!(house.entries(a).await.len(), before, "nothing was opened");
}

#[tokio::test]
async fn very_many_names_are_counted_where_they_are_not_listed() {
    let sealing = Sealing::new().await;
    let house = &sealing.house;
    let event = (0..100).fold(Event::new("thing.made"), |event, at| {
        event.personal(format!("{}{at}", "x".repeat(100)), at)
    });
    sealing.record(&house.a, event).await;
    sealing.revealed(&house.a, "thing.made").await;
    let said = house.entries(&house.a).await.remove(0);
    let names = named(&said);
    assert_eq!(names.len(), 33);
    assert!(names.contains(&"… and 68 more".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_key_that_went_without_a_record_shows_no_erasure() {
    let sealing = Sealing::new().await;
    let (house, lead) = (&sealing.house, Subject::parse("lead:7").unwrap());
    sealing.record(&house.a, invited(&lead)).await;
    // As somebody does who has the table of keys.
    sealing.cipher.erase_subject(&house.a, &lead).await.unwrap();
    let stripped = Verdict::Changed(Change::Stripped(vec!["email".to_owned()]));
    let shown = sealing.revealed(&house.a, "lead.invited").await;
    assert_eq!(shown.verify(), stripped);
    // Another tenant's erasure of a person of this name shows nothing here.
    sealing.log.erase_subject(&house.b, &lead).await.unwrap();
    assert_eq!(
        sealing.revealed(&house.a, "lead.invited").await.verify(),
        stripped
    );
    for _ in 0..2 {
        sealing.log.erase_subject(&house.a, &lead).await.unwrap();
    }
    let shown = sealing.revealed(&house.a, "lead.invited").await;
    assert_eq!(shown.verify(), Verdict::Erased(vec!["email".to_owned()]));
    let facts = house.entries(&house.a).await;
    let facts = facts
        .iter()
        .filter(|entry| entry.action == "audit.subject_erased");
    assert_eq!(facts.clone().count(), 1, "once");
    assert!(!format!("{:?}", facts.collect::<Vec<_>>()).contains("lead:7"));
}

#[tokio::test]
async fn a_person_is_not_erased_while_the_tenant_is_under_a_legal_hold() {
    let sealing = Sealing::new().await;
    let (house, lead) = (&sealing.house, Subject::parse("lead:7").unwrap());
    for ctx in [&house.a, &house.b] {
        sealing.record(ctx, invited(&lead)).await;
    }
    let superuser = house.superuser().await;
    let of_a = async |sql: &'static str| {
        let of_a = sqlx::query(sql).bind(house.a.tenant());
        of_a.execute(&superuser).await.unwrap();
    };
    let place = "INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES ($1, 'case 7')";
    of_a(place).await;
    let refused = sealing.log.erase_subject(&house.a, &lead).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code()),
        (ErrorKind::Conflict, "audit_held")
    );
    let kept = sealing.revealed(&house.a, "lead.invited").await;
    assert_eq!(kept.personal_detail("email").unwrap(), "ann@example.com");
    let erased = |entry: &Entry| entry.action == "audit.subject_erased";
    let entries = house.entries(&house.a).await;
    assert!(!entries.iter().any(erased), "and nothing says so");
    sealing.log.erase_subject(&house.b, &lead).await.unwrap();
    let other = sealing.revealed(&house.b, "lead.invited").await;
    let erased = Verdict::Erased(vec!["email".to_owned()]);
    assert_eq!(other.verify(), erased, "whom nobody holds");

    of_a("DELETE FROM tenancy.tenant_holds WHERE tenant_id = $1").await;
    sealing.log.erase_subject(&house.a, &lead).await.unwrap();
    let shown = sealing.revealed(&house.a, "lead.invited").await;
    assert_eq!(shown.verify(), erased);
}

/// Every row of the log as text.
pub(crate) async fn stored(house: &House) -> Vec<u8> {
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
        Verdict::Changed(Change::Personal("*".to_owned()))
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

#[tokio::test]
async fn an_address_is_not_searched_for_where_others_seal_addresses() {
    let sealing = Sealing::new().await;
    let house = &sealing.house;
    let by_ip: AuditQuery = "ip:192.0.2.7".parse().unwrap();
    let without: AuditQuery = "-ip:192.0.2.0/24".parse().unwrap();
    let mut event = Event::new("thing.made");
    event.origin.ip = Some("192.0.2.7".to_owned());
    // `house.log` has no cipher, as an operator's has none.
    house.audit.record(&house.a, event.clone()).await.unwrap();
    let found = house.log.search(&house.a, &by_ip).await.unwrap();
    assert_eq!(found.entries.len(), 1);

    sealing.audit.record(&house.a, event.clone()).await.unwrap();
    sealing
        .audit
        .record(&house.b, Event::new("thing.made"))
        .await
        .unwrap();
    for query in [by_ip.clone(), without] {
        let searched = house.log.search(&house.a, &query).await.map(drop);
        let counted = house.log.count(&house.a, &query, CountBy::Total, 10).await;
        let tailed = house.log.tail(&house.a, &query).await.map(drop);
        let before = house.entries(&house.a).await.len();
        let exported = house
            .log
            .export(&house.a, &query, ExportFormat::Ndjson)
            .await
            .map(drop);
        assert_eq!(
            house.entries(&house.a).await.len(),
            before,
            "nothing was handed out, and nothing recorded"
        );
        for refused in [searched, counted.map(drop), tailed, exported] {
            assert_eq!(refused.unwrap_err().code(), "audit_ip_sealed");
        }
        // Who has the cipher knows it without a look, also where nothing is sealed yet.
        for ctx in [&house.a, &house.b] {
            let searched = sealing.log.search(ctx, &query).await.map(drop);
            let counted = sealing.log.count(ctx, &query, CountBy::Total, 10).await;
            let tailed = sealing.log.tail(ctx, &query).await.map(drop);
            let exported = sealing.log.export(ctx, &query, ExportFormat::Csv).await;
            for refused in [searched, counted.map(drop), tailed, exported.map(drop)] {
                assert_eq!(refused.unwrap_err().code(), "audit_ip_sealed");
            }
        }
        house.log.search(&house.b, &query).await.unwrap();
    }
}
