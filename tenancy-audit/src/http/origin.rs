//! Where a request came from.

use std::net::{IpAddr, SocketAddr};

use http::{header, request::Parts};
use tenancy_core::Origin;

use super::layer::PeerOf;

/// The address is the peer's, unless the host knows better. Behind a proxy the peer is the proxy.
pub(super) fn of(parts: &Parts, known: Option<&PeerOf>) -> Origin {
    let mut origin = Origin::default();
    let address = match known {
        Some(known) => known(parts),
        None => peer(parts),
    };
    origin.ip = address.map(|address| address.to_canonical().to_string());
    let header = |name| {
        parts
            .headers
            .get(name)
            .map(|value: &http::HeaderValue| value.as_bytes())
    };
    origin.user_agent =
        header(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent).into_owned());
    origin.trace_id = parts
        .headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .and_then(trace_id);
    origin
}

/// As `into_make_service_with_connect_info` of axum gives it, or a server that puts the address there itself.
fn peer(parts: &Parts) -> Option<IpAddr> {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::ConnectInfo(address)) = parts.extensions.get() {
        let address: &SocketAddr = address;
        return Some(address.ip());
    }
    parts.extensions.get().map(SocketAddr::ip)
}

/// The trace id of a W3C `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`.
fn trace_id(traceparent: &str) -> Option<String> {
    let id = traceparent.split('-').nth(1)?;
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let valid = id.len() == 32 && id.bytes().all(is_hex) && id.bytes().any(|byte| byte != b'0');
    valid.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_taken_only_if_it_is_one() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(
            trace_id(good).as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        for bad in [
            "",
            "00",
            "00--x",
            "00-zz-1-1",
            &good.replace("4bf9", "4BF9"),
            &format!("00-{}-1-1", "0".repeat(32)),
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
