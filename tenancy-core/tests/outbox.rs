//! The plain outbox: stored with the change, handed over at least once, in nobody else's name.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::error::DatabaseError;
use tenancy_core::{
    Drained, Error, ErrorKind, JobId, JobKind, JobSink as _, NewJob, NoRoles, Outbox, OutboxJob,
    OutboxSink, PermissionKey, Principal, ServiceKey, Suspension, TenantCtx, TenantStatus, Tenants,
    UserId, WorkerDb,
    migrate::CORE,
    testing::{self, FakeAuthorizer, FakeSubjectCipher, MemoryAudit, MemoryJobs, conformance},
};
use tenancy_testkit::Db;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const KIND: JobKind = JobKind::from_static("mail.send");

struct House {
    db: Db,
    sink: OutboxSink,
    a: TenantCtx,
    b: TenantCtx,
}

impl House {
    async fn new() -> Result<Self> {
        let db = Db::new(&[&CORE]).await?;
        let (a, b) = (
            testing::tenant(&db.app).await?,
            testing::tenant(&db.app).await?,
        );
        let sink = OutboxSink::new(db.app.clone());
        Ok(Self { db, sink, a, b })
    }

    async fn add(&self, ctx: &TenantCtx, jobs: u32) -> Result<Vec<JobId>> {
        let mut ids = Vec::new();
        for n in 0..jobs {
            ids.push(self.sink.enqueue(ctx, NewJob::new(KIND, json!(n))).await?);
        }
        Ok(ids)
    }

    async fn number(&self, sql: &'static str) -> Result<i64> {
        let superuser = self.db.superuser().await?;
        Ok(sqlx::query_scalar(sql).fetch_one(&superuser).await?)
    }

    async fn change(&self, sql: &'static str) -> Result {
        sqlx::raw_sql(sql)
            .execute(&self.db.superuser().await?)
            .await?;
        Ok(())
    }
}

/// Takes everything that is due into a list.
async fn drain(outbox: &Outbox) -> Result<(Drained, Vec<OutboxJob>)> {
    let taken = Mutex::new(Vec::new());
    let drained = outbox
        .drain(500, |job| {
            taken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(job);
            async { Ok(()) }
        })
        .await?;
    Ok((drained, taken.into_inner()?))
}

