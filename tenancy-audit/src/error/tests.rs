use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use super::*;

const NEVER: Retry = Retry::Never;
const BACKOFF: Retry = Retry::Backoff;

/// Every code of the crate, the kind it comes with, and the advice.
const CODES: &[(&str, ErrorKind, Retry)] = &[
    ("audit_anchor_unavailable", ErrorKind::Unavailable, BACKOFF),
    ("audit_anchor_url_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_batch_mixed", ErrorKind::InvalidInput, NEVER),
    ("audit_buffer_closed", ErrorKind::Closed, NEVER),
    ("audit_clock_skew", ErrorKind::ClockSkew, NEVER),
    ("audit_cursor_invalid", ErrorKind::Cursor, NEVER),
    ("audit_cursor_mismatch", ErrorKind::Cursor, NEVER),
    ("audit_cursor_version", ErrorKind::Cursor, NEVER),
    ("audit_details_moved", ErrorKind::Conflict, BACKOFF),
    ("audit_details_too_many", ErrorKind::InvalidInput, NEVER),
    ("audit_entries_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_entry_not_sealed", ErrorKind::NotFound, NEVER),
    ("audit_entry_unknown", ErrorKind::NotFound, NEVER),
    ("audit_export_broken", ErrorKind::Internal, NEVER),
    ("audit_filter_unsent", ErrorKind::Internal, NEVER),
    ("audit_format_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_held", ErrorKind::Conflict, NEVER),
    ("audit_ip_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_ip_sealed", ErrorKind::InvalidInput, NEVER),
    ("audit_key_busy", ErrorKind::Unavailable, BACKOFF),
    ("audit_key_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_key_reused", ErrorKind::Conflict, NEVER),
    ("audit_log_busy", ErrorKind::Unavailable, BACKOFF),
    ("audit_log_restored", ErrorKind::Misconfigured, NEVER),
    ("audit_lost_too_many", ErrorKind::InvalidInput, NEVER),
    ("audit_mark_invalid", ErrorKind::Cursor, NEVER),
    ("audit_meta_key_too_long", ErrorKind::InvalidInput, NEVER),
    ("audit_meta_number", ErrorKind::InvalidInput, NEVER),
    ("audit_meta_too_deep", ErrorKind::InvalidInput, NEVER),
    ("audit_meta_too_large", ErrorKind::InvalidInput, NEVER),
    ("audit_meta_too_many_items", ErrorKind::InvalidInput, NEVER),
    ("audit_month_busy", ErrorKind::Unavailable, BACKOFF),
    ("audit_month_recent", ErrorKind::InvalidInput, NEVER),
    ("audit_month_unknown", ErrorKind::NotFound, NEVER),
    ("audit_month_unsealed", ErrorKind::Conflict, NEVER),
    ("audit_no_cipher", ErrorKind::Misconfigured, NEVER),
    ("audit_personal_reserved", ErrorKind::InvalidInput, NEVER),
    ("audit_policy_days", ErrorKind::InvalidInput, NEVER),
    ("audit_policy_longer", ErrorKind::Conflict, NEVER),
    ("audit_prefix_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_proof_format", ErrorKind::InvalidInput, NEVER),
    ("audit_proof_unreadable", ErrorKind::Unavailable, BACKOFF),
    ("audit_query_field", ErrorKind::InvalidInput, NEVER),
    ("audit_query_negation", ErrorKind::InvalidInput, NEVER),
    ("audit_query_quote", ErrorKind::InvalidInput, NEVER),
    ("audit_query_too_long", ErrorKind::InvalidInput, NEVER),
    ("audit_query_twice", ErrorKind::InvalidInput, NEVER),
    ("audit_query_value", ErrorKind::InvalidInput, NEVER),
    ("audit_reason_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_reference_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_removal_unproven", ErrorKind::Internal, NEVER),
    ("audit_row_unreadable", ErrorKind::Internal, NEVER),
    ("audit_schema_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_schema_violated", ErrorKind::InvalidInput, NEVER),
    ("audit_seal_key_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_seal_key_invalid", ErrorKind::Misconfigured, NEVER),
    ("audit_seal_key_unknown", ErrorKind::InvalidInput, NEVER),
    ("audit_seal_moved", ErrorKind::Conflict, BACKOFF),
    ("audit_seal_unfit", ErrorKind::Internal, NEVER),
    ("audit_seal_unknown", ErrorKind::NotFound, NEVER),
    ("audit_seal_unreadable", ErrorKind::Internal, NEVER),
    ("audit_stream_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_stream_other", ErrorKind::Conflict, NEVER),
    ("audit_stream_slow", ErrorKind::Unavailable, BACKOFF),
    ("audit_stream_unknown", ErrorKind::NotFound, NEVER),
    ("audit_target_kind_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_target_too_long", ErrorKind::InvalidInput, NEVER),
    ("audit_targets_too_many", ErrorKind::InvalidInput, NEVER),
    ("audit_tenant_not_gone", ErrorKind::Conflict, NEVER),
    ("audit_text_invalid", ErrorKind::InvalidInput, NEVER),
    ("audit_undelivered", ErrorKind::Conflict, NEVER),
    ("audit_write_dropped", ErrorKind::Internal, NEVER),
    ("randomness_unavailable", ErrorKind::Unavailable, BACKOFF),
];

