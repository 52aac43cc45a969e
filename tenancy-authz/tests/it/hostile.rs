//! The properties that the fuzz targets check, for some hundred inputs each: near misses and noise.

use proptest::prelude::*;
use tenancy_authz::testing::fuzz;

/// Noise, and texts put together from what matters to the parsers.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "Z",
        "0",
        "_",
        ".",
        "*",
        ".*",
        "docs",
        "docs.read",
        "docs.*",
        " ",
        "\0",
        "\n",
        "-",
        ":",
        "%",
        "'",
        "\"",
        "ä",
        "ſ",
        "\u{202e}",
        "\u{200b}",
        "𝕏",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
    ]);
    prop_oneof![
        any::<String>(),
        "\\PC{0,140}",
        "[a-z_.]{100,140}\\*?",
        prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat()),
    ]
}

/// Documents that are nearly policies: one thing or another is wrong with most of them.
fn document() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        60 => "[a-z][a-z0-9_]{0,8}",
        1 => prop::sample::select(vec!["no", "null", "~", "true", "1e3", "0x1f", "&a b", "*a", "<<", "!!str x", "A", "", "'", "[", "2027-01-01"])
            .prop_map(ToOwned::to_owned),
    ];
    let grant = prop_oneof![
        40 => (word.clone(), word.clone()).prop_map(|(area, verb)| format!("{area}.{verb}")),
        20 => word.clone().prop_map(|area| format!("{area}.*")),
        1 => word.clone(),
    ];
    let list =
        |of: BoxedStrategy<String>| prop::collection::vec(of, 0..5).prop_map(|all| all.join(", "));
    let role = (
        word.clone(),
        word.clone(),
        list(grant.boxed()),
        list(word.clone().boxed()),
    )
        .prop_map(|(key, name, grants, parents)| {
            format!("  {key}: {{ name: {name}, grants: [{grants}], parents: [{parents}] }}\n")
        });
    let end = prop::sample::select(vec![
        "null",
        "2027-01-01T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "tomorrow",
    ]);
    let member = (any::<u128>(), word, end).prop_map(|(id, role, end)| {
        format!("  {}: {{ {role}: {end} }}\n", uuid::Uuid::from_u128(id))
    });
    let version = prop::sample::select(vec![
        "1",
        "1",
        "1",
        "2",
        "one",
        "-1",
        "65536",
        "1\nversion: 1",
    ]);
    (
        version,
        prop::collection::vec(role, 0..4).prop_map(|all| all.concat()),
        prop::collection::vec(member, 0..3).prop_map(|all| all.concat()),
        prop::sample::select(vec![
            "",
            "",
            "epoch: 3\n",
            "epoch: x\n",
            "more: 1\n",
            "---\n",
            "... \n",
            "\t",
        ]),
    )
        .prop_map(|(version, roles, members, more)| {
            let empty = |lines: &str| {
                if lines.is_empty() {
                    " {}\n".to_owned()
                } else {
                    format!("\n{lines}")
                }
            };
            format!(
                "version: {version}\nroles:{}members:{}{more}",
                empty(&roles),
                empty(&members)
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_breaks_a_parser(text in text()) {
        fuzz::grant(&text);
        fuzz::role_name(&text);
        fuzz::cursor(&text);
        fuzz::policy(&text);
        fuzz::suite(&text);
    }

    #[test]
    fn a_policy_is_read_and_written_as_the_same_or_refused_with_a_reason(document in document()) {
        fuzz::policy(&document);
    }

    #[test]
    fn a_file_of_the_suite_that_was_damaged_breaks_nothing(
        file in prop::sample::select(tenancy_authz::testing::suite::FILES),
        at in any::<prop::sample::Index>(),
        instead in text(),
    ) {
        let text = file.1;
        let starts: Vec<_> = text.char_indices().map(|(start, _)| start).collect();
        let (before, after) = text.split_at(*at.get(&starts));
        fuzz::suite(&format!("{before}{instead}{after}"));
    }
}

/// The property above says nothing unless some documents are policies.
#[test]
fn some_of_the_documents_are_policies() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let made = (0..500).filter(|_| {
        let document = document()
            .new_tree(&mut runner)
            .expect("a document")
            .current();
        tenancy_authz::PolicyDocument::parse(&document).is_ok_and(|policy| !policy.roles.is_empty())
    });
    let good = made.count();
    assert!((25..475).contains(&good), "{good} of 500");
}
