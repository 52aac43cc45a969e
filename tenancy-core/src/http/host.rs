//! What a `Host` header says.

/// The domain name of an authority: without port and final dot, in lower case. `None` for an
/// address, for what has user information, and for what is no domain name in ASCII; a name in
/// another script has its `xn--` form here, as in DNS.
pub(crate) fn domain(authority: &str) -> Option<String> {
    let name = match authority.split_once(':') {
        Some((name, port)) => {
            let is_port = port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
            is_port.then_some(name)?
        }
        None => authority,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits is an IPv4 address (WHATWG URL, "ends in a number").
    let address = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (name.len() <= 253 && name.split('.').all(label) && !address).then(|| name.to_ascii_lowercase())
}

/// The one label that stands before `base` in the authority.
pub(crate) fn subdomain(authority: &str, base: &str) -> Option<String> {
    let name = domain(authority)?;
    let base = base.trim_matches('.').to_ascii_lowercase();
    let label = name.strip_suffix(&base)?.strip_suffix('.')?;
    (!base.is_empty() && !label.contains('.')).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_is_read_whatever_its_case_port_and_final_dot() {
        for host in [
            "acme.example.com",
            "ACME.Example.COM",
            "acme.example.com:8443",
            "acme.example.com.",
            "acme.example.com.:443",
            "acme.example.com:",
        ] {
            let label = subdomain(host, "example.com");
            assert_eq!(label.as_deref(), Some("acme"), "{host}");
            assert_eq!(subdomain(host, ".Example.Com."), label, "{host}");
        }
        let punycode = subdomain("xn--cme-7la.example.com", "example.com");
        assert_eq!(punycode.as_deref(), Some("xn--cme-7la"));
    }

    #[test]
    fn what_is_no_subdomain_names_nothing() {
        for host in [
            "",
            ".",
            "example.com",
            ".example.com",
            "acme.example.com..",
            "a.b.example.com",
            "acmeexample.com",
            "acme.example.com.evil.test",
            "acme.example.org",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "::1",
            "user@acme.example.com",
            "acme.example.com:80:80",
            "acme.example.com:8o",
            "acme.example.com/x",
            "-acme.example.com",
            "ac me.example.com",
            "äcme.example.com",
            "acme\0.example.com",
        ] {
            assert_eq!(subdomain(host, "example.com"), None, "{host}");
        }
        assert_eq!(subdomain("acme.example.com", ""), None);
    }
}
