//! What every implementation of a port has to do. Each function panics where it does not.

#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "these functions are tests"
)]

use std::fmt::Debug;

use tenancy_core::{Event, TenantCtx, TenantId};
use url::Url;
use zeroize::Zeroizing;

use crate::{
    Aead, Binding, DataKey, Envelope, Error, ErrorKind, FieldKey, KeyId, KeyState, KeyWrap,
    OAuthHttp, OAuthRequest, ProviderKey, RecordKey, SecretId, SecretPath, SecretQuery,
    SecretStore, SecretWrite, StoredKey, WrapContext, WrappedKey, Written,
};

fn good<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("{}: {error}", error.code()))
}

fn refused<T>(result: Result<T, Error>, kind: ErrorKind) {
    match result {
        Ok(_) => panic!("this has to be refused"),
        Err(error) => assert_eq!(error.kind(), kind, "{error}"),
    }
}

/// A [`KeyWrap`] binds a key to its context and finds every damage.
pub async fn key_wrap(wrap: &dyn KeyWrap) {
    let (tenant, id) = (TenantId::new(), KeyId::new());
    let context = WrapContext::new(tenant, id);
    let key = good(DataKey::generate());
    let wrapped = good(wrap.wrap(&context, &key).await);
    assert_eq!(wrapped.kek_id, wrap.primary());
    assert_ne!(
        wrapped,
        good(wrap.wrap(&context, &key).await),
        "two wraps of one key must differ"
    );
    assert!(
        !wrapped
            .bytes
            .windows(32)
            .any(|window| window == key.expose())
    );
    assert_eq!(
        good(wrap.unwrap(&context, &wrapped).await).expose(),
        key.expose()
    );

    let others = [
        WrapContext::new(TenantId::new(), id),
        WrapContext::new(tenant, KeyId::new()),
    ];
    for other in others {
        refused(wrap.unwrap(&other, &wrapped).await, ErrorKind::Unreadable);
    }
    for at in 0..wrapped.bytes.len() {
        let mut damaged = wrapped.clone();
        if let Some(byte) = damaged.bytes.get_mut(at) {
            *byte ^= 1;
        }
        refused(wrap.unwrap(&context, &damaged).await, ErrorKind::Unreadable);
        let cut = wrapped.bytes.get(..at).unwrap_or_default().to_vec();
        let cut = WrappedKey::new(&wrapped.kek_id, cut);
        refused(wrap.unwrap(&context, &cut).await, ErrorKind::Unreadable);
    }
    let unknown = WrappedKey::new("no-such-key", wrapped.bytes);
    refused(
        wrap.unwrap(&context, &unknown).await,
        ErrorKind::Misconfigured,
    );
}

/// Two [`Aead`]s open what the other sealed, and refuse what was changed.
pub fn aead(one: &dyn Aead, other: &dyn Aead) {
    for length in [0, 1, 15, 16, 17, 64, 1_000, 16_384] {
        let plaintext = vec![7_u8; length];
        let key = RecordKey::new(Zeroizing::new([3; 32]), [5; 12]);
        let mut sealed = plaintext.clone();
        good(one.seal(&key, b"context", &mut sealed));
        assert_eq!(sealed.len(), length + 16);

        let mut opened = sealed.clone();
        good(other.open(&key, b"context", &mut opened));
        assert_eq!(opened, plaintext);

        refused(
            other.open(&key, b"another", &mut sealed.clone()),
            ErrorKind::Unreadable,
        );
        let mut damaged = sealed.clone();
        if let Some(byte) = damaged.last_mut() {
            *byte ^= 1;
        }
        refused(
            other.open(&key, b"context", &mut damaged),
            ErrorKind::Unreadable,
        );
        assert!(
            length == 0 || !damaged.starts_with(&plaintext),
            "plaintext of a refused record"
        );
        let mut short = sealed.get(..15).unwrap_or_default().to_vec();
        refused(
            other.open(&key, b"context", &mut short),
            ErrorKind::Unreadable,
        );
    }
}

/// An envelope that opens nowhere, under a key.
fn envelope(key: KeyId) -> Envelope {
    Envelope {
        suite: crate::Suite::HkdfSha256Aes256Gcm,
        key,
        salt: [1; 32],
        commitment: [2; 32],
        sealed: vec![3; 20],
    }
}

