//! The properties that the fuzz targets check, for some hundred inputs each: near misses and noise.
//! `PROPTEST_CASES` makes them more.

use proptest::prelude::*;
use tenancy_core::testing::fuzz;

/// Noise, and texts put together from what matters to the parsers.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "Z",
        "0",
        "-",
        "_",
        ".",
        ":",
        "@",
        " ",
        "\0",
        "\n",
        "/",
        "%",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "tk_",
        "live",
        "example.com",
        ".example.com",
        "xn--",
        "Bearer ",
        "bearer ",
        "00-",
        "-01",
        "eyJhbGciOiJFUzI1NiJ9",
        "e30",
        "ff",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
        "\u{202e}",
        "\u{200b}",
        "ä",
        "𝕏",
        "::1",
        "127.0.0.1",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "0000000000000000",
    ]);
    prop_oneof![
        any::<String>(),
        "\\PC{0,80}",
        prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat()),
    ]
}

/// A token of three parts with any JSON in them.
fn token() -> impl Strategy<Value = String> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let name = prop::sample::select(vec![
        "alg", "kid", "crit", "typ", "iss", "aud", "sub", "exp", "nbf", "email",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "\"ES256\"",
            "\"EdDSA\"",
            "\"RS256\"",
            "\"none\"",
            "\"HS256\"",
            "\"joe\"",
            "\"us\"",
            "\"a\"",
            "\"b\"",
            "[]",
            "{}",
            "null",
            "true",
            "-1",
            "0",
            "1e308",
            "4102444800",
            "18446744073709551616",
        ])
        .prop_map(ToOwned::to_owned),
        any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
    ];
    let object = prop::collection::vec((name, value), 0..8).prop_map(|members| {
        let members = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    });
    (
        object.clone(),
        object,
        prop::collection::vec(any::<u8>(), 0..80),
    )
        .prop_map(|(header, claims, signature)| {
            let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            format!(
                "{}.{}.{}",
                part(header.as_bytes()),
                part(claims.as_bytes()),
                part(&signature)
            )
        })
}

/// A request that a server could hand on, most of the time.
fn request() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "host",
        "x-forwarded-host",
        "x-request-id",
        "traceparent",
        "tracestate",
        "x-tenant",
    ]);
    let value = prop_oneof!["[ -~]{0,60}", text()];
    let target = prop_oneof!["/t/[a-z%/]{0,9}", "http://[a-z.:0-9]{1,20}/", text()];
    (target, prop::collection::vec((name, value), 0..6)).prop_map(|(target, headers)| {
        let lines = headers
            .iter()
            .map(|(name, value)| format!("\n{name}: {value}"));
        target + &lines.collect::<String>()
    })
}

/// Every run of the tests tries what the fuzz targets try.
#[test]
fn no_target_is_left_out() -> std::io::Result<()> {
    let here = include_str!("hostile_input.rs");
    let targets = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/fuzz_targets");
    let mut seen = 0;
    for entry in std::fs::read_dir(targets)? {
        let path = entry?.path();
        let target = std::fs::read_to_string(&path)?;
        // Another crate's properties are tried by its own tests.
        if !target.contains("use tenancy_core::testing::fuzz;") {
            continue;
        }
        for call in target.split("fuzz::").skip(1) {
            let Some((name, _)) = call.split_once('(') else {
                continue;
            };
            assert!(
                here.contains(&format!("fuzz::{name}(")),
                "{}: {name}",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen >= 15, "only {seen} properties in {targets}");
    Ok(())
}

/// Inputs that a fuzzer came up with.
#[test]
fn what_was_found_stays_mended() {
    // A token that is what a request looks like where it is shown.
    fuzz::bearer("Bearer RequestHead { method: \"GET\", path: \"/\", headers: [\"authorization");
}

proptest! {
    #[test]
    fn no_text_breaks_a_parser(text in text()) {
        fuzz::slug(&text);
        fuzz::name(&text);
        fuzz::email(&text);
        fuzz::cursor(&text);
        fuzz::key(&text);
        fuzz::reason(&text);
        fuzz::subject(&text);
        fuzz::invitation(&text);
        fuzz::traceparent(&text);
        fuzz::bearer(&text);
        fuzz::host(&text);
        fuzz::api_key(&text);
        fuzz::request(&text);
        fuzz::webhook(&text);
        fuzz::jwt(&text);
        fuzz::jwt_part(text.as_bytes());
        fuzz::jwks(text.as_bytes());
    }

    #[test]
    fn nobody_forges_a_token(token in token()) {
        fuzz::jwt(&token);
    }

    #[test]
    fn no_request_breaks_what_reads_it(request in request()) {
        fuzz::request(&request);
    }

    #[test]
    fn what_is_good_is_read(trace in "00-[1-9a-f]{32}-[1-9a-f]{16}-0[0-3]", slug in "[a-z0-9]{1,20}-[g-z]{1,20}") {
        fuzz::traceparent(&trace);
        prop_assert_eq!(trace.parse::<tenancy_core::Traceparent>().map(|read| read.to_string()), Ok(trace));
        fuzz::host(&format!("{slug}.example.com:443"));
        prop_assert!(slug.len() < 3 || tenancy_core::Slug::parse(&slug).is_ok());
    }
}
