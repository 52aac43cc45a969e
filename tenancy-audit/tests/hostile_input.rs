//! The properties that the fuzz targets check, for some hundred inputs each: near misses and noise.

use std::path::Path;

use proptest::prelude::*;
use tenancy_audit::{SealKeys, Verifier, testing::fuzz};

/// Texts put together from what matters to redaction and to the parsers.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "password",
        "apiKey",
        "x-api-key",
        "pin",
        "tokens",
        "Cookie",
        "pass\u{200b}word",
        "=",
        ": ",
        ":",
        "\"",
        "'",
        "\\",
        "\\\"",
        "''",
        ";",
        "&",
        ",",
        "}",
        "]",
        " ",
        "\n",
        "\0",
        "%3D",
        "/",
        "@",
        "://",
        "http",
        "amqp",
        "Bearer ",
        "Basic",
        "[redacted]",
        "[redacted:card]",
        "null",
        "512",
        "hunter2",
        "4111",
        "4111111111111111",
        "-",
        "eyJhbGciOiJIUzI1NiJ9",
        ".",
        "sk_live_",
        "4eC39HqLyjWDarjtT1zdp7dc",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----END ",
        "é",
        "ｐ",
        "𝕏",
        "\u{202e}",
    ]);
    prop_oneof![
        any::<String>(),
        "\\PC{0,80}",
        prop::collection::vec(pieces, 0..16).prop_map(|pieces| pieces.concat()),
    ]
}

/// JSON as text, with what no value of `serde_json` can hold: keys twice, lone surrogates, huge numbers.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        text().prop_map(|text| serde_json::Value::from(text).to_string()),
        prop::sample::select(vec![
            "1e999",
            "-0.0",
            "4111111111111111",
            "18446744073709551616",
            "1e-400",
            r#""\ud800""#,
            r#""\u0000""#,
            "true",
            "null",
            "{}",
            "[]",
            "123456789012345678901234567890",
        ])
        .prop_map(ToOwned::to_owned),
    ];
    let name = prop_oneof![
        text(),
        prop::sample::select(vec![
            "targets",
            "personal",
            "key",
            "ip",
            "user_agent",
            "*",
            "a"
        ])
        .prop_map(ToOwned::to_owned),
    ];
    leaf.prop_recursive(12, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|pairs| {
                let pair = |(name, value)| format!("{}:{value}", serde_json::Value::from(name));
                let pairs: Vec<String> = pairs.into_iter().map(pair).collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn events(json in json()) {
        fuzz::event(format!(r#"{{"a":{json}}}"#).as_bytes());
        fuzz::event(json.as_bytes());
    }

    #[test]
    fn texts(text in text()) {
        fuzz::text(&text);
    }

    #[test]
    fn proofs(bytes in prop::collection::vec(any::<u8>(), 0..300), json in json()) {
        fuzz::proof(&bytes);
        fuzz::damaged_proof(&bytes[..bytes.len() % 17]);
        fuzz::anchor(&bytes);
        // Behind a first line that is one, and in the place of a line.
        let file = &fuzz::made().unwrap().file;
        let begin = file.lines().next().unwrap();
        fuzz::proof(format!("{begin}\n{json}\n").as_bytes());
        for kind in ["seal", "entry", "removal", "adoption", "unsealed", "damaged", "end", "inclusion", "consistency"] {
            fuzz::proof(format!("{begin}\n{{\"{kind}\":{json}}}\n").as_bytes());
        }
        fuzz::proof(format!("{{\"inclusion\":{json}}}").as_bytes());
        fuzz::anchor(json.as_bytes());
    }

    #[test]
    fn damaged(damage in prop::collection::vec(any::<u8>(), 4..24)) {
        fuzz::damaged_proof(&damage);
    }

    #[test]
    fn keys(text in text(), bytes in any::<[u8; 32]>()) {
        fuzz::keys(&text);
        fuzz::keys(&format!("{text}:{}", hex::encode(bytes)));
        fuzz::keys(&format!("name:{text}"));
    }

    #[test]
    fn lines(bytes in prop::collection::vec(any::<u8>(), 0..300), json in json()) {
        fuzz::line(&bytes);
        fuzz::line(json.as_bytes());
    }
}

/// The seeds of the targets that verify, each a file that verifies under the key of the log that is made here.
/// `TENANCY_BLESS=1` writes them anew.
#[test]
fn the_seeds_are_what_verifies() {
    let made = fuzz::made().unwrap();
    let is_entry = |line: &&str| line.starts_with("{\"entry\"");
    let entry = made.file.lines().find(is_entry).unwrap().to_owned();
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let all = [
        ("audit_proof/log", &made.file),
        ("audit_proof/entry", &made.inclusion),
        ("audit_proof/states", &made.consistency),
        ("audit_anchor/heads", &made.heads),
        ("audit_keys/public", &made.key),
        ("audit_line/entry", &entry),
    ];
    if std::env::var("TENANCY_BLESS").as_deref() == Ok("1") {
        for (name, text) in all {
            let path = seeds.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }
    let seed = |name: &str| std::fs::read_to_string(seeds.join(name)).unwrap();
    let keys = SealKeys::parse(&seed("audit_keys/public")).unwrap();
    let verifier = Verifier::new(made.tenant, keys);
    let heads = seed("audit_anchor/heads");
    let with_heads = verifier.clone().with_anchor(heads.as_bytes()).unwrap();
    for (name, verifier) in [
        ("audit_proof/log", &with_heads),
        ("audit_proof/entry", &verifier),
        ("audit_proof/states", &verifier),
    ] {
        let report = verifier.verify(seed(name).as_bytes()).unwrap();
        assert!(report.is_intact(), "{name}: {:?}", report.findings);
    }
    for (name, text) in all {
        assert!(text.len() < 8_192, "{name} is small: {}", text.len());
    }
}

#[test]
fn what_is_far_too_much_is_answered() {
    let long = "x".repeat(10 << 20);
    fuzz::event(format!(r#"{{"a":"{long}","{long}":1}}"#).as_bytes());
    fuzz::event(format!(r#"{{"a":[{}1]}}"#, "1,".repeat(1 << 20)).as_bytes());
    for depth in [7, 8, 9, 120] {
        let (open, close) = (r#"{"a":"#.repeat(depth), "}".repeat(depth));
        fuzz::event(format!("{open}1{close}").as_bytes());
        fuzz::event(format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)).as_bytes());
    }
    fuzz::text(&"password=".repeat(200_000));
    fuzz::text(&"4111 ".repeat(200_000));
    fuzz::text(&"eyJ.".repeat(200_000));
    fuzz::text(&"a://b:c".repeat(100_000));
    fuzz::text(&"\\\"".repeat(200_000));
}