/// What the layer answers a client with, which no error is made of.
const ANSWERS: [&str; 2] = ["audit_layer_missing", "audit_unavailable"];

/// What begins as a code does and is none: tables, constraints, kinds of targets, names.
const NO_CODES: [&str; 7] = [
    "audit_entry",
    "audit_log",
    "audit_logs",
    "audit_logs_default",
    "audit_logs_id_time",
    "audit_logs_y",
    "audit_stream",
];

/// The crate's source files, but for the names of migrations and this one.
fn sources() -> Vec<String> {
    fn below(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs")
                && !path.ends_with("postgres/mod.rs")
                && !path.ends_with("error/tests.rs")
            {
                found.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = Vec::new();
    below(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.len() > 50, "the source files are not here");
    found
}

fn is_known(code: &str) -> bool {
    CODES.iter().any(|(known, ..)| *known == code)
}

/// The texts of a source that are written as codes are.
fn literals(source: &str) -> BTreeSet<&str> {
    let is_code = |text: &&str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        text.bytes().all(fits) && !text.ends_with('_')
    };
    ["\"audit_", "\"randomness_"]
        .into_iter()
        .flat_map(|begin| source.match_indices(begin))
        .filter_map(|(at, _)| source.get(at + 1..)?.split('"').next())
        .filter(is_code)
        .collect()
}

#[test]
fn every_code_is_in_the_table_and_nothing_else_is() {
    let sources = sources();
    let found: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| literals(source))
        .filter(|text| !NO_CODES.contains(text) && !ANSWERS.contains(text))
        .collect();
    let missing: Vec<_> = found.iter().filter(|code| !is_known(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let made_nowhere = CODES.iter().filter(|(code, ..)| !found.contains(code));
    let made_nowhere: Vec<_> = made_nowhere.collect();
    assert!(made_nowhere.is_empty(), "{made_nowhere:?}");
}

/// Kind and code of each error that is made, as they are written.
fn made(source: &str) -> Vec<(String, String)> {
    let dense: String = source.split_whitespace().collect();
    let argument = |text: &str| {
        let end = text.find([',', ')']).unwrap_or(text.len());
        text.get(..end).unwrap_or_default().to_owned()
    };
    let mut found = Vec::new();
    for call in dense.split("Error::new(ErrorKind::").skip(1) {
        let (kind, rest) = call.split_once(',').unwrap();
        found.push((kind.to_owned(), argument(rest)));
    }
    for call in dense.split("Error::invalid(").skip(1) {
        found.push(("InvalidInput".to_owned(), argument(call)));
    }
    found
}

#[test]
fn an_error_has_a_kind_that_its_code_comes_with_and_the_advice_of_the_table() {
    for (code, kind, retry) in CODES {
        assert_eq!(Error::new(*kind, code, "").retry(), *retry, "{code}");
        let in_core = CoreError::from(Error::new(*kind, code, ""));
        assert_eq!((in_core.code(), in_core.retry()), (*code, *retry));
    }
    let mut seen = 0;
    for (kind, code) in sources().iter().flat_map(|source| made(source)) {
        let Some(code) = code
            .strip_prefix('"')
            .and_then(|code| code.strip_suffix('"'))
        else {
            continue;
        };
        if !code.starts_with("audit_") {
            continue;
        }
        let fits = |(known, of, _): &&(&str, ErrorKind, Retry)| {
            *known == code && format!("{of:?}") == kind
        };
        assert!(CODES.iter().any(|row| fits(&row)), "{code} is {kind}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}: errors are made in another way now");
}

#[test]
fn the_guide_lists_every_code() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    let guide = fs::read_to_string(guide).unwrap();
    let codes = CODES.iter().map(|(code, ..)| code).chain(&ANSWERS);
    let missing: Vec<_> = codes
        .filter(|code| !guide.contains(&format!("`{code}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_guide_says_after_which_errors_to_try_again() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    let guide = fs::read_to_string(guide).unwrap();
    let (_, told) = guide
        .split_once("whether another try can help. After")
        .unwrap();
    let (told, _) = told.split_once("it does, with back-off").unwrap();
    let told: BTreeSet<&str> = told.split('`').skip(1).step_by(2).collect();
    let retried = CODES.iter().filter(|(.., retry)| retry.is_retryable());
    let is_told_to_try_again: BTreeSet<&str> = retried.map(|(code, ..)| *code).collect();
    assert_eq!(told, is_told_to_try_again);
}

#[test]
fn what_comes_from_a_port_keeps_its_advice() {
    for retry in [NEVER, BACKOFF, Retry::After(Duration::from_secs(7))] {
        for kind in [CoreKind::Conflict, CoreKind::Unavailable] {
            let error = Error::from(CoreError::new(kind, "siem_full", "full").with_retry(retry));
            assert_eq!((error.code(), error.retry()), ("siem_full", retry));
            assert_eq!(CoreError::from(error).retry(), retry);
        }
    }
}
