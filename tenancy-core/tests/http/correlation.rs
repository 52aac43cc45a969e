//! Request ids and traces: taken over where they are valid, made where they are not.

use crate::app::{App, Result};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_request_id_that_is_a_uuid_is_kept_and_any_other_is_replaced() -> Result {
    let app = App::start().await?;
    let (name, login) = app.owner();
    let tenant = app.ctx.tenant().to_string();
    let (auth, named) = ((name, login.as_str()), ("x-tenant", tenant.as_str()));
    let given = uuid::Uuid::now_v7().to_string();
    let answer = app
        .ask("/who", &[auth, named, ("x-request-id", &given)])
        .await?;
    assert_eq!(answer.header("x-request-id"), given);
    let twice = [
        auth,
        named,
        ("x-request-id", &given),
        ("x-request-id", &given),
    ];
    let long = "a".repeat(4_000);
    for headers in [
        &twice[..],
        &[auth, named][..],
        &[auth, named, ("x-request-id", &long)][..],
        &[auth, named, ("x-request-id", "<script>")][..],
    ] {
        let made = app
            .ask("/who", headers)
            .await?
            .header("x-request-id")
            .to_owned();
        assert!(
            made.parse::<uuid::Uuid>().is_ok() && made != given,
            "{made}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_answer_has_the_request_id_also_when_it_is_a_refusal() -> Result {
    let app = App::start().await?;
    let (name, login) = app.owner();
    let tenant = app.ctx.tenant().to_string();
    let (auth, named) = ((name, login.as_str()), ("x-tenant", tenant.as_str()));
    for (path, headers, status) in [
        ("/who", vec![], 401),
        ("/me", vec![], 401),
        ("/who", vec![auth], 400),
        ("/who", vec![auth, ("x-tenant", "no-such")], 404),
        // Made by the handler.
        ("/fail", vec![auth, named], 409),
    ] {
        let answer = app.ask(path, &headers).await?;
        assert_eq!(answer.status, status);
        let id = answer.header("x-request-id");
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{path} {id}");
        assert_eq!(answer.member("request_id"), id, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_trace_is_taken_over_or_started_and_a_broken_one_is_replaced() -> Result {
    let app = App::start().await?;
    let (name, login) = app.owner();
    let tenant = app.ctx.tenant().to_string();
    let (auth, named) = ((name, login.as_str()), ("x-tenant", tenant.as_str()));
    let state = ("tracestate", "vendor=1");
    let given = [auth, named, state, ("traceparent", TRACEPARENT)];
    let answer = app.ask("/trace", &given).await?;
    assert_eq!(answer.header("traceparent"), TRACEPARENT);
    let shown = format!("Some({TRACE:?}) Some({TRACEPARENT:?}) Some(\"vendor=1\")");
    assert_eq!(answer.body, shown);

    let upper = TRACEPARENT.to_ascii_uppercase();
    for bad in ["", "00-zz", upper.as_str(), "00-0-0-0", "\"'; DROP"] {
        let answer = app
            .ask("/trace", &[auth, named, state, ("traceparent", bad)])
            .await?;
        let made = answer.header("traceparent");
        let id = made.split('-').nth(1).unwrap();
        assert!(made.len() == 55 && made != TRACEPARENT, "{made}");
        // The handler sees what is answered, and not the state of the broken trace.
        assert_eq!(answer.body, format!("Some({id:?}) Some({made:?}) None"));
    }
    Ok(())
}
