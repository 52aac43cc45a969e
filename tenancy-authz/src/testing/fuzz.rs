//! What has to hold for any text that comes in: for the fuzz targets in `fuzz/` and for property
//! tests. Each function panics where a promise is broken.

use tenancy_core::{InvalidInput, PermissionKey, RoleKey, UserId};

use super::suite::Suite;
use crate::{ErrorKind, GrantKey, PolicyDocument, RoleName, RolePage, Wildcard};

/// The longest message that repeats input; see [`InvalidInput::quote`].
const MAX_MESSAGE: usize = 1_024;

fn is_told(message: &str, code: &str) {
    assert!(message.len() <= MAX_MESSAGE, "a message is bounded");
    assert!(
        !message.chars().any(char::is_control),
        "a message is one line"
    );
    assert!(!code.is_empty());
}

fn refused(invalid: &InvalidInput) {
    is_told(&invalid.to_string(), invalid.code());
}

/// Permissions, wildcards, and what a role is granted by name.
pub fn grant(text: &str) {
    match Wildcard::parse(text) {
        Ok(wildcard) => {
            assert_eq!(wildcard.as_str(), text);
            assert!(wildcard.includes(&wildcard));
            let stem = text.trim_end_matches('*');
            for below in ["read", "a_1.b"] {
                // A stem may be as long as a key.
                if let Ok(key) = PermissionKey::parse(format!("{stem}{below}")) {
                    assert!(wildcard.covers(&key));
                }
            }
            let beside = format!("{}_x.read", stem.trim_end_matches('.'));
            if let Ok(key) = PermissionKey::parse(beside) {
                assert!(!wildcard.covers(&key), "a longer word is another");
            }
        }
        Err(invalid) => refused(&invalid),
    }
    match GrantKey::try_from(text.to_owned()) {
        Ok(grant) => {
            assert!(text.len() <= 127 && text.is_ascii() && text.contains('.'));
            let is_wildcard = matches!(grant, GrantKey::Wildcard(_));
            assert_eq!(is_wildcard, text.ends_with('*'));
            assert_eq!(String::from(grant), text);
        }
        Err(invalid) => refused(&invalid),
    }
}

/// Names of roles.
pub fn role_name(text: &str) {
    match RoleName::parse(text) {
        Ok(name) => {
            assert!((1..=100).contains(&name.as_str().chars().count()));
            assert!(!name.as_str().chars().any(char::is_control));
            assert_eq!(RoleName::parse(name.as_str()).as_ref(), Ok(&name));
        }
        Err(invalid) => refused(&invalid),
    }
}

/// What pages of roles and of members continue from, and how long they are.
pub fn cursor(text: &str) {
    if let Ok(after) = RoleKey::parse(text) {
        let limit = u16::try_from(text.len().pow(3)).unwrap_or(u16::MAX);
        let page = RolePage::default().limit(limit).after(after);
        assert!((1..=200).contains(&page.limit));
        assert_eq!(page.after.as_ref().map(RoleKey::as_str), Some(text));
    }
    if let Ok(after) = text.parse::<UserId>() {
        assert_eq!(after.to_string().parse(), Ok(after));
    }
}

/// A policy as YAML or JSON: what is read is written and read again as the same, and an error says
/// what is wrong.
pub fn policy(text: &str) {
    match PolicyDocument::parse(text) {
        Ok(policy) => {
            assert_eq!(policy.version, 1);
            for grant in policy.roles.values().flat_map(|role| &role.grants) {
                self::grant(&String::from(grant.clone()));
            }
            let json = policy.to_json();
            assert_eq!(PolicyDocument::parse(&json).as_ref().ok(), Some(&policy));
            let yaml = policy.to_yaml().unwrap_or_default();
            assert_eq!(PolicyDocument::parse(&yaml).as_ref().ok(), Some(&policy));
        }
        Err(error) => {
            assert!(matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Limit
            ));
            is_told(&error.to_string(), error.code());
        }
    }
}

/// A file of the suite of conformance: its questions can be answered, whatever it says.
pub fn suite(text: &str) {
    let Ok(suite) = serde_saphyr::from_str::<Suite>(text) else {
        return;
    };
    for (question, _) in suite.questions().into_iter().take(1_000) {
        let open = suite.policies.tenants.contains_key(&question.tenant);
        assert!(open || !suite.policies.allows(&question));
    }
}
