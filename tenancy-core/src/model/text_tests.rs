use proptest::prelude::*;

use super::*;

#[test]
fn slugs_with_upper_case_spaces_or_sql_are_refused() {
    let long = "a".repeat(64);
    for bad in [
        "",
        "ab",
        "Acme",
        "a b c",
        "acme'; drop table x;--",
        "-acme",
        "acme-",
        "a--b",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "äcme",
        // A Cyrillic letter, a full-width one, and a mark of direction.
        "\u{430}cme",
        "\u{ff41}cme",
        "ac\u{202e}me",
        "acme\0",
        " acme",
        "acme\n",
        &long,
    ] {
        assert_eq!(
            Slug::parse(bad).unwrap_err().code(),
            "slug_invalid",
            "{bad}"
        );
    }
    assert!(Slug::parse(&"a".repeat(63)).is_ok());
}

#[test]
fn names_that_hide_something_are_refused() {
    for bad in [
        "a\0b",
        "a\u{202e}b",
        "a\u{2067}b",
        "a\u{200b}b",
        "a\u{200d}b",
        "a\u{ad}b",
        "a\u{a0}b",
        "a\u{3000}b",
        "a\u{3164}b",
        "a\u{fe0f}b",
        "a\u{e0041}b",
        "a\u{feff}b",
        "a\nb",
        "a\tb",
    ] {
        let code = TenantName::parse(bad).unwrap_err().code();
        assert_eq!(code, "name_invisible_character", "{bad:?}");
    }
    for bad in [
        "",
        "   ",
        "\u{3000}",
        &"n".repeat(201),
        &"n".repeat(1_000_000),
    ] {
        assert_eq!(TenantName::parse(bad).unwrap_err().code(), "name_length");
    }
    assert_eq!(
        TenantName::parse("  Ácme & Söhne ").unwrap().as_str(),
        "Ácme & Söhne"
    );
    // Composed and decomposed are one name.
    assert_eq!(
        TenantName::parse("So\u{308}hne").unwrap(),
        TenantName::parse("S\u{f6}hne").unwrap()
    );
}

#[test]
fn addresses_are_compared_without_case() {
    let email = Email::parse(" Ada@Example.COM ").unwrap();
    assert_eq!(
        (email.as_typed(), email.normalised()),
        ("Ada@Example.COM", "ada@example.com")
    );
    for (one, other) in [("a+b@x.de", "a@x.de"), ("a.b@x.de", "ab@x.de")] {
        let (one, other) = (Email::parse(one).unwrap(), Email::parse(other).unwrap());
        assert_ne!(one.normalised(), other.normalised());
    }
}

#[test]
fn what_is_no_address_is_refused() {
    let (local, label) = ("l".repeat(65), "d".repeat(64));
    let (long_local, long_label) = (format!("{local}@x.de"), format!("a@{label}.de"));
    let long = format!("a@{}de", "d.".repeat(127));
    for bad in [
        "",
        "ada",
        "@x.de",
        "ada@",
        "a@b@c",
        "a b@c.de",
        "a@.de",
        "a@b..c",
        "a@b\n.c",
        "a@b\0.c",
        "a\0@b.c",
        ".a@b.c",
        "a.@b.c",
        "a..b@c.de",
        "a@-b.c",
        "a@b-.c",
        "a@b.c.",
        "a,b@c.de",
        "\"a@b\"@c.de",
        "<a@b.c>",
        "a@b.c\r\nBcc: d@e.f",
        &long_local,
        &long_label,
        &long,
    ] {
        let code = Email::parse(bad).unwrap_err().code();
        assert_eq!(code, "email_invalid", "{bad:?}");
    }
    for bad in [
        "\u{430}da@example.com",
        "ada@ex\u{430}mple.com",
        "\u{ff41}da@example.com",
        "ada@b\u{fc}ro.de",
        "ada\u{200b}@example.com",
        "ada@example.com\u{202e}",
    ] {
        let code = Email::parse(bad).unwrap_err().code();
        assert_eq!(code, "email_not_ascii", "{bad:?}");
    }
    assert!(Email::parse("ada@xn--bro-hoa.de").is_ok());
}

/// Texts that are nearly right, beside anything at all.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,80}",
        "[a-zA-Z0-9.+_-]{1,20}@[a-zA-Z0-9.-]{1,30}",
        "[a-z0-9-]{1,70}",
        "[A-Za-z \u{e9}\u{301}\u{308}\u{202e}\u{200b}\u{a0}\u{430}\u{1112}\u{1161}]{0,40}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic_and_errors_stay_short(text in texts()) {
        let errors = [
            Slug::parse(&text).err(),
            TenantName::parse(&text).err(),
            Email::parse(&text).err(),
        ];
        for error in errors.into_iter().flatten() {
            prop_assert!(error.to_string().len() < 1_500);
            prop_assert!(!error.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn what_was_parsed_parses_to_itself(text in texts()) {
        if let Ok(slug) = Slug::parse(&text) {
            prop_assert_eq!(slug.as_str(), &text);
        }
        if let Ok(name) = TenantName::parse(&text) {
            prop_assert_eq!(&TenantName::parse(name.as_str()).unwrap(), &name);
            let hidden = name.as_str().contains(['\0', '\u{202e}', '\u{200b}', '\u{a0}']);
            prop_assert!(!hidden);
        }
        if let Ok(email) = Email::parse(&text) {
            let again = Email::parse(email.normalised()).unwrap();
            prop_assert_eq!(again.normalised(), email.normalised());
            prop_assert_eq!(&Email::parse(email.as_typed()).unwrap(), &email);
            prop_assert!(email.normalised().bytes().all(|b| b.is_ascii_graphic()));
        }
    }

    #[test]
    fn case_and_space_around_do_not_make_another_address(
        local in "[a-z0-9+_-]{1,20}", domain in "[a-z0-9]{1,20}", upper in any::<bool>()
    ) {
        let plain = format!("{local}@{domain}.example");
        let shown = if upper { format!(" {} ", plain.to_uppercase()) } else { plain.clone() };
        let email = Email::parse(&shown).unwrap();
        prop_assert_eq!(email.normalised(), plain);
    }
}
