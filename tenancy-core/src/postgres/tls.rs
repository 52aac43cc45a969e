//! Encryption on the way to the database: what is asked for, and what a refusal means.

use std::io::ErrorKind as Io;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::fault::Cause;
use crate::{Error, ErrorKind};

/// Asks for an encrypted connection to a server that proves by its certificate that it is the
/// host of the URL, whatever mode the URL names. A Unix socket does not leave the machine.
pub(crate) fn require(options: PgConnectOptions) -> PgConnectOptions {
    if is_socket(&options) {
        return options;
    }
    options.ssl_mode(PgSslMode::VerifyFull)
}

/// Warns of a connection that somebody between here and the server could read or take over.
pub(crate) fn warn_if_weak(options: &PgConnectOptions) {
    let mode = match options.get_ssl_mode() {
        PgSslMode::VerifyFull => return,
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::Require => "require",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Allow => "allow",
        PgSslMode::Disable => "disable",
    };
    let host = options.get_host();
    if is_socket(options) || is_loopback(host) {
        return;
    }
    tracing::warn!(
        host,
        sslmode = mode,
        "nothing proves that the database is the one of this host name: \
         use sslmode=verify-full, or DbOptions::with_required_tls"
    );
}

/// "Operation not permitted", on every Unix.
const EPERM: i32 = 1;

/// What an error of connecting means if it is about encryption.
pub(crate) fn refusal(error: &sqlx::Error, options: &PgConnectOptions) -> Option<Error> {
    let cause = match error {
        sqlx::Error::Tls(cause) => cause.to_string(),
        // What rustls has against the server's certificate or words.
        sqlx::Error::Io(io) if io.kind() == Io::InvalidData => io.to_string(),
        // Over TCP no name is looked up in the file system but those of certificates. EPERM is a connection
        // that was not let out; a file that may not be read is EACCES.
        sqlx::Error::Io(io)
            if matches!(io.kind(), Io::NotFound | Io::PermissionDenied)
                && io.raw_os_error() != Some(EPERM)
                && !is_socket(options) =>
        {
            return Some(refused("tls_file", FILE, io.to_string()));
        }
        _ => return None,
    };
    Some(failed(cause))
}

/// What was said against encrypting a connection, with what to do.
pub(crate) fn failed(cause: String) -> Error {
    let (code, advice) = if cause.contains("built without TLS") {
        ("tls_not_built", NOT_BUILT)
    } else if cause.contains("does not support TLS") {
        ("tls_not_offered", NOT_OFFERED)
    } else if cause.contains("invalid peer certificate") {
        ("tls_not_trusted", NOT_TRUSTED)
    } else {
        ("tls_failed", FAILED)
    };
    refused(code, advice, cause)
}

fn refused(code: &'static str, advice: &'static str, cause: String) -> Error {
    Error::new(ErrorKind::Misconfigured, code, advice).with_source(Cause(cause))
}

fn is_socket(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some() || options.get_host().starts_with('/')
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

const NOT_BUILT: &str = "the database URL asks for TLS, and this program was built without it: turn on the feature `tls`";

const NOT_OFFERED: &str = "the connection has to be encrypted, and the server does not offer it: set `ssl = on` there with a certificate, or connect to the address that does";

const NOT_TRUSTED: &str = "the server's certificate does not prove that it is the host of the URL: name the authority that signed it (`sslrootcert`, PGSSLROOTCERT), use a host name that is in it, and look at its dates";

const FILE: &str =
    "a file of certificates can't be read: look at `sslrootcert`, `sslcert` and `sslkey`";

const FAILED: &str = "the connection to the database can't be encrypted as it has to be";
