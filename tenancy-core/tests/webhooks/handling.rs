//! What the queue's worker does with a message, and what every process knows of it afterwards.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU16, Ordering},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tenancy_core::{
    Error, ErrorKind, JobHandler as _, JobId, JobRun, Retry, WebhookAnswer, WebhookHandler,
    WebhookPost, WebhookTransport, Webhooks,
    testing::{self, NoProgress},
};

use crate::{
    Result,
    host::{Host, endpoint},
};

type Answer = Result<Value, (ErrorKind, &'static str, Retry)>;

/// A message, and the handler that sends it.
struct Sending {
    host: Host,
    transport: Arc<Scripted>,
    handler: WebhookHandler,
    payload: Value,
}

impl Sending {
    async fn new() -> Result<Self> {
        let host = Host::new().await?;
        host.tenant("acme").await?;
        host.relay().await?;
        let transport = Arc::new(Scripted::default());
        let handler = host.webhooks.handler(transport.clone());
        let payload = host.jobs.jobs().first().ok_or("no job")?.2.payload.clone();
        Ok(Self {
            host,
            transport,
            handler,
            payload,
        })
    }

    async fn try_of(&self, attempt: u16, payload: &Value, status: u16) -> Answer {
        self.transport.status.store(status, Ordering::Relaxed);
        let run = JobRun::new(JobId::new(), attempt, payload.clone(), Arc::new(NoProgress));
        let done = self.handler.run(&self.host.ours, &run).await;
        done.map_err(|error| (error.kind(), error.code(), error.retry()))
    }

    async fn answer(&self, attempt: u16, status: u16) -> Answer {
        self.try_of(attempt, &self.payload, status).await
    }
}

fn refused(retry: Retry) -> Answer {
    Err((ErrorKind::Conflict, "webhook_refused", retry))
}

const GONE: (ErrorKind, &str, Retry) = (ErrorKind::Denied, "webhook_gone", Retry::Never);

#[tokio::test]
async fn what_is_refused_five_times_has_failed_however_often_it_was_tried() -> Result {
    let sending = Sending::new().await?;
    let busy = Err((ErrorKind::Unavailable, "webhook_busy", Retry::Backoff));
    // A receiver that was away for long may refuse as often as any other.
    for attempt in 1..=20 {
        assert_eq!(sending.answer(attempt, 503).await, busy);
    }
    for (attempt, status) in [(21, 404), (22, 401), (24, 301), (25, 400)] {
        assert_eq!(
            sending.answer(attempt, status).await,
            refused(Retry::Backoff)
        );
    }
    assert_eq!(sending.answer(26, 500).await, busy);
    // Another process counts on, and another message by itself.
    let other = Sending {
        handler: sending.host.webhooks.handler(sending.transport.clone()),
        ..sending
    };
    let mut next = other.payload.clone();
    next["id"] = json!("msg_another");
    assert_eq!(other.try_of(9, &next, 404).await, refused(Retry::Backoff));
    assert_eq!(other.answer(27, 404).await, refused(Retry::Never));
    // Somebody has the queue try it again: from the start.
    assert_eq!(other.answer(28, 404).await, refused(Retry::Backoff));
    assert_eq!(
        other.answer(29, 200).await,
        Ok(json!({"sent": other.payload["id"]}))
    );
    let superuser = other.host.kit.superuser().await?;
    let left: Vec<String> = sqlx::query_scalar("SELECT message FROM tenancy.webhook_refusals")
        .fetch_all(&superuser)
        .await?;
    assert_eq!(
        left,
        ["msg_another"],
        "what was sent is not counted any more"
    );
    Ok(())
}

#[tokio::test]
async fn each_try_sends_the_same_and_nothing_of_it_is_shown() -> Result {
    let sending = Sending::new().await?;
    for attempt in 1..4 {
        let _ = sending.answer(attempt, 500).await;
    }
    let posts = sending.transport.all();
    assert_eq!(posts.len(), 3);
    assert!(
        posts
            .windows(2)
            .all(|two| two[0].body == two[1].body && two[0].headers[0] == two[1].headers[0])
    );
    let shown = format!(
        "{:?} {:?} {:?}",
        posts[0], sending.handler, sending.host.webhooks
    );
    assert!(
        !shown.contains("tenant.created") && !shown.contains("/x") && !shown.contains("v1,"),
        "{shown}"
    );
    Ok(())
}

#[tokio::test]
async fn who_wants_no_more_is_left_alone_by_every_process_until_told_otherwise() -> Result {
    let sending = Sending::new().await?;
    assert_eq!(sending.answer(1, 410).await, Err(GONE));
    let sent = sending.transport.all().len();
    assert_eq!(sending.answer(1, 200).await, Err(GONE));
    // A process that starts anew.
    let endpoints = vec![endpoint("crm")?, endpoint("exits")?];
    let again = Webhooks::new(
        sending.host.kit.app.clone(),
        sending.host.ours.tenant(),
        endpoints,
    )?;
    let other = Sending {
        handler: again.handler(sending.transport.clone()),
        ..sending
    };
    assert_eq!(other.answer(1, 200).await, Err(GONE));
    assert_eq!(other.transport.all().len(), sent, "nothing is sent");
    let mut exits = other.payload.clone();
    exits["endpoint"] = json!("exits");
    assert!(other.try_of(1, &exits, 200).await.is_ok());

    assert!(again.reopen("crm").await?);
    assert!(!again.reopen("crm").await?);
    assert!(other.answer(1, 200).await.is_ok());
    let unknown = again.reopen("former").await.unwrap_err();
    assert_eq!(unknown.code(), "webhook_endpoint_unknown");
    Ok(())
}

#[tokio::test]
async fn a_job_of_another_tenant_is_not_signed_in_the_platforms_name() -> Result {
    let sending = Sending::new().await?;
    let stranger = testing::tenant(&sending.host.kit.app).await?;
    let run = JobRun::new(
        JobId::new(),
        1,
        sending.payload.clone(),
        Arc::new(NoProgress),
    );
    let error = sending.handler.run(&stranger, &run).await.unwrap_err();
    assert_eq!(error.code(), "webhook_endpoint_unknown");
    assert!(sending.transport.all().is_empty());
    Ok(())
}

/// Answers as told, and keeps what it was given.
#[derive(Default)]
struct Scripted {
    status: AtomicU16,
    posts: Mutex<Vec<WebhookPost>>,
}

impl Scripted {
    fn all(&self) -> Vec<WebhookPost> {
        self.posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl WebhookTransport for Scripted {
    async fn post(&self, post: WebhookPost) -> Result<WebhookAnswer, Error> {
        self.posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(post);
        Ok(WebhookAnswer::new(self.status.load(Ordering::Relaxed)))
    }
}

#[tokio::test]
async fn a_job_that_names_nobody_or_holds_nothing_ends() -> Result {
    let host = Host::new().await?;
    let handler = host.webhooks.handler(Arc::new(Scripted::default()));
    let run = |attempt, payload: &Value| {
        JobRun::new(JobId::new(), attempt, payload.clone(), Arc::new(NoProgress))
    };
    let unknown = json!({"endpoint": "former", "id": "msg_1", "body": "{}"});
    for (attempt, retry) in [
        (1, Retry::Backoff),
        (19, Retry::Backoff),
        (20, Retry::Never),
    ] {
        let error = handler
            .run(&host.ours, &run(attempt, &unknown))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), error.retry()),
            ("webhook_endpoint_unknown", retry)
        );
    }
    for bad in [
        json!(null),
        json!({}),
        json!({"endpoint": "crm", "id": "a.b", "body": ""}),
    ] {
        let error = handler.run(&host.ours, &run(1, &bad)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::InvalidInput, Retry::Never),
            "{bad}"
        );
    }
    Ok(())
}
