//! The transport against a receiver that misbehaves, and addresses that are closed.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tenancy_core::{
    ErrorKind, ReqwestWebhooks, Retry, WebhookKeys, WebhookMessage, WebhookPost, WebhookSecret,
    WebhookSender, WebhookTransport as _,
};
use tenancy_testkit::{Receiver, Reply};
use url::Url;

use crate::Result;

fn loopback() -> Result<Arc<ReqwestWebhooks>> {
    let builder = ReqwestWebhooks::builder().allow_loopback();
    Ok(Arc::new(builder.timeout(Duration::from_secs(2)).build()?))
}

async fn code(receiver: &Receiver, path: &str) -> Result<(&'static str, Retry)> {
    let sender = WebhookSender::new(loopback()?);
    let keys = WebhookKeys::new(WebhookSecret::generate()?);
    let url = Url::parse(&receiver.url(path))?;
    let message = WebhookMessage::new("msg_1", "{}")?;
    Ok(match sender.send(&url, &keys, &message).await {
        Ok(()) => ("sent", Retry::Never),
        Err(error) => {
            let told = format!("{error} {error:?}");
            assert!(
                !told.contains("127.0.0.1") && !told.contains("s3cret"),
                "{told}"
            );
            (error.code(), error.retry())
        }
    })
}

#[tokio::test]
async fn what_arrives_is_signed_json_and_nothing_else() -> Result {
    let receiver = Receiver::start(|_| Reply::Status(204, "")).await?;
    let keys = WebhookKeys::new(WebhookSecret::generate()?);
    let message = WebhookMessage::new("msg_1", r#"{"type":"tenant.created"}"#)?;
    let url = Url::parse(&receiver.url("/hooks?tag=1"))?;
    WebhookSender::new(loopback()?)
        .send(&url, &keys, &message)
        .await?;
    let all = receiver.wait_for(1).await?;
    let one = &all[0];
    assert_eq!(one.line, "POST /hooks?tag=1 HTTP/1.1");
    assert_eq!(one.body, message.body());
    assert_eq!(one.headers["content-type"], "application/json");
    keys.verify(
        |name| one.headers.get(name).map(String::as_str),
        one.body.as_bytes(),
    )?;
    let known = [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "content-type",
        "content-length",
        "user-agent",
        "accept",
        "host",
    ];
    let other: HashMap<_, _> = one
        .headers
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .collect();
    assert!(other.is_empty(), "{other:?}");
    Ok(())
}

#[tokio::test]
async fn answers_that_are_late_long_or_none_are_bounded() -> Result {
    let begun = Instant::now();
    let receiver = Receiver::start(|_| Reply::Hang).await?;
    assert_eq!(
        code(&receiver, "/s3cret").await?,
        ("webhook_timeout", Retry::Backoff)
    );

    let receiver = Receiver::start(|_| Reply::Close).await?;
    assert_eq!(
        code(&receiver, "/s3cret").await?,
        ("webhook_unreachable", Retry::Backoff)
    );

    // 10 MB are not read, and the status is the answer.
    let receiver = Receiver::start(|_| Reply::Bytes(10_000_000)).await?;
    assert_eq!(code(&receiver, "/").await?.0, "sent");
    assert!(begun.elapsed() < Duration::from_secs(20));

    let gone = receiver.url("/");
    drop(receiver);
    let sender = WebhookSender::new(loopback()?);
    let keys = WebhookKeys::new(WebhookSecret::generate()?);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let sent = sender
        .send(&Url::parse(&gone)?, &keys, &WebhookMessage::new("m", "{}")?)
        .await;
    assert_eq!(sent.unwrap_err().code(), "webhook_unreachable");
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() -> Result {
    let elsewhere = Receiver::start(|_| Reply::Status(200, "")).await?;
    let location: &'static str = format!("location: {}\r\n", elsewhere.url("/")).leak();
    let receiver = Receiver::start(move |_| Reply::Status(307, location)).await?;
    assert_eq!(
        code(&receiver, "/").await?,
        ("webhook_refused", Retry::Backoff)
    );
    assert!(elsewhere.received().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_receiver_says_when_to_come_back() -> Result {
    for (lines, retry) in [
        ("retry-after: 120\r\n", Retry::After(Duration::from_mins(2))),
        (
            "retry-after: 999999999\r\n",
            Retry::After(Duration::from_hours(24)),
        ),
        (
            "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            Retry::After(Duration::from_secs(1)),
        ),
        ("retry-after: soon\r\n", Retry::Backoff),
        ("retry-after: -5\r\n", Retry::Backoff),
        ("", Retry::Backoff),
    ] {
        let receiver = Receiver::start(move |_| Reply::Status(503, lines)).await?;
        assert_eq!(
            code(&receiver, "/").await?,
            ("webhook_busy", retry),
            "{lines}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_closed() -> Result {
    let receiver = Receiver::start(|_| Reply::Status(200, "")).await?;
    let port = Url::parse(&receiver.url("/"))?.port().ok_or("no port")?;
    let transport = ReqwestWebhooks::new()?;
    // By its address, by a name that leads to it, and written so that it does not look like it.
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
    ] {
        for scheme in ["http", "https"] {
            let url = Url::parse(&format!("{scheme}://{host}:{port}/"))?;
            let sent = transport
                .post(WebhookPost::new(url, Vec::new(), "{}".to_owned()))
                .await;
            let error = sent.unwrap_err();
            assert_eq!(
                (error.kind(), error.code(), error.retry()),
                (
                    ErrorKind::Misconfigured,
                    "webhook_address_refused",
                    Retry::Never
                ),
                "{scheme} {host}"
            );
        }
    }
    assert!(receiver.received().is_empty());
    Ok(())
}
