//! Signatures by the specification's own example, and what is refused.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use tenancy_core::{Error, ErrorKind, WebhookKeys, WebhookMessage, WebhookSecret};

use crate::Result;

/// From the specification's reference libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &str = r#"{"test": 2432232314}"#;
const AT: i64 = 1_614_265_330;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

fn keys(secret: &str) -> Result<WebhookKeys, Error> {
    Ok(WebhookKeys::new(WebhookSecret::parse(secret)?))
}

fn verified(
    keys: &WebhookKeys,
    headers: &[(&str, &str)],
    body: &str,
    now: i64,
) -> Result<(), Error> {
    let headers: HashMap<&str, &str> = headers.iter().copied().collect();
    keys.verify_at(|name| headers.get(name).copied(), body.as_bytes(), at(now))
}

#[test]
fn the_specifications_example_is_signed_and_verified_as_it_stands() -> Result {
    for text in [SECRET, SECRET.trim_start_matches("whsec_")] {
        let keys = keys(text)?;
        let signed = keys.sign(&WebhookMessage::new(ID, BODY)?, at(AT));
        assert_eq!(signed.signature, SIGNATURE);
        let headers = signed.headers();
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        verified(&keys, &headers, BODY, AT)?;
    }
    Ok(())
}

/// The code by which the example is refused with another header or body.
fn refused(name: &str, value: &str, body: &str, now: i64) -> &'static str {
    let time = AT.to_string();
    let good = [
        ("webhook-id", ID),
        ("webhook-timestamp", time.as_str()),
        ("webhook-signature", SIGNATURE),
    ];
    let headers = good.map(|(of, kept)| (of, if of == name { value } else { kept }));
    let done = keys(SECRET).and_then(|keys| verified(&keys, &headers, body, now));
    done.map_or_else(
        |error| {
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
            error.code()
        },
        |()| "accepted",
    )
}

#[test]
fn whatever_is_changed_is_refused_with_a_code_of_its_own() {
    assert_eq!(refused("", "", BODY, AT), "accepted");
    let forged = "webhook_signature_invalid";
    assert_eq!(refused("", "", "{\"test\": 2432232315}", AT), forged);
    assert_eq!(refused("webhook-id", "msg_other", BODY, AT), forged);
    let other_second = (AT + 1).to_string();
    assert_eq!(
        refused("webhook-timestamp", &other_second, BODY, AT),
        forged
    );
    for signature in [
        "v1,AAAA",
        "v1,",
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
        "v1,!",
    ] {
        assert_eq!(
            refused("webhook-signature", signature, BODY, AT),
            forged,
            "{signature}"
        );
    }
    for timestamp in [
        "x",
        "-1614265330",
        "+1614265330",
        "1e9",
        "1614265330.0",
        "99999999999999999999",
    ] {
        let code = refused("webhook-timestamp", timestamp, BODY, AT);
        assert_eq!(code, "webhook_timestamp_invalid", "{timestamp}");
    }
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert_eq!(
            refused(name, "", BODY, AT),
            "webhook_header_missing",
            "{name}"
        );
        let long = "1".repeat(5_000);
        assert_eq!(
            refused(name, &long, BODY, AT),
            "webhook_header_missing",
            "{name}"
        );
    }
}

#[test]
fn a_message_is_good_for_five_minutes_in_both_directions_unless_told_otherwise() -> Result {
    let strict = keys(SECRET)?;
    let time = AT.to_string();
    let headers = [
        ("webhook-id", ID),
        ("webhook-timestamp", time.as_str()),
        ("webhook-signature", SIGNATURE),
    ];
    for (off, good) in [
        (0, true),
        (300, true),
        (-300, true),
        (301, false),
        (-301, false),
    ] {
        let done = verified(&strict, &headers, BODY, AT + off);
        assert_eq!(done.is_ok(), good, "{off}");
        if let Err(error) = done {
            assert_eq!(error.code(), "webhook_timestamp_off");
        }
    }
    // An hour is the most.
    let lax = strict.with_tolerance(Duration::from_hours(1_000));
    verified(&lax, &headers, BODY, AT + 3_600)?;
    assert!(verified(&lax, &headers, BODY, AT + 3_601).is_err());
    Ok(())
}

