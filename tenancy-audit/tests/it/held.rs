//! What is answered to who erases a person under a legal hold.

use std::sync::Arc;

use async_trait::async_trait;
use tenancy_audit::{AuditLog, ErrorKind};
use tenancy_core::{
    PermissionKey, SealedText, SecretText, Subject, SubjectCipher, TenantCtx,
    testing::{FakeAuthorizer, FakeSubjectCipher, MemoryAudit},
};

use crate::support::House;

fn lead() -> Subject {
    Subject::parse("lead:7").unwrap()
}

async fn hold(house: &House) {
    let place = "INSERT INTO tenancy.tenant_holds (tenant_id, reference) VALUES ($1, 'case 7')";
    let place = sqlx::query(place).bind(house.a.tenant());
    place.execute(&house.superuser().await).await.unwrap();
}

fn log(house: &House, authorizer: FakeAuthorizer, cipher: Arc<dyn SubjectCipher>) -> AuditLog {
    let (db, audit) = (house.db.app.clone(), Arc::new(house.audit.clone()));
    AuditLog::new(db, Arc::new(authorizer), audit).with_cipher(cipher)
}

#[tokio::test]
async fn who_may_not_erase_learns_nothing_of_a_hold_and_his_attempt_is_recorded() {
    let house = House::new().await;
    let (cipher, denials) = (FakeSubjectCipher::new(), MemoryAudit::new());
    let text = SecretText::new("ann@example.com");
    let sealed = cipher.seal(&house.a, &lead(), text).await.unwrap();
    hold(&house).await;
    let authorizer = FakeAuthorizer::new().with_audit(denials.clone());
    let log = log(&house, authorizer.clone(), Arc::new(cipher.clone()));

    let denied = log.erase_subject(&house.a, &lead()).await.unwrap_err();
    let found = (denied.kind(), denied.code());
    assert_eq!(found, (ErrorKind::Denied, "permission_denied"));
    let words = format!("{denied} {denied:?}");
    assert!(
        words.contains("subjects.erase") && !words.contains("hold"),
        "{words}"
    );
    assert_eq!(denials.of("access.denied").len(), 1);

    authorizer.grant(&house.a, PermissionKey::from_static("subjects.erase"));
    let held = log.erase_subject(&house.a, &lead()).await.unwrap_err();
    let found = (held.kind(), held.code());
    assert_eq!(found, (ErrorKind::Conflict, "audit_held"));
    assert_eq!(denials.of("access.denied").len(), 1);
    cipher.open(&house.a, &lead(), &sealed).await.unwrap();
    assert!(house.entries(&house.a).await.is_empty());
}

/// A cipher that is asked for an erasure when a hold stands that the log has not seen.
struct Refuses(&'static str);

type Answer<T> = Result<T, tenancy_core::Error>;

impl Refuses {
    fn error(&self) -> tenancy_core::Error {
        tenancy_core::Error::new(tenancy_core::ErrorKind::Conflict, self.0, "not now")
    }
}

#[async_trait]
impl SubjectCipher for Refuses {
    async fn seal(&self, _: &TenantCtx, _: &Subject, _: SecretText) -> Answer<SealedText> {
        Err(self.error())
    }

    async fn open(&self, _: &TenantCtx, _: &Subject, _: &SealedText) -> Answer<SecretText> {
        Err(self.error())
    }

    async fn erase_subject(&self, _: &TenantCtx, _: &Subject) -> Answer<()> {
        Err(self.error())
    }
}

#[tokio::test]
async fn a_hold_that_only_the_cipher_sees_is_answered_as_one_that_the_log_sees() {
    let house = House::new().await;
    for (says, answered) in [
        ("subject_held", "audit_held"),
        ("subject_busy", "subject_busy"),
    ] {
        // The permission is the cipher's to ask for.
        let log = log(&house, FakeAuthorizer::new(), Arc::new(Refuses(says)));
        let error = log.erase_subject(&house.a, &lead()).await.unwrap_err();
        let found = (error.kind(), error.code());
        assert_eq!(found, (ErrorKind::Conflict, answered));
    }
    assert!(
        house.entries(&house.a).await.is_empty(),
        "nothing is erased"
    );
}
