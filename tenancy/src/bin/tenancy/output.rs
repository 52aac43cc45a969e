//! What the binary prints.

use std::error::Error;

use tenancy::core::PlatformEntry;

/// An error with what caused it, one line each.
pub(crate) fn error(error: &(dyn Error + 'static)) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprintln!("  because: {inner}");
        cause = inner.source();
    }
}

/// One line of the platform's log.
pub(crate) fn platform_entry(entry: &PlatformEntry) -> String {
    let PlatformEntry {
        last_at,
        kind,
        code,
        count,
        ..
    } = entry;
    let mut line = format!(
        "{} {kind} {code} {count}x",
        last_at.format("%Y-%m-%dT%H:%M:%SZ")
    );
    let named = [
        entry.actor.clone(),
        entry.tenant.map(|tenant| format!("tenant {tenant}")),
        entry.address.map(|address| format!("from {address}")),
    ];
    for part in named.into_iter().flatten() {
        line.push(' ');
        line.push_str(&part);
    }
    line
}
