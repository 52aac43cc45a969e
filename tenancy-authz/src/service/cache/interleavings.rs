//! Every order in which a load and a revoke can take their steps, by loom.
//!
//! The lock of a shard is the only thing that they share in memory: what is tried here is the
//! shard itself, between the steps of the cache, beside a database that has one row.

use std::time::Duration;

use loom::{
    sync::{Arc, Mutex},
    thread,
};
use tenancy_core::{TenantId, UserId};
use tokio::time::Instant;

use super::{
    Key,
    shard::{Begun, Entry, Shard},
};
use crate::Snapshot;

const BOUND: Duration = Duration::from_hours(1);

/// What the row says: the epoch, and whether the permission is held.
type Database = Arc<Mutex<(i64, bool)>>;

fn snapshot(database: &Database) -> Snapshot {
    let (epoch, allowed) = *database.lock().unwrap();
    Snapshot {
        epoch,
        is_member: allowed,
        ..Snapshot::default()
    }
}

/// The steps of a check that finds nothing fresh, as the cache takes them.
fn load(shard: &Mutex<Shard>, database: &Database, key: Key, now: Instant) -> Option<bool> {
    let begun = shard.lock().unwrap().begin(key, now, BOUND);
    let Begun::Started { flight, known, .. } = begun else {
        // It waits for the answer of another, which that one gives.
        return None;
    };
    let found = snapshot(database);
    let entry = match known {
        Some(entry) if entry.snapshot.epoch == found.epoch => entry.extended(now, BOUND),
        _ => Entry::new(found, now, BOUND),
    };
    let allowed = entry.snapshot.is_member;
    shard.lock().unwrap().keep(key, entry, &flight);
    shard.lock().unwrap().end(key, &flight);
    Some(allowed)
}

fn peek(shard: &Mutex<Shard>, key: Key, now: Instant) -> Option<bool> {
    let shard = shard.lock().unwrap();
    shard.fresh(key, now).map(|snapshot| snapshot.is_member)
}

/// A committed revoke: the row, then what the process is told.
fn revoke(shard: &Mutex<Shard>, database: &Database, tenant: TenantId) {
    *database.lock().unwrap() = (2, false);
    shard.lock().unwrap().forget(&[tenant].into());
}

fn world() -> (Arc<Mutex<Shard>>, Database, Key, Instant) {
    let key = Key {
        tenant: TenantId::new(),
        user: UserId::new(),
    };
    let shard = Arc::new(Mutex::new(Shard::new(10)));
    let database = Arc::new(Mutex::new((1, true)));
    (shard, database, key, Instant::now())
}

#[test]
fn a_load_begun_before_a_revoke_is_never_kept_after_it() {
    loom::model(|| loads_beside_a_revoke(1));
}

/// Two loads join or take each other's place; every order with at most two preemptions.
#[test]
fn nor_is_one_of_two_loads() {
    let mut some = loom::model::Builder::new();
    some.preemption_bound = Some(2);
    some.check(|| loads_beside_a_revoke(2));
}

fn loads_beside_a_revoke(loads: usize) {
    let (shard, database, key, now) = world();
    let loads: Vec<_> = (0..loads)
        .map(|_| {
            let (shard, database) = (shard.clone(), database.clone());
            thread::spawn(move || load(&shard, &database, key, now))
        })
        .collect();
    revoke(&shard, &database, key.tenant);
    // The revoke is over: whatever the loads still do, nobody is told yes from memory.
    assert_ne!(peek(&shard, key, now), Some(true));
    assert_ne!(load(&shard, &database, key, now), Some(true));
    for load in loads {
        load.join().unwrap();
    }
    assert_ne!(peek(&shard, key, now), Some(true));
}

#[test]
fn a_known_entry_is_not_confirmed_across_a_revoke() {
    loom::model(|| {
        let (shard, database, key, now) = world();
        load(&shard, &database, key, now);
        shard.lock().unwrap().doubt(now);
        let confirming = {
            let (shard, database) = (shard.clone(), database.clone());
            thread::spawn(move || load(&shard, &database, key, now))
        };
        revoke(&shard, &database, key.tenant);
        assert_ne!(peek(&shard, key, now), Some(true));
        confirming.join().unwrap();
        assert_ne!(peek(&shard, key, now), Some(true));
    });
}
