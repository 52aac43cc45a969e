//! The properties that the fuzz targets check, for some hundred inputs each: near misses and noise.

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_breaks_a_parser(text in text()) {
        fuzz::slug(&text);
        fuzz::name(&text);
        fuzz::email(&text);
        fuzz::cursor(&text);
        fuzz::key(&text);
        fuzz::traceparent(&text);
        fuzz::bearer(&text);
        fuzz::host(&text);
        fuzz::api_key(&text);
        fuzz::jwt(&text);
        fuzz::jwks(text.as_bytes());
    }

    #[test]
    fn nobody_forges_a_token(token in token()) {
        fuzz::jwt(&token);
    }

    #[test]
    fn what_is_good_is_read(trace in "00-[1-9a-f]{32}-[1-9a-f]{16}-0[0-3]", slug in "[a-z0-9]{1,20}-[g-z]{1,20}") {
        fuzz::traceparent(&trace);
        prop_assert_eq!(trace.parse::<tenancy_core::Traceparent>().map(|read| read.to_string()), Ok(trace));
        fuzz::host(&format!("{slug}.example.com:443"));
        prop_assert!(slug.len() < 3 || tenancy_core::Slug::parse(&slug).is_ok());
    }
}