#[tokio::test]
async fn the_outbox_and_the_fakes_keep_the_contracts_of_their_ports() -> Result {
    let House { db, sink, a, b } = House::new().await?;
    let superuser = db.superuser().await?;
    let stored = async |ctx: &TenantCtx| -> Vec<JobId> {
        sqlx::query_scalar("SELECT id FROM tenancy.outbox WHERE tenant_id = $1")
            .bind(ctx.tenant())
            .fetch_all(&superuser)
            .await
            .unwrap()
    };
    conformance::job_sink(&sink, &db.app, &a, &b, stored).await?;

    let memory = MemoryJobs::new();
    let stored = async |ctx: &TenantCtx| -> Vec<JobId> {
        let mine = memory
            .jobs()
            .into_iter()
            .filter(|(tenant, ..)| *tenant == ctx.tenant());
        mine.map(|(_, id, _)| id).collect()
    };
    conformance::job_sink(&memory, &db.app, &a, &b, stored).await?;
    conformance::subject_cipher(&FakeSubjectCipher::new(), &a, &b).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_handed_over_is_what_was_enqueued_with_who_did_it() -> Result {
    let house = House::new().await?;
    let job = NewJob::new(KIND, json!({"to": 7}))
        .with_idempotency_key("welcome")
        .with_priority(-3)
        .with_max_attempts(4)
        .with_timeout(Duration::from_secs(9));
    let id = house.sink.enqueue(&house.a, job.clone()).await?;
    let outbox = Outbox::new(house.db.worker.clone());
    let (drained, taken) = drain(&outbox).await?;
    assert_eq!(
        (drained.delivered, drained.failed, drained.more),
        (1, 0, false)
    );
    let one = &taken[0];
    assert_eq!(
        (one.tenant, one.job_id, one.attempt),
        (house.a.tenant(), id, 1)
    );
    assert_eq!(one.principal.as_ref(), Some(house.a.principal()));
    assert_eq!(one.request, Some(house.a.request_id()));
    assert_eq!(
        (&one.job.payload, one.job.priority),
        (&json!({"to": 7}), -3)
    );
    assert_eq!(
        (one.job.max_attempts, one.job.timeout),
        (Some(4), job.timeout)
    );
    assert_eq!(one.job.idempotency_key.as_deref(), Some("welcome"));

    // Its key stays known, and nothing else of it stays.
    assert_eq!(house.sink.enqueue(&house.a, job.clone()).await?, id);
    assert_eq!(drain(&outbox).await?.1.len(), 0);
    assert_eq!(
        house
            .number("SELECT count(*) FROM tenancy.outbox WHERE payload <> 'null'")
            .await?,
        0
    );
    house
        .change("UPDATE tenancy.outbox SET delivered_at = now() - interval '8 days'")
        .await?;
    drain(&outbox).await?;
    assert_ne!(
        house.sink.enqueue(&house.a, job).await?,
        id,
        "until it is forgotten"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_connections_at_once_hand_each_job_over_once_and_a_dead_ones_jobs_again() -> Result {
    let house = House::new().await?;
    house.add(&house.a, 120).await?;
    house.add(&house.b, 80).await?;
    let seen: Arc<Mutex<HashMap<JobId, u32>>> = Arc::default();
    let mut drains = Vec::new();
    for _ in 0..2 {
        let outbox = Outbox::new(WorkerDb::connect(house.db.server.worker_url()).await?);
        let seen = seen.clone();
        drains.push(tokio::spawn(async move {
            loop {
                let seen = seen.clone();
                let drained = outbox
                    .drain(7, move |job| {
                        *seen.lock().unwrap().entry(job.job_id).or_default() += 1;
                        async {
                            tokio::task::yield_now().await;
                            Ok(())
                        }
                    })
                    .await?;
                if !drained.more {
                    return Ok::<_, Error>(());
                }
            }
        }));
    }
    for drain in drains {
        drain.await??;
    }
    let times: Vec<u32> = seen.lock().unwrap().values().copied().collect();
    assert_eq!(times.len(), 200);
    assert!(times.iter().all(|times| *times == 1), "each once");
    assert_eq!(
        house.number("SELECT count(*) FROM tenancy.outbox").await?,
        0
    );

    // One that dies between the hand-over and its record: the same job, with the same id, again.
    let ids = house.add(&house.a, 2).await?;
    let dying = Outbox::new(house.db.worker.clone()).with_lease(Duration::from_millis(1_200));
    let died = tokio::time::timeout(
        Duration::from_millis(150),
        dying.drain(10, |_| std::future::pending()),
    );
    assert!(died.await.is_err());
    assert_eq!(drain(&dying).await?.1.len(), 0, "its lease still holds");
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let (_, again) = drain(&dying).await?;
    let mut given: Vec<JobId> = again.iter().map(|job| job.job_id).collect();
    given.sort();
    assert_eq!(given, ids);
    assert!(again.iter().all(|job| job.attempt == 2));
    Ok(())
}

#[tokio::test]
async fn a_late_record_of_a_hand_over_changes_nothing_for_whoever_has_the_job_now() -> Result {
    let house = House::new().await?;
    let id = house.add(&house.a, 1).await?[0];
    let worker = house.db.worker.pool();
    let claim = async || -> Result<i32> {
        let sql = "SELECT attempt FROM tenancy.outbox_claim($1, 10, 10, 60000)";
        let claim = sqlx::query_scalar(sql).bind(vec![house.a.tenant()]);
        Ok(claim.fetch_one(worker).await?)
    };
    let first = claim().await?;
    house
        .change("UPDATE tenancy.outbox SET due_at = now()")
        .await?;
    let second = claim().await?;
    let settle = async |attempt: i32| -> Result<i64> {
        Ok(
            sqlx::query_scalar("SELECT tenancy.outbox_settle($1, $2, $3, $4, $5)")
                .bind(vec![house.a.tenant().as_uuid()])
                .bind(vec![id.as_uuid()])
                .bind(vec![attempt])
                .bind(vec![None::<String>])
                .bind(vec![0_i64])
                .fetch_one(worker)
                .await?,
        )
    };
    assert_eq!(settle(first).await?, 0);
    assert_eq!(
        house.number("SELECT count(*) FROM tenancy.outbox").await?,
        1
    );
    assert_eq!(settle(second).await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_handed_over_waits_with_the_reason_and_keeps_nobody_waiting() -> Result {
    let house = House::new().await?;
    let bad = house.add(&house.a, 1).await?[0];
    house.add(&house.b, 3).await?;
    // One that a newer version wrote: its kind can't be read here.
    house
        .change("INSERT INTO tenancy.outbox SELECT tenant_id, gen_random_uuid(), request_id, now(), now(), NULL, NULL, 0, NULL, 0, 'NO KIND', NULL, payload, principal, NULL FROM tenancy.outbox LIMIT 1")
        .await?;
    let outbox = Outbox::new(house.db.worker.clone());
    let drained = outbox
        .drain(50, |job| async move {
            if job.job_id == bad {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "queue_down",
                    "no\0 queue",
                ));
            }
            Ok(())
        })
        .await?;
    assert_eq!((drained.delivered, drained.failed), (3, 2));
    assert_eq!(drain(&outbox).await?.1.len(), 0, "not before its time");
    assert_eq!(
        house
            .number("SELECT count(*) FROM tenancy.outbox WHERE error = 'queue_down: no queue'")
            .await?,
        1
    );
    house
        .change("UPDATE tenancy.outbox SET due_at = now() WHERE kind = 'mail.send'")
        .await?;
    let (_, taken) = drain(&outbox).await?;
    assert_eq!(
        (taken.len(), taken[0].job_id, taken[0].attempt),
        (1, bad, 2)
    );
    Ok(())
}

#[tokio::test]
async fn work_of_a_suspended_tenant_waits_until_it_is_open_again_and_counts_no_try() -> Result {
    let house = House::new().await?;
    let tenants = Tenants::new(
        house.db.app.clone(),
        Arc::new(FakeAuthorizer::allowing_all()),
        Arc::new(NoRoles::new()),
        Arc::new(MemoryAudit::new()),
    );
    let outbox = Outbox::new(house.db.worker.clone());
    for (how, from) in [
        (Suspension::ReadOnly, TenantStatus::SuspendedReadOnly),
        (Suspension::Blocked, TenantStatus::SuspendedBlocked),
    ] {
        house.add(&house.a, 2).await?;
        house.add(&house.b, 1).await?;
        tenants.suspend(&house.a, how).await?;
        let (drained, taken) = drain(&outbox).await?;
        assert_eq!(drained.delivered, 1);
        assert_eq!(taken[0].tenant, house.b.tenant());
        tenants.resume(&house.a, from).await?;
        house
            .change("UPDATE tenancy.outbox SET due_at = now()")
            .await?;
        let (_, taken) = drain(&outbox).await?;
        assert_eq!(taken.len(), 2);
        assert!(taken.iter().all(|job| job.attempt == 1));
    }
    Ok(())
}

/// Work that a tenant has had for a while, as a backlog has it.
const BACKLOG: &str = "INSERT INTO tenancy.outbox (tenant_id, id, due_at, kind, payload, principal)
    SELECT tenant_id, gen_random_uuid(), due_at - interval '1 hour', kind, payload, principal
    FROM tenancy.outbox CROSS JOIN generate_series(1, 999)
    WHERE tenant_id = (SELECT min(tenant_id::text)::uuid FROM tenancy.outbox)";

#[tokio::test]
async fn a_backlog_of_one_tenant_keeps_nobody_waiting() -> Result {
    let house = House::new().await?;
    house.add(&house.a, 1).await?;
    house.add(&house.b, 2).await?;
    house.change(BACKLOG).await?;
    let outbox = Outbox::new(house.db.worker.clone());
    let page = async |outbox: &Outbox| -> Result<(Drained, usize)> {
        let of_b = Mutex::new(0);
        let drained = outbox
            .drain(10, |job| {
                if job.tenant == house.b.tenant() {
                    *of_b.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                }
                async { Ok(()) }
            })
            .await?;
        Ok((drained, of_b.into_inner()?))
    };
    // Both have a share; what one leaves, the other has.
    let (drained, of_b) = page(&outbox).await?;
    assert_eq!((drained.delivered, drained.more, of_b), (10, true, 2));
    // Also where a page has room for fewer than there are.
    house.add(&house.b, 1).await?;
    let turns = [
        outbox.drain(1, |_| async { Ok(()) }).await?,
        outbox.drain(1, |_| async { Ok(()) }).await?,
    ];
    assert!(turns.iter().all(|turn| turn.delivered == 1 && turn.more));
    let left = format!(
        "SELECT count(*) FROM tenancy.outbox WHERE tenant_id = '{}'",
        house.b.tenant()
    );
    let superuser = house.db.superuser().await?;
    let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(left))
        .fetch_one(&superuser)
        .await?;
    assert_eq!(left, 0, "the second had its turn");

    // A tenant that is closed is passed over as a whole.
    house.change("UPDATE tenancy.tenants SET status = 'suspended_blocked' WHERE id = (SELECT min(tenant_id::text)::uuid FROM tenancy.outbox)").await?;
    house.add(&house.b, 1).await?;
    let (drained, of_b) = page(&outbox).await?;
    assert_eq!((drained.delivered, drained.more, of_b), (1, false, 1));
    Ok(())
}

#[tokio::test]
async fn a_hand_over_that_hangs_has_failed_and_other_tenants_go_on() -> Result {
    let house = House::new().await?;
    house.add(&house.a, 5).await?;
    house.add(&house.b, 5).await?;
    let outbox = Outbox::new(house.db.worker.clone()).with_lease(Duration::from_secs(3));
    // Whoever's turn is first: for one of two it is the second.
    for hangs in [&house.a, &house.b] {
        let begun = Mutex::new(0);
        let drained = outbox
            .drain(50, |job| {
                let hangs = job.tenant == hangs.tenant();
                if hangs {
                    *begun.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                }
                async move {
                    if hangs {
                        std::future::pending::<()>().await;
                    }
                    Ok(())
                }
            })
            .await?;
        assert_eq!((drained.delivered, drained.failed), (5, 1));
        assert_eq!(begun.into_inner()?, 1, "one of them is waited for");
        let waits = "SELECT count(*) FROM tenancy.outbox
            WHERE error LIKE 'job_hand_over_slow: %' AND due_at > now() + interval '1 second'";
        assert_eq!(house.number(waits).await?, 1);
        house
            .change("UPDATE tenancy.outbox SET due_at = now(), error = NULL")
            .await?;
        assert_eq!(drain(&outbox).await?.1.len(), 5);
        house.add(&house.a, 5).await?;
        house.add(&house.b, 5).await?;
    }
    Ok(())
}

#[tokio::test]
async fn work_of_one_tenant_goes_in_the_order_in_which_it_was_due() -> Result {
    let house = House::new().await?;
    for ctx in [&house.a, &house.b] {
        for n in 0..40 {
            let at = chrono::Utc::now() - chrono::TimeDelta::minutes((n * 7) % 40 + 1);
            let job = NewJob::new(KIND, json!((n * 7) % 40)).with_run_at(at);
            house.sink.enqueue(ctx, job).await?;
        }
    }
    let (_, taken) = drain(&Outbox::new(house.db.worker.clone())).await?;
    assert_eq!(taken.len(), 80);
    for ctx in [&house.a, &house.b] {
        let mine = taken.iter().filter(|job| job.tenant == ctx.tenant());
        let order: Vec<_> = mine.map(|job| job.job.payload.as_i64()).collect();
        assert_eq!(order, (0..40).rev().map(Some).collect::<Vec<_>>());
    }
    // The first of each, then the second of each.
    let turns: Vec<_> = taken.iter().map(|job| job.tenant).collect();
    assert!(turns.chunks(2).all(|pair| pair[0] != pair[1]));
    Ok(())
}

/// Tries to store work as the app role under a principal; whether it was refused.
async fn is_refused(house: &House, ctx: &TenantCtx, principal: Value) -> Result<bool> {
    let mut tx = house.db.app.write(ctx).await?;
    let stored = sqlx::query(
        "INSERT INTO tenancy.outbox (tenant_id, id, request_id, due_at, priority, kind, payload, principal)
         VALUES ($1, gen_random_uuid(), $2, now(), 0, 'mail.send', '{}', $3)",
    )
    .bind(ctx.tenant())
    .bind(ctx.request_id())
    .bind(principal)
    .execute(&mut *tx)
    .await;
    match stored {
        Ok(_) => Ok(false),
        Err(error) => {
            let code = error.as_database_error().and_then(DatabaseError::code);
            assert_eq!(code.as_deref(), Some("42501"), "{error}");
            Ok(true)
        }
    }
}

#[tokio::test]
async fn nobody_stores_work_in_another_members_name_or_with_more_rights() -> Result {
    let house = House::new().await?;
    let other = testing::member(&house.db.app, &house.a).await?;
    let to_json = |principal: &Principal| serde_json::to_value(principal).unwrap();
    let mine = to_json(house.a.principal());
    let theirs = to_json(other.principal());
    let service = |permissions: &[&'static str]| {
        let keys = permissions.iter().copied().map(PermissionKey::from_static);
        Principal::service(ServiceKey::from_static("importer"), keys.collect())
    };
    assert!(!is_refused(&house, &house.a, mine.clone()).await?);
    for forged in [
        theirs.clone(),
        to_json(&Principal::user(house.a.user().unwrap()).on_behalf_of(other.user().unwrap())),
        to_json(&service(&[])),
        json!({"actor": {"kind": "service", "key": house.a.user(), "permissions": []}}),
        json!({"actor": {"kind": "user"}}),
        json!({}),
        json!(null),
        json!("user"),
    ] {
        assert!(
            is_refused(&house, &house.a, forged.clone()).await?,
            "{forged}"
        );
    }

    // A service keeps at most what the context brings.
    let ctx = house
        .db
        .app
        .enter_as(house.a.tenant(), service(&["a.b", "c.d"]))
        .await?;
    assert!(!is_refused(&house, &ctx, to_json(&service(&["a.b", "c.d"]))).await?);
    assert!(!is_refused(&house, &ctx, to_json(&service(&["c.d"]))).await?);
    for forged in [
        to_json(&service(&["a.b", "tenant.manage"])),
        to_json(&service(&["a.b"]).on_behalf_of(UserId::new())),
        json!({"actor": {"kind": "service", "key": "importer"}}),
        json!({"actor": {"kind": "service", "key": "importer", "permissions": "a.b"}}),
        json!({"actor": {"kind": "service", "key": "other", "permissions": []}}),
        mine,
    ] {
        assert!(is_refused(&house, &ctx, forged.clone()).await?, "{forged}");
    }

    // Support that acts for a member stays recognisable.
    let (actor, whom) = (house.a.user().unwrap(), other.user().unwrap());
    let ctx = testing::acting_for(&house.a, actor, whom);
    let support = ctx.principal().clone();
    assert!(!is_refused(&house, &ctx, to_json(&support)).await?);
    assert!(
        is_refused(&house, &ctx, theirs.clone()).await?,
        "without the trace"
    );

    // The planted fault: without the condition on the principal it is stored.
    house
        .change("DROP POLICY tenant_insert ON tenancy.outbox; CREATE POLICY tenant_insert ON tenancy.outbox FOR INSERT TO tenancy_app WITH CHECK (tenant_id = util.current_tenant())")
        .await?;
    assert!(!is_refused(&house, &house.a, theirs).await?);
    Ok(())
}

#[tokio::test]
async fn a_tenant_sees_its_own_outbox_and_the_app_role_claims_nothing() -> Result {
    let house = House::new().await?;
    house.add(&house.a, 1).await?;
    for (ctx, rows) in [(&house.a, 1), (&house.b, 0)] {
        let mut tx = house.db.app.read(ctx).await?;
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM tenancy.outbox")
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(seen, rows);
    }
    for sql in [
        "SELECT * FROM tenancy.outbox_claim('{}', 1, 1, 1000)",
        "SELECT * FROM tenancy.outbox_tenants(util.current_tenant(), 1)",
        "SELECT tenancy.outbox_purge(0, 1)",
        "UPDATE tenancy.outbox SET due_at = now()",
        "DELETE FROM tenancy.outbox",
    ] {
        let mut tx = house.db.app.write(&house.a).await?;
        let error = sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap_err();
        let code = error.as_database_error().and_then(DatabaseError::code);
        assert_eq!(code.as_deref(), Some("42501"), "{sql}");
    }
    Ok(())
}
