//! Conditions of a search, one by one, and whether an entry meets them.

use std::{fmt, net::IpAddr, str::FromStr};

use serde_json::{Value, json};
use tenancy_core::{Outcome, RequestId, Target};

use super::{
    entry::{Entry, resource_of},
    jsonb_text,
    query::{ActionFilter, ActorFilter, AuditQuery, ResourceFilter},
};
use crate::Error;

/// The longest text looked for, in bytes.
const MAX_TEXT: usize = 128;

/// One condition, such as a search leaves out by [`AuditQuery::without`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Filter {
    /// What was done.
    Action(ActionFilter),
    /// Who acted.
    Actor(ActorFilter),
    /// From which address.
    Ip(IpRange),
    /// How it ended.
    Outcome(Outcome),
    /// The request it belongs to.
    Request(RequestId),
    /// What it was done to first.
    Resource(ResourceFilter),
    /// What is among the things it was done to.
    Target(Target),
    /// What its details say.
    Text(SearchText),
}

/// One address, or all of a network.
///
/// ```
/// use tenancy_audit::IpRange;
///
/// let office: IpRange = "192.0.2.0/24".parse()?;
/// assert!(office.contains("192.0.2.77".parse().expect("an address")));
/// assert_eq!("2001:db8::1".parse::<IpRange>()?.to_string(), "2001:db8::1");
/// # Ok::<(), tenancy_audit::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpRange {
    address: IpAddr,
    prefix: u8,
}

/// A text to look for: in the action, the resource, and in keys and values of `meta`. Letters of ASCII
/// are found in either case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SearchText(String);

impl IpRange {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address, self.prefix).is_some_and(|masked| masked == self.address)
    }
}

/// The address without what is behind its first `prefix` bits; `None` if it has fewer.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let host = |bits: u32| bits.checked_sub(u32::from(prefix));
    Some(match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(host(32)?).unwrap_or(0);
            IpAddr::from((v4.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(host(128)?).unwrap_or(0);
            IpAddr::from((v6.to_bits() & mask).to_be_bytes())
        }
    })
}

impl FromStr for IpRange {
    type Err = Error;

