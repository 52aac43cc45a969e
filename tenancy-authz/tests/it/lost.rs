//! Denials while the audit log is down: they stand, are counted and are in the log of the process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tenancy_authz::{AuthzOptions, PgAuthorizer};
use tenancy_core::{Authorizer as _, ErrorKind as CoreKind};
use tracing::{Event, Level, Subscriber, field, span};

use crate::{
    gates::{app, call},
    support::{NoAuditToday, PURGE, Result, World},
};

/// Counts the denials that are not on record.
#[derive(Default)]
struct Unrecorded(Arc<AtomicU64>);

impl Recorder for Unrecorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name() {
            "tenancy_denials_unrecorded_total" => Counter::from_arc(self.0.clone()),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

type Fields = BTreeMap<&'static str, String>;

/// Keeps the errors that this thread logs, with their fields.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<Fields>>>);

impl Errors {
    fn take(&self) -> Vec<Fields> {
        std::mem::take(&mut *self.0.lock().expect("the errors"))
    }
}

impl Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        let mut told = Told(Fields::new());
        event.record(&mut told);
        self.0.lock().expect("the errors").push(told.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Told(Fields);

impl field::Visit for Told {
    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

#[tokio::test]
async fn with_the_audit_log_down_a_denial_stands_is_counted_and_is_logged() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let (recorder, errors) = (Unrecorded::default(), Errors::default());
    // This runtime has one thread, so both see every task of the test.
    let _counting = metrics::set_default_local_recorder(&recorder);
    let _reading = tracing::subscriber::set_default(errors.clone());
    let authz = Arc::new(PgAuthorizer::new(
        world.db.app.clone(),
        Arc::new(NoAuditToday),
    ));
    let app = app(&world, authz.clone())?;
    assert_eq!(
        call(&app, "/purge", Some(&reader)).await?.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(recorder.0.load(Ordering::SeqCst), 1);
    let told = errors.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["tenant"], reader.tenant().to_string());
    assert!(!told[0]["request"].is_empty(), "{told:?}");

    let denied = authz.require_key(&reader, &PURGE).await.unwrap_err();
    assert_eq!(denied.kind(), CoreKind::Denied);
    assert_eq!(recorder.0.load(Ordering::SeqCst), 2);
    let expected = Fields::from([
        ("denials", "1".to_owned()),
        ("error", "the audit log is down".to_owned()),
        ("message", "a denial could not be recorded".to_owned()),
        ("request", reader.request_id().to_string()),
        ("tenant", reader.tenant().to_string()),
    ]);
    assert_eq!(errors.take(), [expected]);

    // Who is not denied is no loss.
    assert_eq!(
        call(&app, "/templates", Some(&reader)).await?.0,
        StatusCode::OK
    );
    assert_eq!(recorder.0.load(Ordering::SeqCst), 2);
    assert_eq!(errors.take(), []);
    Ok(())
}

#[tokio::test]
async fn of_denials_folded_into_one_entry_that_is_lost_each_is_counted() -> Result {
    let world = World::new().await?;
    let reader = world.member(&["viewer"]).await?;
    let (recorder, errors) = (Unrecorded::default(), Errors::default());
    let _counting = metrics::set_default_local_recorder(&recorder);
    let _reading = tracing::subscriber::set_default(errors.clone());
    let window = std::time::Duration::from_mins(1);
    let options = AuthzOptions::default().with_folded_denials(window);
    let authz = PgAuthorizer::with_options(world.db.app.clone(), Arc::new(NoAuditToday), options);
    for _ in 0..5 {
        let denied = authz.require_key(&reader, &PURGE).await.unwrap_err();
        assert_eq!(denied.kind(), CoreKind::Denied);
    }
    assert_eq!(recorder.0.load(Ordering::SeqCst), 1);
    authz.flush_denials().await;
    assert_eq!(recorder.0.load(Ordering::SeqCst), 5);
    let told = errors.take();
    let denials: Vec<_> = told
        .iter()
        .map(|fields| fields["denials"].as_str())
        .collect();
    assert_eq!(denials, ["1", "4"]);
    Ok(())
}
