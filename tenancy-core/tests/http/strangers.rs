//! Whoever is no member learns nothing: not from the answer, and not from the work it takes.

use std::{cell::RefCell, collections::BTreeMap, sync::Once};

use tenancy_core::testing;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::app::{Answer, App, Result, login, slug_of};

thread_local! {
    /// The statements that this thread's test has sent, while it counts.
    static SENT: RefCell<Option<BTreeMap<String, u32>>> = const { RefCell::new(None) };
}

/// Counts the statements of each thread's test. For the whole program, before the first of them: what
/// comes later may miss a place in the code that others are just passing for the first time.
struct Statements;

pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let only = tracing::subscriber::set_global_default(Statements).is_ok();
        assert!(only, "somebody else listens already");
    });
}

struct Summary(String);

impl Visit for Summary {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "summary" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut summary = Summary(String::new());
        event.record(&mut summary);
        // What a pool does with its connections is not the request's work.
        if !summary.0.contains("ROLLBACK") {
            SENT.with_borrow_mut(|sent| {
                if let Some(sent) = sent {
                    *sent.entry(summary.0).or_default() += 1;
                }
            });
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The answer and what it cost.
async fn watched(app: &App, path: &str, headers: &[(&str, &str)]) -> Result<(Answer, Vec<String>)> {
    SENT.set(Some(BTreeMap::new()));
    let answer = app.ask(path, headers).await;
    let sent = SENT.take().unwrap_or_default();
    let sent = sent
        .into_iter()
        .map(|(sql, times)| format!("{times} x {sql}"));
    Ok((answer?, sent.collect()))
}

/// Everything a client can see, without what differs between any two requests.
fn visible(answer: &Answer) -> String {
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value:?}"));
    let headers = headers.collect::<Vec<_>>().join("\n");
    let mut shown = format!("{} {}\n{headers}", answer.status, answer.body);
    for own in ["x-request-id", "traceparent"] {
        assert!(!answer.header(own).is_empty(), "{own}");
        shown = shown.replace(answer.header(own), own);
    }
    shown
}

#[tokio::test]
async fn an_unknown_tenant_a_foreign_one_and_a_deleted_one_look_and_cost_the_same() -> Result {
    let app = App::start().await?;
    let member = testing::member(&app.db.app, &app.ctx).await?;
    let deleted = testing::tenant(&app.db.app).await?;
    let (deleted_slug, foreign_slug) = (slug_of(&app.db, &deleted).await?, app.slug.clone());
    sqlx::query("UPDATE tenancy.tenants SET status = 'deleted' WHERE id = $1")
        .bind(deleted.tenant())
        .execute(&app.db.superuser().await?)
        .await?;
    sqlx::query("UPDATE tenancy.memberships SET status = 'deactivated' WHERE user_id = $1")
        .bind(member.user())
        .execute(&app.db.superuser().await?)
        .await?;

    let stranger = login(None);
    let slugs = [
        ("unknown", &stranger, "no-such".to_owned()),
        ("foreign", &stranger, foreign_slug.clone()),
        ("deleted", &stranger, deleted_slug.clone()),
        (
            "deleted, once his own",
            &login(deleted.user()),
            deleted_slug,
        ),
        ("deactivated", &login(member.user()), foreign_slug),
    ]
    .map(|(case, (_, login), name)| (case, login.clone(), name));
    let ids = [
        ("unknown id", tenancy_core::TenantId::new()),
        ("foreign id", app.ctx.tenant()),
        ("deleted id", deleted.tenant()),
    ]
    .map(|(case, id)| (case, stranger.1.clone(), id.to_string()));

    let mut seen = None;
    for group in [&slugs[..], &ids[..]] {
        let mut cost = None;
        for (case, login, name) in group {
            for path in ["/who".to_owned(), format!("/t/{name}/who")] {
                let headers = [("authorization", login.as_str()), ("x-tenant", name)];
                let headers = if path == "/who" {
                    &headers[..]
                } else {
                    &headers[..1]
                };
                // Once beforehand: a pool may have to open a connection.
                app.ask(&path, headers).await?;
                let (answer, sent) = watched(&app, &path, headers).await?;
                assert_eq!(answer.status, 404, "{case}");
                assert_eq!(
                    *seen.get_or_insert_with(|| visible(&answer)),
                    visible(&answer),
                    "{case}"
                );
                assert!(!sent.is_empty());
                assert_eq!(*cost.get_or_insert_with(|| sent.clone()), sent, "{case}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stranger_can_not_ask_which_id_belongs_to_which_slug() -> Result {
    let app = App::start().await?;
    let (_, stranger) = login(None);
    let path = format!("/t/{}/who", app.slug);
    let mut seen = None;
    for guess in [
        app.ctx.tenant().to_string(),
        app.other.tenant().to_string(),
        tenancy_core::TenantId::new().to_string(),
    ] {
        let headers = [("authorization", stranger.as_str()), ("x-tenant", &guess)];
        app.ask(&path, &headers).await?;
        let (answer, sent) = watched(&app, &path, &headers).await?;
        assert!(!sent.is_empty());
        let shown = (visible(&answer), sent);
        assert_eq!(*seen.get_or_insert_with(|| shown.clone()), shown, "{guess}");
    }
    Ok(())
}
