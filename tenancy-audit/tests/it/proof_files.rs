//! Logs as files, to be damaged.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    seals::{record, seal_all, signer},
    support::House,
    verify::export,
};
use tenancy_audit::{
    ActionFilter, Adopter, AuditLog, DetailRule, Error, FileAnchor, PgAuditLog, ProofReport,
    Retention, RetentionRule, SealKeys, SealOptions, Sealer, Verifier,
};
use tenancy_core::{
    AuditSink as _, Event, Subject, TenantCtx, TenantId,
    testing::{FakeAuthorizer, FakeSubjectCipher},
};

/// The logs of two tenants in several seals, as files, with the heads that an anchor kept.
pub(crate) struct Files {
    pub(crate) ours: Vec<String>,
    pub(crate) theirs: Vec<String>,
    pub(crate) heads: Vec<u8>,
    pub(crate) tenant: TenantId,
    pub(crate) keys: SealKeys,
    /// The entry of which an operator erased details, and what they were.
    pub(crate) erased: Option<(String, Map<String, Value>)>,
}

impl Files {
    /// Entries in seals, and nothing else.
    pub(crate) async fn plain() -> Self {
        let made = Box::pin(Making::begin()).await;
        made.files(None).await
    }

    /// With all that happens to a log: sealed details, a person erased by key and one by the operator, entries
    /// removed in the middle, a restore that lost a seal, and more behind it.
    pub(crate) async fn lived() -> Self {
        let made = Box::pin(Making::begin()).await;
        let erased = Box::pin(made.live()).await;
        made.files(Some(erased)).await
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::new(self.tenant, self.keys.clone())
    }

    pub(crate) fn verify(&self, lines: &[String]) -> ProofReport {
        self.try_verify(lines).unwrap()
    }

    /// An error if the lines are no file of a log at all.
    pub(crate) fn try_verify(&self, lines: &[String]) -> Result<ProofReport, Error> {
        let file = lines
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect::<String>();
        let verifier = self.verifier().with_anchor(&*self.heads).unwrap();
        verifier.verify(file.as_bytes())
    }
}

/// What the restore of a backup does that is older than the newest seal.
const RESTORED: [&str; 3] = [
    "DELETE FROM tenancy.audit_logs l USING tenancy.audit_seals s
     WHERE s.tenant_id = $1 AND l.tenant_id = $1 AND position(uuid_send(l.id) IN s.ids) > 0
         AND s.number = (SELECT max(m.number) FROM tenancy.audit_seals m WHERE m.tenant_id = $1)",
    "DELETE FROM tenancy.audit_seals s WHERE s.tenant_id = $1
         AND s.number = (SELECT max(m.number) FROM tenancy.audit_seals m WHERE m.tenant_id = $1)",
    "DELETE FROM tenancy.audit_anchored WHERE tenant_id = $1",
];

