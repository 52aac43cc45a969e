//! Every order in which a load and a revoke can take their steps, by loom.
//!
//! What is tried is the shard of the cache itself. Its lock is the only thing that loads and revokes
//! share in memory, and a load takes it twice: to begin and to land. Between the two stands a
//! database that has one row.

use std::time::Duration;

use loom::{
    sync::{Arc, Mutex},
    thread,
};
use tenancy_core::{TenantId, UserId};

use super::{
    Hasher, Key,
    clock::Tick,
    entry::Start,
    shard::{Begun, Room, Shard},
};
use crate::{Epoch, Snapshot};

const BOUND: Duration = Duration::from_hours(1);
const ROOM: Room = Room {
    entries: 10,
    bytes: 1 << 20,
};

/// What the row says: the epoch, and whether the permission is held.
type Database = Arc<Mutex<(i64, bool)>>;

/// What a store answers to who knows this epoch.
fn ask(database: &Database, known: Option<Epoch>) -> Option<Snapshot> {
    let (epoch, allowed) = *database.lock().unwrap();
    (known != Some(epoch)).then(|| Snapshot {
        epoch,
        is_member: allowed,
        ..Snapshot::default()
    })
}

/// A shard, and how its keys are hashed.
struct Memory {
    shard: Mutex<Shard>,
    hasher: Hasher,
}

/// A check that finds nothing fresh.
fn load(memory: &Memory, database: &Database, key: Key, start: Start) -> Option<bool> {
    let begun = memory.shard.lock().unwrap().begin(key, start, BOUND);
    let Begun::Started { flight, known, .. } = begun else {
        // It waits for the answer of another, which that one gives.
        return None;
    };
    let found = ask(database, known.as_ref().map(|entry| entry.snapshot.epoch));
    let mut shard = memory.shard.lock().unwrap();
    let outcome = shard.land(key, &flight, known, Ok(found), BOUND);
    Some(outcome.unwrap().is_member)
}

fn peek(memory: &Memory, key: Key) -> Option<bool> {
    let mut shard = memory.shard.lock().unwrap();
    let fresh = shard.fresh(memory.hasher.hash(key), key, Tick::lately());
    fresh.map(|snapshot| snapshot.is_member)
}

/// A committed revoke: the row, then what the process is told.
fn revoke(memory: &Memory, database: &Database, tenant: TenantId) {
    *database.lock().unwrap() = (2, false);
    memory.shard.lock().unwrap().forget(&[tenant].into());
}

fn world() -> (Arc<Memory>, Database, Key, Start) {
    let key = Key {
        tenant: TenantId::new(),
        user: UserId::new(),
    };
    let hasher = Hasher::default();
    let memory = Arc::new(Memory {
        shard: Mutex::new(Shard::new(ROOM, hasher.clone())),
        hasher,
    });
    let database = Arc::new(Mutex::new((1, true)));
    (memory, database, key, Start::now())
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
    let (memory, database, key, start) = world();
    let loads: Vec<_> = (0..loads)
        .map(|_| {
            let (memory, database) = (memory.clone(), database.clone());
            thread::spawn(move || load(&memory, &database, key, start))
        })
        .collect();
    revoke(&memory, &database, key.tenant);
    // The revoke is over: whatever the loads still do, nobody is told yes from memory.
    assert_ne!(peek(&memory, key), Some(true));
    assert_ne!(load(&memory, &database, key, start), Some(true));
    for load in loads {
        load.join().unwrap();
    }
    assert_ne!(peek(&memory, key), Some(true));
}

#[test]
fn a_known_entry_is_not_confirmed_across_a_revoke() {
    loom::model(|| {
        let (memory, database, key, start) = world();
        load(&memory, &database, key, start);
        memory.shard.lock().unwrap().doubt();
        let confirming = {
            let (memory, database) = (memory.clone(), database.clone());
            thread::spawn(move || load(&memory, &database, key, start))
        };
        revoke(&memory, &database, key.tenant);
        assert_ne!(peek(&memory, key), Some(true));
        confirming.join().unwrap();
        assert_ne!(peek(&memory, key), Some(true));
    });
}
