//! People whom a proxy in front of the server has authenticated: it names them in a header.
//!
//! Anybody can send a header. So it counts only on connections from the addresses of such proxies, which must replace
//! what they receive in it. Everywhere else it is ignored.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::keys::AccessError;
use super::people::{Grants, Identity, Person};

/// Why the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TrustedProxyError {
    #[error(
        "MILLRACE_TRUSTED_HEADER (--trusted-header): {0:?} is not the name of a header, such as X-Forwarded-User"
    )]
    Header(String),
    #[error(
        "MILLRACE_TRUSTED_PROXIES (--trusted-proxies): {0:?} is not an address or a network, such as 10.0.0.5 or 10.0.0.0/24"
    )]
    Network(String),
    #[error(
        "MILLRACE_TRUSTED_HEADER is set without MILLRACE_TRUSTED_PROXIES: anybody could send that header; name the addresses \
         of the proxies"
    )]
    NoProxies,
    #[error("MILLRACE_TRUSTED_PROXIES is set without MILLRACE_TRUSTED_HEADER: set it too, or neither")]
    NoHeader,
}

/// The header, and the proxies from which it is trusted.
#[derive(Debug)]
pub(crate) struct TrustedProxies {
    header: HeaderName,
    networks: Vec<Network>,
    /// The header with the groups of a person, and what they are granted. `None` if everybody who is named reads.
    groups: Option<(HeaderName, Arc<Grants>)>,
}

impl TrustedProxies {
    /// Takes the settings; `None` if both are empty. `networks` are separated by commas.
    pub(crate) fn new(header: &str, networks: &str) -> Result<Option<Self>, TrustedProxyError> {
        let words = networks.split(',').map(str::trim).filter(|word| !word.is_empty());
        let networks: Vec<Network> = words.map(str::parse).collect::<Result<_, _>>()?;
        match (header.trim(), networks.is_empty()) {
            ("", true) => Ok(None),
            ("", false) => Err(TrustedProxyError::NoHeader),
            (_, true) => Err(TrustedProxyError::NoProxies),
            (header, false) => {
                let header = header.parse().map_err(|_| TrustedProxyError::Header(header.to_owned()))?;
                Ok(Some(Self { header, networks, groups: None }))
            }
        }
    }

    /// Roles of people depend on the groups that this header names, separated by commas.
    pub(crate) fn with_groups(self, header: HeaderName, grants: Arc<Grants>) -> Self {
        Self { groups: Some((header, grants)), ..self }
    }

    /// The person whom a trusted proxy has named, and the groups; `None` if proxies name no groups.
    pub(super) fn person(&self, headers: &HeaderMap) -> Option<Result<Person, AccessError>> {
        let (groups_header, grants) = self.groups.as_ref()?;
        let texts = |header: &HeaderName| {
            let values = headers.get_all(header).iter();
            values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect::<Vec<_>>()
                .join(",")
        };
        let groups = texts(groups_header);
        let groups = groups.split(',').map(|group| group.trim().to_owned()).filter(|group| !group.is_empty());
        let name = texts(&self.header);
        let person = grants.person(Identity { name: name.clone(), groups: groups.collect(), email: None });
        Some(person.ok_or(AccessError::NoRole(name)))
    }

    /// Whether the request is from a trusted proxy and names a person.
    pub(super) fn have_authenticated(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let is_named = headers.get(&self.header).is_some_and(|name| !name.as_bytes().trim_ascii().is_empty());
        is_named && self.networks.iter().any(|network| network.contains(peer))
    }
}

/// Addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        // An IPv4 client of a socket for both has an IPv4-mapped address.
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - self.prefix_bits;
                u32::from(network).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - self.prefix_bits;
                u128::from(network).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, TrustedProxyError> {
        let invalid = || TrustedProxyError::Network(text.to_owned());
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix.map_or(Ok(bits), |prefix| prefix.parse().map_err(|_| invalid()))?;
        if prefix_bits > bits {
            return Err(invalid());
        }
        Ok(Self { address, prefix_bits })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn named(name: &'static str) -> HeaderMap {
        [("x-forwarded-user".parse().unwrap(), HeaderValue::from_static(name))].into_iter().collect()
    }

    #[test]
    fn the_header_counts_from_the_addresses_of_proxies_only() {
        let proxies =
            TrustedProxies::new("X-Forwarded-User", "10.1.2.0/23, 192.0.2.7,fd00::/8,").unwrap().unwrap();
        for (address, expected) in [
            ("10.1.2.0", true),
            ("10.1.3.255", true),
            ("::ffff:10.1.3.255", true),
            ("10.1.4.0", false),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("::1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(proxies.have_authenticated(address, &named("ada")), expected, "{address}");
            assert!(!proxies.have_authenticated(address, &HeaderMap::new()));
            assert!(!proxies.have_authenticated(address, &named(" ")));
        }
        let everybody = TrustedProxies::new("x-user", "0.0.0.0/0").unwrap().unwrap();
        assert!(everybody.networks[0].contains("203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn unusable_settings_are_explained() {
        assert!(matches!(TrustedProxies::new("", " "), Ok(None)));
        for (header, networks, part) in [
            ("X-Forwarded-User", "", "without MILLRACE_TRUSTED_PROXIES"),
            ("", "10.0.0.1", "without MILLRACE_TRUSTED_HEADER"),
            ("X Forwarded", "10.0.0.1", "\"X Forwarded\" is not the name of a header"),
            ("X-Forwarded-User", "10.0.0.0/33", "\"10.0.0.0/33\" is not an address"),
            ("X-Forwarded-User", "proxy.example", "\"proxy.example\" is not an address"),
            ("X-Forwarded-User", "10.0.0.0/x", "is not an address"),
        ] {
            let error = TrustedProxies::new(header, networks).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
