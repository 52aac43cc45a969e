use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::{sync::oneshot, time};

use super::*;

const BOUND: Duration = Duration::from_secs(1);
const SHORTLY: Duration = Duration::from_millis(10);

fn cache(bound: Duration) -> Arc<SnapshotCache> {
    Arc::new(SnapshotCache::new(bound, room(1_000)))
}

fn room(entries: usize) -> Room {
    Room {
        entries,
        bytes: 1 << 20,
    }
}

fn somebody() -> Key {
    Key {
        tenant: TenantId::new(),
        user: UserId::new(),
    }
}

/// What the database says before the revoke (epoch 1, allowed) or after it (epoch 2, not).
fn says(allowed: bool) -> Snapshot {
    let permissions = allowed.then_some(7).into_iter().collect();
    let epoch = if allowed { 1 } else { 2 };
    Snapshot {
        epoch,
        is_member: true,
        permissions,
        ..Snapshot::default()
    }
}

fn allows(snapshot: &Snapshot) -> bool {
    snapshot.permissions.contains(7)
}

async fn load(cache: &Arc<SnapshotCache>, key: Key, said: Snapshot) -> bool {
    let loaded = cache.load(key, |_| async { Ok(Some(said)) }).await;
    allows(&loaded.unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_never_older_than_the_bound() {
    let (cache, key) = (cache(BOUND), somebody());
    assert!(load(&cache, key, says(true)).await);
    time::advance(BOUND.checked_sub(SHORTLY).unwrap()).await;
    assert_eq!(cache.peek(key, allows), Some(true));
    time::advance(SHORTLY).await;
    assert_eq!(cache.peek(key, allows), None);
}

#[tokio::test(start_paused = true)]
async fn the_time_a_load_takes_counts_as_age() {
    let (cache, key) = (cache(BOUND), somebody());
    let slow = |_| async {
        time::sleep(BOUND / 2).await;
        Ok(Some(says(true)))
    };
    cache.load(key, slow).await.unwrap();
    time::advance(BOUND / 2).await;
    assert_eq!(cache.peek(key, allows), None);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_epoch_extends_what_is_known() {
    let (cache, key) = (cache(BOUND), somebody());
    load(&cache, key, says(true)).await;
    time::advance(BOUND).await;
    let unchanged = |known| async move {
        assert_eq!(known, Some(1));
        Ok(None)
    };
    assert!(allows(&cache.load(key, unchanged).await.unwrap()));
    assert_eq!(cache.peek(key, allows), Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_ends_by_the_clock_ends_here_though_no_epoch_tells() {
    let (cache, key) = (cache(BOUND), somebody());
    let ending = Snapshot {
        valid_for: Some(BOUND * 3 / 2),
        ..says(true)
    };
    load(&cache, key, ending).await;
    time::advance(BOUND).await;
    cache.load(key, |_| async { Ok(None) }).await.unwrap();
    assert_eq!(cache.peek(key, allows), Some(true));
    time::advance(BOUND / 2).await;
    assert_eq!(cache.peek(key, allows), None, "it ended before the bound");
    let asked = cache.load(key, |known| async move {
        assert_eq!(known, None, "the same epoch means nothing here");
        Ok(Some(says(false)))
    });
    assert!(!allows(&asked.await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_unavailable_and_never_what_was_known_before() {
    let (cache, key) = (cache(BOUND), somebody());
    load(&cache, key, says(true)).await;
    time::advance(BOUND).await;
    let failing = cache
        .load(key, |_| async { Err(unavailable("no database")) })
        .await;
    assert_eq!(failing.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(cache.peek(key, allows), None);
    let panicking = cache
        .load(key, |_| async { panic!("a bug in a store") })
        .await;
    assert_eq!(panicking.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(
        load(&cache, key, says(true)).await,
        "and the next load works"
    );
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_load_once() {
    let (cache, key, loads) = (cache(BOUND), somebody(), Arc::new(AtomicUsize::new(0)));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (cache, loads) = (cache.clone(), loads.clone());
        let slow = move |_| async move {
            loads.fetch_add(1, SeqCst);
            time::sleep(SHORTLY).await;
            Ok(Some(says(true)))
        };
        asking.spawn(async move { allows(&cache.load(key, slow).await.unwrap()) });
    }
    assert_eq!(asking.join_all().await, [true; 100]);
    assert_eq!(loads.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_does_not_stop_the_load_for_others() {
    let (cache, key) = (cache(BOUND), somebody());
    let slow = |_| async {
        time::sleep(SHORTLY).await;
        Ok(Some(says(true)))
    };
    let gone = time::timeout(SHORTLY / 2, cache.load(key, slow)).await;
    assert!(gone.is_err());
    time::sleep(SHORTLY).await;
    assert_eq!(cache.peek(key, allows), Some(true));
}

/// A load that answers when told to, with what the database said when it was asked.
fn pending(
    said: Snapshot,
) -> (
    oneshot::Sender<()>,
    impl Future<Output = Result<Option<Snapshot>, Error>>,
) {
    let (land, landing) = oneshot::channel();
    let load = async move {
        landing.await.unwrap();
        Ok(Some(said))
    };
    (land, load)
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_revoke_is_neither_kept_nor_joined_after_it() {
    let (cache, key) = (cache(BOUND), somebody());
    let (land, load_before) = pending(says(true));
    let before = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.load(key, move |_| load_before).await })
    };
    tokio::task::yield_now().await;
    cache.forget(&[key.tenant].into());
    assert!(
        !load(&cache, key, says(false)).await,
        "a check after the revoke asks anew"
    );
    land.send(()).unwrap();
    assert!(
        allows(&before.await.unwrap().unwrap()),
        "the check before it may still be told yes"
    );
    assert_eq!(
        cache.peek(key, allows),
        Some(false),
        "and that answer is not kept"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_being_loaded_when_a_tenant_was_forgotten_is_not_kept() {
    let (cache, key) = (cache(BOUND), somebody());
    let (land, load_before) = pending(says(true));
    let before = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.load(key, move |_| load_before).await })
    };
    tokio::task::yield_now().await;
    cache.forget(&[key.tenant].into());
    land.send(()).unwrap();
    before.await.unwrap().unwrap();
    assert_eq!(cache.peek(key, allows), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_does_not_overwrite_what_a_later_one_found() {
    let (cache, key) = (cache(BOUND), somebody());
    let (land, load_before) = pending(says(true));
    let before = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.load(key, move |_| load_before).await })
    };
    tokio::task::yield_now().await;
    // The revoke happens in another process: nobody tells this one. Past the bound nobody joins.
    time::advance(BOUND).await;
    assert!(!load(&cache, key, says(false)).await);
    land.send(()).unwrap();
    before.await.unwrap().unwrap();
    assert_eq!(cache.peek(key, allows), Some(false));
}

#[tokio::test(start_paused = true)]
async fn with_a_bound_of_zero_every_check_asks() {
    let (cache, key) = (cache(Duration::ZERO), somebody());
    let (land, load_before) = pending(says(true));
    let before = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.load(key, move |_| load_before).await })
    };
    tokio::task::yield_now().await;
    assert!(
        !load(&cache, key, says(false)).await,
        "it does not join the load under way"
    );
    land.send(()).unwrap();
    before.await.unwrap().unwrap();
    assert_eq!(cache.peek(key, allows), None);
}

#[tokio::test(start_paused = true)]
async fn forgetting_a_tenant_leaves_the_others() {
    let cache = cache(BOUND);
    let (one, two) = (somebody(), somebody());
    let colleague = Key {
        user: UserId::new(),
        ..one
    };
    for key in [one, two, colleague] {
        load(&cache, key, says(true)).await;
    }
    cache.forget(&[one.tenant].into());
    let kept = [one, two, colleague].map(|key| cache.peek(key, allows));
    assert_eq!(kept, [None, Some(true), None]);
}

#[tokio::test(start_paused = true)]
async fn forgetting_a_tenant_leaves_what_others_are_loading() {
    let (cache, one, two) = (cache(BOUND), somebody(), somebody());
    let (land, loading) = pending(says(true));
    let other = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.load(two, move |_| loading).await })
    };
    tokio::task::yield_now().await;
    cache.forget(&[one.tenant].into());
    land.send(()).unwrap();
    other.await.unwrap().unwrap();
    assert_eq!(cache.peek(two, allows), Some(true));
}

#[tokio::test(start_paused = true)]
async fn what_is_doubted_is_confirmed_by_the_epoch_before_it_counts_again() {
    let (cache, key) = (cache(BOUND), somebody());
    load(&cache, key, says(true)).await;
    let (land, slow) = pending(says(true));
    let other = somebody();
    let loading = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.load(other, move |_| slow).await })
    };
    tokio::task::yield_now().await;
    cache.doubt();
    assert_eq!(cache.peek(key, allows), None);
    let confirmed = cache.load(key, |known| async move {
        assert_eq!(known, Some(1));
        Ok(None)
    });
    assert!(allows(&confirmed.await.unwrap()));
    assert_eq!(cache.peek(key, allows), Some(true));
    land.send(()).unwrap();
    loading.await.unwrap().unwrap();
    assert_eq!(cache.peek(other, allows), None, "asked before the doubt");
}

