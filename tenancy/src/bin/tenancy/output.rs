//! What the binary prints.

use std::error::Error;

/// An error with what caused it, one line each.
pub(crate) fn error(error: &(dyn Error + 'static)) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprintln!("  because: {inner}");
        cause = inner.source();
    }
}
