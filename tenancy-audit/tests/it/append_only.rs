//! What was recorded stays: no grant, no policy and no partition gives the app a way to change it.

use crate::support::House;
use tenancy_core::{AuditSink as _, Event};

const REFUSED: Result<u64, &str> = Err("42501");

/// Statements with which a compromised service would cover its tracks.
const ATTACKS: &[&str] = &[
    "UPDATE tenancy.audit_logs SET action = 'nothing.happened'",
    "UPDATE tenancy.audit_logs SET meta = '{}' WHERE tenant_id = util.current_tenant()",
    "DELETE FROM tenancy.audit_logs",
    "DELETE FROM tenancy.audit_logs WHERE tenant_id = util.current_tenant()",
    "TRUNCATE tenancy.audit_logs",
    "SELECT 1 FROM tenancy.audit_logs FOR UPDATE",
    "DROP TABLE tenancy.audit_logs",
    "ALTER TABLE tenancy.audit_logs DISABLE ROW LEVEL SECURITY",
    "CREATE TRIGGER t AFTER INSERT ON tenancy.audit_logs EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE r AS ON INSERT TO tenancy.audit_logs DO INSTEAD NOTHING",
    "SELECT tenancy.audit_make_partitions(1)",
    "INSERT INTO tenancy.audit_logs SELECT * FROM tenancy.audit_logs ON CONFLICT (tenant_id, id) DO UPDATE SET action = 'x.y'",
];

#[tokio::test]
async fn the_app_role_can_neither_update_nor_delete() {
    let house = House::new().await;
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    for attack in ATTACKS {
        assert_eq!(
            house
                .as_app(&house.a, attack)
                .await
                .map_err(|e| e.leak() as &str),
            REFUSED,
            "{attack}"
        );
    }
    let entries = house.entries(&house.a).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].action, "thing.made");
    assert!(entries[0].verify().is_intact());
}

#[tokio::test]
async fn with_the_grants_and_policies_that_are_left_out_the_attack_succeeds() {
    let house = House::new().await;
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    house
        .as_owner(
            "DROP TRIGGER audit_append_only ON tenancy.audit_logs;
             GRANT UPDATE, DELETE ON tenancy.audit_logs TO tenancy_app;
             CREATE POLICY planted ON tenancy.audit_logs TO tenancy_app USING (true);",
        )
        .await;
    let update = "UPDATE tenancy.audit_logs SET action = 'nothing.happened'";
    assert_eq!(house.as_app(&house.a, update).await, Ok(1));
    let entries = house.entries(&house.a).await;
    assert!(
        !entries[0].verify().is_intact(),
        "the hash finds what the grant let through"
    );
    assert_eq!(
        house
            .as_app(&house.a, "DELETE FROM tenancy.audit_logs")
            .await,
        Ok(1)
    );
}

#[tokio::test]
async fn partitions_can_not_be_reached_directly() {
    let house = House::new().await;
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    let superuser = house.superuser().await;
    let partitions: Vec<String> = sqlx::query_scalar(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'tenancy.audit_logs'::regclass",
    )
    .fetch_all(&superuser)
    .await
    .unwrap();
    assert!(partitions.len() > 12, "{partitions:?}");
    for partition in partitions {
        for attack in [
            format!("SELECT * FROM {partition}"),
            format!("DELETE FROM {partition}"),
            format!("TRUNCATE {partition}"),
            format!("INSERT INTO {partition} SELECT * FROM tenancy.audit_logs"),
            format!("ALTER TABLE tenancy.audit_logs DETACH PARTITION {partition}"),
        ] {
            let attack: &'static str = attack.leak();
            assert_eq!(
                house
                    .as_app(&house.a, attack)
                    .await
                    .map_err(|e| e.leak() as &str),
                REFUSED,
                "{attack}"
            );
        }
    }
    let bare: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE inhparent = 'tenancy.audit_logs'::regclass
           AND NOT (relrowsecurity AND relforcerowsecurity)",
    )
    .fetch_all(&superuser)
    .await
    .unwrap();
    assert!(
        bare.is_empty(),
        "a second net: row security on the partitions, too: {bare:?}"
    );
}