#[tokio::test(start_paused = true)]
async fn the_same_user_in_two_tenants_and_two_users_in_one_are_told_apart() {
    let (cache, here) = (cache(BOUND), somebody());
    load(&cache, here, says(true)).await;
    // Also when the two ids are exchanged: a joined text key could collide.
    let swapped = Key {
        tenant: TenantId::from_uuid(here.user.as_uuid()),
        user: UserId::from_uuid(here.tenant.as_uuid()),
    };
    let elsewhere = Key {
        tenant: TenantId::new(),
        ..here
    };
    for other in [
        swapped,
        elsewhere,
        Key {
            user: UserId::new(),
            ..here
        },
    ] {
        assert_eq!(cache.peek(other, allows), None);
    }
}

/// How many entries there are, what they weigh, and how many loads are under way.
fn counts(cache: &SnapshotCache) -> (usize, usize, usize) {
    let (mut entries, mut bytes, mut flights) = (0, 0, 0);
    for shard in &cache.shards {
        let shard = lock(shard);
        let (its_entries, its_bytes, its_flights) = shard.counts();
        assert_eq!(its_bytes, shard.weighed(), "it keeps count");
        entries += its_entries;
        bytes += its_bytes;
        flights += its_flights;
    }
    (entries, bytes, flights)
}