#[test]
fn while_a_secret_is_replaced_both_are_good() -> Result {
    let (old, new) = (WebhookSecret::generate()?, WebhookSecret::generate()?);
    let (old_text, new_text) = (old.to_text(), new.to_text());
    let both = WebhookKeys::rotating(vec![new, old])?;
    let message = WebhookMessage::new("msg_1", "{}")?;
    let now = Utc::now();
    let signed = both.sign(&message, now);
    assert_eq!(signed.signature.matches("v1,").count(), 2);
    let headers = signed.headers();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    for text in [old_text.expose(), new_text.expose()] {
        // A receiver that knows one of them takes it; a sender that has one is taken.
        verified(&keys(text)?, &headers, "{}", now.timestamp())?;
        let alone = keys(text)?.sign(&message, now).headers();
        let alone: Vec<(&str, &str)> = alone.iter().map(|(n, v)| (*n, v.as_str())).collect();
        verified(&both, &alone, "{}", now.timestamp())?;
    }
    let third = WebhookKeys::new(WebhookSecret::generate()?);
    assert!(verified(&third, &headers, "{}", now.timestamp()).is_err());
    assert!(WebhookKeys::rotating(Vec::new()).is_err());
    let five = (0..5)
        .map(|_| WebhookSecret::generate())
        .collect::<Result<Vec<_>, _>>()?;
    assert!(WebhookKeys::rotating(five).is_err());
    Ok(())
}

#[test]
fn a_secret_is_24_to_64_bytes_and_is_never_shown() -> Result {
    for bad in [
        "",
        "whsec_",
        "whsec_not base64!",
        // 23 and 65 bytes.
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ=",
        &format!("whsec_{}", "A".repeat(86) + "A="),
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ] {
        let error = WebhookSecret::parse(bad)
            .err()
            .ok_or(format!("{bad} was taken"))?;
        assert_eq!(error.code(), "webhook_secret_invalid");
        assert!(!error.to_string().contains("MfKQ"), "{error}");
    }
    let keys = keys(SECRET)?;
    let shown = format!("{:?} {keys:?}", WebhookSecret::parse(SECRET)?);
    assert!(
        !shown.contains("MfKQ") && !shown.contains("31, f2"),
        "{shown}"
    );
    assert_eq!(WebhookSecret::parse(SECRET)?.to_text().expose(), SECRET);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_a_header_holds_is_an_error_and_no_panic(
        id in ".{0,40}", time in ".{0,20}", signature in ".{0,80}", body in ".{0,80}", off in -10_000_i64..10_000,
    ) {
        let keys = keys(SECRET).unwrap();
        let headers = [("webhook-id", id.as_str()), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
        prop_assert!(verified(&keys, &headers, &body, AT + off).is_err());
        prop_assert!(WebhookSecret::parse(&id).is_err());
    }

    #[test]
    fn what_is_signed_verifies_and_one_changed_byte_does_not(body in ".{0,200}", at_byte in 0_usize..200, late in 0_i64..300) {
        let keys = keys(SECRET).unwrap();
        let message = WebhookMessage::new("msg_1", body.clone()).unwrap();
        let signed = keys.sign(&message, at(AT)).headers();
        let headers: Vec<(&str, &str)> = signed.iter().map(|(n, v)| (*n, v.as_str())).collect();
        prop_assert!(verified(&keys, &headers, &body, AT + late).is_ok());
        let mut changed = body.into_bytes();
        let at_byte = at_byte.min(changed.len());
        changed.insert(at_byte, b'x');
        let found: HashMap<&str, &str> = headers.into_iter().collect();
        let now = at(AT) + TimeDelta::seconds(late);
        prop_assert!(keys.verify_at(|name| found.get(name).copied(), &changed, now).is_err());
    }
}
