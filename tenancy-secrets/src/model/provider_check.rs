//! What the types of a provider can't check.

use std::net::IpAddr;

use url::{Host, Url};

use super::provider::{Identity, IssuerCheck, Provider};
use crate::Error;

impl Provider {
    /// The hosts that tokens may be sent to: those of its own URLs.
    pub fn allowed_hosts(&self) -> Vec<String> {
        let hosts = self
            .back_channel()
            .filter_map(|url| url.host_str().map(str::to_owned));
        let mut hosts: Vec<_> = hosts.collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    fn back_channel(&self) -> impl Iterator<Item = &Url> {
        let identity = self.identity.as_ref().and_then(|identity| match identity {
            Identity::Introspection { url, .. } | Identity::Userinfo { url, .. } => Some(url),
            Identity::Token { .. } => None,
        });
        let revocation = self.revocation.as_ref().map(|revocation| &revocation.url);
        std::iter::once(&self.token_url)
            .chain(identity)
            .chain(revocation)
    }

    /// Checks what the types can't: URLs, scopes, parameters, pointers.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured), naming the field.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |what: &str| {
            let message = format!("provider `{}`: {what}", self.key);
            Err(Error::misconfigured("provider_invalid", message))
        };
        if self.title.is_empty() || self.title.chars().count() > 100 {
            return refuse("`title` must have 1 to 100 characters");
        }
        let mut urls = self
            .back_channel()
            .chain(std::iter::once(&self.authorize_url));
        if !urls.all(is_safe) {
            return refuse("URLs must be https, without user, password and fragment");
        }
        if !self.default_scopes.iter().all(|scope| is_scope(scope)) {
            return refuse("`default_scopes` holds one that is no scope");
        }
        if let Some(name) = self
            .authorize_params
            .keys()
            .find(|name| RESERVED.contains(&name.as_str()))
        {
            return refuse(&format!("`authorize_params` may not set `{name}`"));
        }
        if self.issuer_check == IssuerCheck::Required && self.issuer.is_none() {
            return refuse("`issuer_check` needs an `issuer`");
        }
        if !self.pointers().all(|pointer| pointer.starts_with('/')) {
            return refuse("JSON pointers begin with `/`");
        }
        Ok(())
    }

    fn pointers(&self) -> impl Iterator<Item = &String> {
        let (id, label) = match &self.identity {
            Some(
                Identity::Introspection {
                    account_id, label, ..
                }
                | Identity::Token { account_id, label }
                | Identity::Userinfo {
                    account_id, label, ..
                },
            ) => (Some(account_id), label.as_ref()),
            None => (None, None),
        };
        self.token_at.iter().chain(id).chain(label)
    }
}

/// Parameters that belong to the protocol.
const RESERVED: &[&str] = &[
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
];

/// RFC 6749, section 3.3: printable ASCII without space, `"` and `\`.
pub(crate) fn is_scope(scope: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    (1..=256).contains(&scope.len()) && scope.bytes().all(allowed)
}

fn is_safe(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    plain && (url.scheme() == "https" || is_loopback(url))
}

/// `http` on this machine: for development and tests.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    local && url.scheme() == "http"
}