#[tokio::test]
async fn a_grant_on_a_partition_would_meet_its_own_row_security() {
    let house = House::new().await;
    house
        .audit
        .record(&house.b, Event::new("thing.made"))
        .await
        .unwrap();
    let name: String =
        sqlx::query_scalar("SELECT tableoid::regclass::text FROM tenancy.audit_logs LIMIT 1")
            .fetch_one(&house.superuser().await)
            .await
            .unwrap();
    let grant: &'static str = format!("GRANT ALL ON {name} TO tenancy_app").leak();
    let read: &'static str = format!("SELECT * FROM {name}").leak();
    house.as_owner(grant).await;
    assert_eq!(house.as_app(&house.a, read).await, Ok(0));

    let fault: &'static str = format!("ALTER TABLE {name} DISABLE ROW LEVEL SECURITY").leak();
    house.as_owner(fault).await;
    assert_eq!(
        house.as_app(&house.a, read).await,
        Ok(1),
        "without it, the other tenant's entry shows"
    );
}

#[tokio::test]
async fn time_and_transaction_are_set_by_the_database_only() {
    let house = House::new().await;
    house
        .audit
        .record(&house.a, Event::new("thing.made"))
        .await
        .unwrap();
    for column in ["created_at", "txid"] {
        let attack: &'static str = format!(
            "INSERT INTO tenancy.audit_logs (tenant_id, id, actor_kind, actor_id, action, outcome, schema_version, content_hash, {column})
             SELECT tenant_id, gen_random_uuid(), actor_kind, actor_id, action, outcome, 1, content_hash, {column} FROM tenancy.audit_logs"
        )
        .leak();
        assert_eq!(
            house
                .as_app(&house.a, attack)
                .await
                .map_err(|e| e.leak() as &str),
            REFUSED,
            "{column}"
        );
    }
}

/// An entry in the raw, with the id and the actor's columns to be put in.
fn forged(id: &str, actor: &str) -> &'static str {
    format!(
        "INSERT INTO tenancy.audit_logs
             (tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, outcome, schema_version, content_hash)
         SELECT util.current_tenant(), {id}, {actor}, 'thing.made', 'allowed', 1, sha256('x')"
    )
    .leak()
}

const NOW: &str = "overlay(overlay(tenancy_now.id::text placing '7' from 15) placing 'a' from 20)::uuid
    FROM (SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || md5(random()::text))::text AS raw) r,
    LATERAL (SELECT (substr(r.raw, 1, 32))::uuid AS id) tenancy_now";

fn forged_now(actor: &str) -> &'static str {
    let (id, from) = NOW.split_once("FROM").unwrap();
    format!("{} FROM {from}", forged(id, actor)).leak()
}

#[tokio::test]
async fn nobody_signs_with_anothers_name() {
    let house = House::new().await;
    let honest = "util.current_actor_id()::uuid, 'user', util.current_actor_id(), NULL";
    assert_eq!(house.as_app(&house.a, forged_now(honest)).await, Ok(1));
    let lies = [
        "gen_random_uuid(), 'user', util.current_actor_id(), NULL",
        "NULL, 'user', util.current_actor_id(), NULL",
        "util.current_actor_id()::uuid, 'user', gen_random_uuid()::text, NULL",
        "NULL, 'service', 'importer', NULL",
        "util.current_actor_id()::uuid, 'api_key', util.current_actor_id(), NULL",
        "util.current_actor_id()::uuid, 'user', util.current_actor_id(), gen_random_uuid()",
    ];
    for lie in lies {
        let refused = house
            .as_app(&house.a, forged_now(lie))
            .await
            .map_err(|e| e.leak() as &str);
        assert_eq!(refused, REFUSED, "{lie}");
    }
    house
        .as_owner(
            "DROP POLICY tenant_insert ON tenancy.audit_logs;
             CREATE POLICY tenant_insert ON tenancy.audit_logs FOR INSERT TO tenancy_app
                 WITH CHECK (tenant_id = util.current_tenant());",
        )
        .await;
    for lie in lies {
        assert_eq!(
            house.as_app(&house.a, forged_now(lie)).await,
            Ok(1),
            "without the policy: {lie}"
        );
    }
}

#[tokio::test]
async fn an_entry_can_not_be_hidden_in_another_month() {
    let house = House::new().await;
    let honest = "util.current_actor_id()::uuid, 'user', util.current_actor_id(), NULL";
    for id in [
        "'00000000-0000-7000-8000-000000000000'::uuid",
        "'ffffffff-ffff-7fff-bfff-ffffffffffff'::uuid",
        "'018f0000-0000-7000-8000-000000000000'::uuid",
        "gen_random_uuid()",
    ] {
        assert_eq!(
            house.as_app(&house.a, forged(id, honest)).await,
            Err("23514".to_owned()),
            "{id}"
        );
    }
}