fn write(key: KeyId, id: SecretId, path: &SecretPath, replaces: i64) -> SecretWrite {
    SecretWrite::new(id, path.clone(), envelope(key), replaces + 1, replaces)
}

fn stored_key(state: KeyState) -> StoredKey {
    StoredKey::new(
        KeyId::new(),
        state,
        Some(WrappedKey::new("kek", vec![1, 2, 3])),
    )
}

fn some<T>(value: Option<T>) -> T {
    value.unwrap_or_else(|| panic!("this has to be there"))
}

/// A [`SecretStore`] keeps tenants apart, replaces by compare-and-set, and writes under the active
/// key only. `promote` makes another key active, as a rotation does.
pub async fn secret_store<F, P>(store: &dyn SecretStore, a: &TenantCtx, b: &TenantCtx, promote: F)
where
    F: Fn(StoredKey) -> P,
    P: Future<Output = ()>,
{
    let key = keys(store, a).await;
    let other = good(store.install_key(b, &stored_key(KeyState::Active)).await);
    let path = SecretPath::new(ProviderKey::from_static("smartlead"));
    let id = SecretId::new();

    rows(store, a, key.id, id, &path).await;
    apart(store, a, b, (key.id, other.id), id, &path).await;
    tokens_are_hidden(store, a, key.id).await;

    let next = stored_key(KeyState::Active);
    promote(next.clone()).await;
    assert_eq!(good(store.active_key(a).await), Some(next.clone()));
    assert_eq!(
        some(good(store.key(a, key.id).await)).state,
        KeyState::DecryptOnly
    );
    let event = || Event::new("secret.written");
    let old = write(key.id, id, &path, 2);
    assert_eq!(good(store.put(a, &old, event()).await), Written::KeyRetired);
    assert_eq!(
        some(good(store.get(a, id).await)).generation,
        2,
        "a refused write was stored"
    );
    assert_eq!(
        good(store.put(a, &write(next.id, id, &path, 2), event()).await),
        Written::Done
    );

    assert!(!good(
        store.delete(b, id, Event::new("secret.deleted")).await
    ));
    assert!(good(
        store.delete(a, id, Event::new("secret.deleted")).await
    ));
    assert!(!good(
        store.delete(a, id, Event::new("secret.deleted")).await
    ));
    assert_eq!(good(store.get(a, id).await), None);
}

async fn keys(store: &dyn SecretStore, ctx: &TenantCtx) -> StoredKey {
    assert_eq!(good(store.active_key(ctx).await), None);
    let first = stored_key(KeyState::Active);
    assert_eq!(good(store.install_key(ctx, &first).await), first);
    let second = good(store.install_key(ctx, &stored_key(KeyState::Active)).await);
    assert_eq!(second, first, "a second first key has to give way");
    assert_eq!(good(store.active_key(ctx).await), Some(first.clone()));
    assert_eq!(good(store.key(ctx, KeyId::new()).await), None);
    first
}

async fn rows(
    store: &dyn SecretStore,
    ctx: &TenantCtx,
    key: KeyId,
    id: SecretId,
    path: &SecretPath,
) {
    let event = || Event::new("secret.written");
    assert_eq!(
        good(store.put(ctx, &write(key, id, path, 0), event()).await),
        Written::Done
    );
    let row = some(good(store.get(ctx, id).await));
    assert_eq!(
        (row.generation, row.meta.version, &row.meta.path),
        (1, 1, path)
    );
    assert_eq!(row.envelope, envelope(key));
    assert_eq!(good(store.find(ctx, path).await), Some(row));

    let taken = write(key, SecretId::new(), path, 0);
    assert_eq!(good(store.put(ctx, &taken, event()).await), Written::Stale);
    let early = write(key, id, path, 2);
    assert_eq!(good(store.put(ctx, &early, event()).await), Written::Stale);
    assert_eq!(
        good(store.put(ctx, &write(key, id, path, 1), event()).await),
        Written::Done
    );
    assert_eq!(
        good(store.put(ctx, &write(key, id, path, 1), event()).await),
        Written::Stale
    );
    assert_eq!(some(good(store.get(ctx, id).await)).generation, 2);

    let listed = good(store.list(ctx, &SecretQuery::default()).await);
    assert_eq!(listed.iter().map(|meta| meta.id).collect::<Vec<_>>(), [id]);
    let other = SecretQuery::default().with_provider(ProviderKey::from_static("other"));
    assert_eq!(good(store.list(ctx, &other).await), []);
    assert_eq!(
        good(
            store
                .list(ctx, &SecretQuery::default().with_after(id))
                .await
        ),
        []
    );
}