    /// Reads `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`; what is behind the prefix is left out.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let (address, prefix) = text
                .split_once('/')
                .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
            let address: IpAddr = address.parse().ok()?;
            let whole = if address.is_ipv4() { 32 } else { 128 };
            let prefix = match prefix {
                // A sign or a zero in front is no prefix that anybody means.
                Some(digits) if digits.len() > 1 && digits.starts_with(['0', '+']) => return None,
                Some(digits) => digits.parse().ok()?,
                None => whole,
            };
            let address = masked(address, prefix)?;
            Some(Self { address, prefix })
        };
        parse().ok_or_else(|| {
            let message = "an address is one of IPv4 or IPv6, or a network such as `192.0.2.0/24`";
            Error::invalid("audit_ip_invalid", message)
        })
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        self.address.fmt(f)?;
        if self.prefix < whole {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

impl SearchText {
    /// A text of 1 to 128 bytes.
    ///
    /// # Errors
    /// `audit_text_invalid`: it is empty, too long, or holds a NUL.
    pub fn parse(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        if text.is_empty() || text.len() > MAX_TEXT || text.contains('\0') {
            let message = format!("a text to look for has 1 to {MAX_TEXT} bytes and no NUL");
            return Err(Error::invalid("audit_text_invalid", message));
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it stands in JSON, in lower case.
    fn needle(&self) -> String {
        jsonb_text::escaped(&self.0).to_ascii_lowercase()
    }

    /// For `LIKE`.
    pub(crate) fn pattern(&self) -> String {
        format!("%{}%", like(&self.needle()))
    }

    fn is_in(&self, entry: &Entry) -> bool {
        let meta = jsonb_text::object(&entry.meta);
        let resource = entry.resource.as_deref().unwrap_or_default();
        format!("{} {resource} {meta}", entry.action)
            .to_ascii_lowercase()
            .contains(&self.needle())
    }
}

/// A text as a pattern that matches itself only.
pub(crate) fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

impl Filter {
    /// Whether an entry meets it.
    pub(crate) fn meets(&self, entry: &Entry) -> bool {
        match self {
            Self::Action(ActionFilter::Exact(action)) => entry.action == action.as_str(),
            Self::Action(ActionFilter::Prefix(prefix)) => entry.action.starts_with(prefix.as_str()),
            Self::Actor(actor) => {
                let (kind, id) = actor.columns();
                entry.actor.kind == kind && entry.actor.id == id
            }
            Self::Ip(range) => {
                let address = entry.origin().ip.and_then(|ip| ip.parse().ok());
                address.is_some_and(|address| range.contains(address))
            }
            Self::Outcome(outcome) => entry.outcome == *outcome,
            Self::Request(request) => entry.request == Some(*request),
            Self::Resource(ResourceFilter::Exact(target)) => {
                entry.resource == resource_of(std::slice::from_ref(target))
            }
            Self::Resource(ResourceFilter::Kind(kind)) => {
                entry.targets.first().is_some_and(|t| t.kind == *kind)
            }
            Self::Target(target) => entry.targets.contains(target),
            Self::Text(text) => text.is_in(entry),
        }
    }

    /// For a fingerprint and for the entry that says what was exported.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Action(ActionFilter::Exact(action)) => json!({ "action": action.as_str() }),
            Self::Action(ActionFilter::Prefix(prefix)) => {
                json!({ "action_prefix": prefix.as_str() })
            }
            Self::Actor(actor) => {
                let (kind, id) = actor.columns();
                json!({ "actor": { "kind": kind, "id": id } })
            }
            Self::Ip(range) => json!({ "ip": range.to_string() }),
            Self::Outcome(outcome) => json!({ "outcome": outcome.as_str() }),
            Self::Request(request) => json!({ "request": request }),
            Self::Resource(ResourceFilter::Exact(target)) => json!({ "resource": target }),
            Self::Resource(ResourceFilter::Kind(kind)) => json!({ "resource_kind": kind }),
            Self::Target(target) => json!({ "target": target }),
            Self::Text(text) => json!({ "text": text.as_str() }),
        }
    }
}

impl AuditQuery {
    /// Every condition that an entry has to meet, apart from its time.
    pub(crate) fn conditions(&self) -> Vec<Filter> {
        let single = [
            self.actor.clone().map(Filter::Actor),
            self.action.clone().map(Filter::Action),
            self.resource.clone().map(Filter::Resource),
            self.target.clone().map(Filter::Target),
            self.outcome.map(Filter::Outcome),
            self.request.map(Filter::Request),
            self.ip.map(Filter::Ip),
        ];
        let texts = self.text.iter().cloned().map(Filter::Text);
        single.into_iter().flatten().chain(texts).collect()
    }

    /// For stores: whether an entry meets all filters, apart from its tenant and its time, which
    /// [`ids`](Self::ids) knows.
    pub fn finds(&self, entry: &Entry) -> bool {
        self.conditions().iter().all(|filter| filter.meets(entry))
            && !self.except.iter().any(|filter| filter.meets(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let range = |text: &str| text.parse::<IpRange>().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (net, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.77/25", "192.0.2.0", "192.0.2.128"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "ff02::1", "1.2.3.4"),
        ] {
            assert!(range(net).contains(ip(inside)), "{net} {inside}");
            assert!(!range(net).contains(ip(outside)), "{net} {outside}");
        }
        assert_eq!(range("192.0.2.77/24").to_string(), "192.0.2.0/24");
        assert_eq!(range("10.0.0.1/32").to_string(), "10.0.0.1");
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4/33",
            "1.2.3.4/",
            "::/129",
            "a",
            "1.2.3.4/+8",
            "1.2.3.4/08",
        ] {
            let error = bad.parse::<IpRange>().unwrap_err();
            assert_eq!(error.code(), "audit_ip_invalid", "{bad}");
        }
    }

    #[test]
    fn a_pattern_matches_what_it_says_and_no_more() {
        let text = SearchText::parse("50%_\\\"Ü\n").unwrap();
        assert_eq!(text.pattern(), r#"%50\%\_\\\\\\"Ü\\n%"#);
        for bad in ["", "a\0b", &"x".repeat(MAX_TEXT + 1)] {
            assert_eq!(
                SearchText::parse(bad).unwrap_err().code(),
                "audit_text_invalid"
            );
        }
    }
}