/// Takes the newest seal of a tenant away with its entries.
pub(crate) async fn restore(house: &House, tenant: TenantId) {
    let mut tx = house.superuser().await.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL session_replication_role = replica")
        .execute(&mut *tx)
        .await
        .unwrap();
    for sql in RESTORED {
        sqlx::query(sql)
            .bind(tenant)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

/// A log as it is made.
struct Making {
    house: House,
    sealed: PgAuditLog,
    log: AuditLog,
    sealer: Sealer,
    retention: Retention,
    adopter: Adopter,
    keys: SealKeys,
    folder: tempfile::TempDir,
}

impl Making {
    async fn begin() -> Self {
        let house = House::new().await;
        let cipher = Arc::new(FakeSubjectCipher::new());
        let sealed = house.audit.clone().with_cipher(cipher.clone());
        let authorizer = Arc::new(FakeAuthorizer::allowing_all());
        let log = AuditLog::new(house.db.app.clone(), authorizer, Arc::new(sealed.clone()));
        let folder = tempfile::tempdir().unwrap();
        let (signer, keys) = signer("one");
        let anchor = Arc::new(FileAnchor::new(folder.path().join("heads")));
        let operator = house.db.operator.clone();
        let made = Self {
            sealer: Sealer::new(house.db.worker.clone(), signer.clone())
                .with_options(SealOptions::default().with_batch(5))
                .with_anchor(anchor),
            retention: Retention::new(operator.clone(), signer.clone(), keys.clone()),
            adopter: Adopter::new(operator, signer, keys.clone()),
            log: log.with_cipher(cipher),
            sealed,
            keys,
            folder,
            house,
        };
        for ctx in [&made.house.a, &made.house.b] {
            made.entries(ctx).await;
        }
        seal_all(&made.house, &made.sealer, 48).await;
        made
    }

    async fn entries(&self, ctx: &TenantCtx) {
        for at in 0..24 {
            let mut event = Event::new("thing.made")
                .target("thing", at)
                .meta("at", json!({ "n": [at, 1.5] }));
            if at % 3 == 0 {
                event = event.personal("email", format!("{at}@example.com"));
            }
            self.house.audit.record(ctx, event).await.unwrap();
        }
    }

    /// The entry of which details were erased, and what they were.
    async fn live(&self) -> (String, Map<String, Value>) {
        let (house, lead) = (&self.house, Subject::parse("lead:7").unwrap());
        let entries = house.entries(&house.a).await;
        for (ctx, whom) in [
            (&house.a, "lead:7"),
            (&house.a, "lead:8"),
            (&house.b, "lead:7"),
        ] {
            let about = Event::new("lead.invited").about(Subject::parse(whom).unwrap());
            let about = about.personal("email", "ann@example.com");
            self.sealed.record(ctx, about).await.unwrap();
            self.sealed
                .record(ctx, Event::new("login.begun"))
                .await
                .unwrap();
            self.sealed
                .record(ctx, Event::new("login.ended"))
                .await
                .unwrap();
        }
        seal_all(house, &self.sealer, 57).await;
        self.log.erase_subject(&house.a, &lead).await.unwrap();
        let of_one = entries.iter().find(|entry| !entry.commitments.is_empty());
        let of_one = of_one.unwrap();
        let by_hand = DetailRule::new(house.a.tenant(), [of_one.id], "asked for");
        assert_eq!(self.retention.erase_details(&by_hand).await.unwrap(), 1);
        for ctx in [&house.a, &house.b] {
            let before = chrono::Utc::now() + chrono::TimeDelta::minutes(1);
            let logins = RetentionRule::new(ctx.tenant(), before, "past its time")
                .with_action(ActionFilter::prefix("login.").unwrap());
            assert!(self.retention.remove(&logins).await.unwrap() >= 2);
        }
        // A restore: what was sealed last did not come along.
        record(house, &house.a, 3).await;
        seal_all(house, &self.sealer, 61).await;
        restore(house, house.a.tenant()).await;
        let adopter = self
            .adopter
            .clone()
            .with_anchor(&*self.heads())
            .await
            .unwrap();
        let done = adopter.adopt("restored").await.unwrap();
        assert_eq!(done.lost, [(house.a.tenant(), 1)]);
        let before = crate::seals::sealed(&house.superuser().await).await;
        record(house, &house.a, 4).await;
        seal_all(house, &self.sealer, before + 4).await;
        (of_one.id.to_string(), of_one.personal.clone())
    }

    fn heads(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("heads")).unwrap()
    }

    async fn files(&self, erased: Option<(String, Map<String, Value>)>) -> Files {
        let lines = |file: Vec<u8>| {
            let file = String::from_utf8(file).unwrap();
            file.lines().map(ToOwned::to_owned).collect()
        };
        let house = &self.house;
        Files {
            ours: lines(export(house, &house.a).await),
            theirs: lines(export(house, &house.b).await),
            heads: self.heads(),
            tenant: house.a.tenant(),
            keys: self.keys.clone(),
            erased,
        }
    }
}

/// A small generator, so that a seed gives the same run everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }

    pub(crate) fn pick(&mut self, from: &[usize]) -> usize {
        from[self.roll(from.len())]
    }
}

/// The places of all lines of a kind.
pub(crate) fn of_kind(lines: &[String], kind: &str) -> Vec<usize> {
    let begin = format!("{{\"{kind}\":");
    (0..lines.len())
        .filter(|at| lines[*at].starts_with(&begin))
        .collect()
}