async fn apart(
    store: &dyn SecretStore,
    a: &TenantCtx,
    b: &TenantCtx,
    (key_a, key_b): (KeyId, KeyId),
    id: SecretId,
    path: &SecretPath,
) {
    fn none<T: Debug + PartialEq>(found: Result<Option<T>, Error>) {
        assert_eq!(good(found), None, "another tenant's row");
    }
    let event = || Event::new("secret.written");
    none(store.get(b, id).await);
    none(store.find(b, path).await);
    none(store.key(b, key_a).await);
    assert_eq!(good(store.list(b, &SecretQuery::default()).await), []);
    let foreign_key = write(key_a, SecretId::new(), path, 0);
    assert_eq!(
        good(store.put(b, &foreign_key, event()).await),
        Written::KeyRetired
    );
    // The same path, and even the same id, in another tenant is another secret.
    assert_eq!(
        good(store.put(b, &write(key_b, id, path, 0), event()).await),
        Written::Done
    );
    assert!(good(
        store.delete(b, id, Event::new("secret.deleted")).await
    ));
    assert!(good(store.get(a, id).await).is_some());
}

async fn tokens_are_hidden(store: &dyn SecretStore, ctx: &TenantCtx, key: KeyId) {
    let connection = crate::ConnectionId::new();
    let provider = ProviderKey::from_static("google");
    let field = FieldKey::from_static("refresh_token");
    let path = SecretPath::of_connection(provider, connection, field);
    let id = SecretId::new();
    let token = write(key, id, &path, 0).of_connection(connection);
    assert_eq!(
        good(store.put(ctx, &token, Event::new("secret.written")).await),
        Written::Done
    );
    assert_eq!(good(store.get(ctx, id).await), None);
    assert_eq!(good(store.find(ctx, &path).await), None);
    assert!(
        good(store.list(ctx, &SecretQuery::default()).await)
            .iter()
            .all(|meta| meta.id != id)
    );
    assert!(!good(
        store.delete(ctx, id, Event::new("secret.deleted")).await
    ));
}

/// An [`OAuthHttp`] sends to allowed hosts only, follows nothing, and bounds what it reads. `peer`
/// answers `/ok` with 200 and `yes`, `/redirect` with a 302 to `/ok`, `/big` with a megabyte;
/// nobody listens at `nobody`.
pub async fn oauth_http(http: &dyn OAuthHttp, peer: &Url, nobody: &Url) {
    let at = |path: &str| peer.join(path).unwrap_or_else(|error| panic!("{error}"));
    let host = vec![peer.host_str().unwrap_or_default().to_owned()];
    let get = |path: &str| OAuthRequest::new("GET", at(path), host.clone());

    let answer = good(http.send(get("/ok")).await);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"yes"[..]));
    assert_eq!(good(http.send(get("/redirect")).await).status, 302);
    let big = http.send(get("/big")).await.err();
    assert_eq!(big.map(|error| error.code()), Some(crate::NO_ANSWER));

    let stranger = OAuthRequest::new("GET", at("/ok"), vec!["provider.example".to_owned()]);
    refused(http.send(stranger).await, ErrorKind::Misconfigured);
    let plain = "http://provider.example/"
        .parse()
        .unwrap_or_else(|error| panic!("{error}"));
    let plain = OAuthRequest::new("GET", plain, vec!["provider.example".to_owned()]);
    refused(http.send(plain).await, ErrorKind::Misconfigured);
    let closed = http
        .send(OAuthRequest::new("GET", nobody.clone(), host.clone()))
        .await
        .err();
    assert_eq!(closed.map(|error| error.code()), Some(crate::NOT_SENT));
}

/// A binding for tests of a host's own [`Aead`] or store.
pub fn some_binding(tenant: TenantId) -> Binding {
    let (provider, field) = (
        ProviderKey::from_static("acme"),
        FieldKey::from_static("api_key"),
    );
    Binding::new(tenant, provider, SecretId::new().as_uuid(), field, 1)
}