#[tokio::test(start_paused = true)]
async fn the_number_of_entries_is_bounded() {
    let cache = Arc::new(SnapshotCache::new(BOUND, room(160)));
    for _ in 0..1_000 {
        load(&cache, somebody(), says(true)).await;
    }
    let (kept, _, flying) = counts(&cache);
    assert!((100..=160).contains(&kept), "{kept} snapshots");
    assert_eq!(flying, 0);
}

/// A snapshot that weighs a few kilobytes.
fn heavy() -> Snapshot {
    let role = |at: u16| tenancy_core::RoleKey::parse(format!("role_{at}")).unwrap();
    Snapshot {
        permissions: [10_000].into_iter().collect(),
        roles: (0..100).map(role).collect(),
        ..says(true)
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_by_bytes_however_much_a_snapshot_weighs() {
    let bytes = 1 << 20;
    let many = Room {
        entries: 100_000,
        bytes,
    };
    let cache = Arc::new(SnapshotCache::new(BOUND, many));
    for at in 0..2_000 {
        let said = if at % 2 == 0 { heavy() } else { says(true) };
        load(&cache, somebody(), said).await;
    }
    let (kept, weigh, _) = counts(&cache);
    assert!(weigh <= bytes && weigh > bytes / 2, "{weigh} bytes");
    assert!((100..1_000).contains(&kept), "{kept} snapshots");

    // What grows and shrinks in its place is counted as well, and so is what is forgotten.
    let key = somebody();
    for said in [says(true), heavy(), says(false), heavy()] {
        load(&cache, key, said).await;
        time::advance(BOUND).await;
        assert!(counts(&cache).1 <= bytes);
    }
    cache.forget(&[key.tenant].into());
    assert!(counts(&cache).1 <= bytes);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_is_answered_and_not_kept() {
    let none = Room {
        entries: 100,
        bytes: 0,
    };
    let (cache, key) = (Arc::new(SnapshotCache::new(BOUND, none)), somebody());
    assert!(load(&cache, key, says(true)).await);
    assert_eq!(cache.peek(key, allows), None);
    assert_eq!(counts(&cache), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_is_always_there_is_not_evicted_by_a_crowd_that_comes_once() {
    let cache = Arc::new(SnapshotCache::new(BOUND, room(320)));
    let regulars: Vec<_> = (0..50).map(|_| somebody()).collect();
    for key in &regulars {
        load(&cache, *key, says(true)).await;
    }
    for _ in 0..10_000 {
        load(&cache, somebody(), says(true)).await;
        for key in &regulars {
            assert_eq!(cache.peek(*key, allows), Some(true));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_last_tick_that_lags_makes_nothing_older_than_the_bound() {
    let (cache, key) = (cache(BOUND), somebody());
    for lag in [Duration::ZERO, SHORTLY, clock::SLACK] {
        clock::source::lag(lag);
        load(&cache, key, says(true)).await;
        time::advance(BOUND.checked_sub(SHORTLY).unwrap()).await;
        assert_eq!(cache.peek(key, allows), Some(true), "{lag:?}");
        time::advance(SHORTLY).await;
        assert_eq!(cache.peek(key, allows), None, "{lag:?}");
    }
    // It stopped for longer than any kernel lets it, and was found out when something was loaded.
    clock::source::lag(BOUND / 2);
    load(&cache, key, says(true)).await;
    time::advance(BOUND).await;
    assert_eq!(cache.peek(key, allows), None);
    clock::source::lag(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_last_tick_that_stands_still_after_a_load_is_found_out() {
    for asked_meanwhile in [0, 1, 10, 1_000, 100_000] {
        let (cache, key) = (cache(BOUND), somebody());
        load(&cache, key, says(true)).await;
        for _ in 0..asked_meanwhile {
            assert_eq!(cache.peek(key, allows), Some(true));
        }
        // The clock goes on, and the kernel's tick does not.
        clock::source::lag(BOUND);
        time::advance(BOUND).await;
        let late = (0..1_000).filter(|_| cache.peek(key, allows).is_some());
        let limit = asked_meanwhile.min(usize::from(clock::LONGEST_TRUST));
        assert!(late.count() <= limit, "after {asked_meanwhile} checks");
        clock::source::lag(Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_doubted_is_not_believed_by_a_tick_that_lags_either() {
    let (cache, key) = (cache(BOUND), somebody());
    load(&cache, key, says(true)).await;
    for _ in 0..100 {
        assert_eq!(cache.peek(key, allows), Some(true));
    }
    clock::source::lag(BOUND / 2);
    time::advance(BOUND / 2).await;
    cache.doubt();
    assert_eq!(cache.peek(key, allows), None);
    clock::source::lag(Duration::ZERO);
}
