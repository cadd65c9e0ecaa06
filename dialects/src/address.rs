//! Where a provider may be: the one rule for base URLs from the file, from the admin API and of tenants.

use std::net::IpAddr;

use url::{Host, Url};

/// Why a base URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("base_url is not a URL: {0}")]
    NotAUrl(url::ParseError),
    /// It is of another protocol.
    #[error("base_url must start with https://")]
    Scheme,
    /// It names a user or a password.
    #[error("base_url must not contain credentials; use api_key")]
    Credentials,
    /// It has more than a path.
    #[error("base_url must have no query and no fragment")]
    Query,
    /// It is not encrypted.
    #[error("base_url is plain http")]
    PlainHttp,
    /// It leads to this machine or a network of its own.
    #[error("base_url is a private address")]
    Private,
}

impl AddressError {
    /// Whether `allow_insecure` would permit it.
    #[must_use]
    pub const fn is_insecure(&self) -> bool {
        matches!(self, Self::PlainHttp | Self::Private)
    }
}

/// A base URL in its one form: without spaces around it and without a slash at its end. Names are judged
/// again when they are resolved.
///
/// # Errors
/// It is no address of a provider, or a private or plain one where `allow_insecure` is not given.
pub fn base_url(text: &str, allow_insecure: bool) -> Result<String, AddressError> {
    let url = Url::parse(text.trim()).map_err(AddressError::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(AddressError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(AddressError::Query);
    }
    if !allow_insecure && url.scheme() != "https" {
        return Err(AddressError::PlainHttp);
    }
    if !allow_insecure && is_private(&url) {
        return Err(AddressError::Private);
    }
    Ok(text.trim().trim_end_matches('/').to_owned())
}

/// Whether two base URLs lead to one server.
#[must_use]
pub fn same_server(one: &str, other: &str) -> bool {
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
    origin(one).is_some_and(|first| Some(first) == origin(other))
}

fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(ip)) => !is_public(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => !is_public(IpAddr::V6(ip)),
        None => true,
    }
}

/// Whether an address belongs to the public Internet. Names such as a cloud's metadata service
/// resolve to link-local ones and are refused by this.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let reserved = a == 0 || a >= 240 || (a == 198 && (18..20).contains(&b)) || (a == 192 && b == 0);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || shared || reserved)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            // 2000::/3 is the public space; 2002::/16 (6to4) and 64:ff9b::/96 (NAT64) carry IPv4 inside.
            (first & 0xe000) == 0x2000 && first != 0x2002 && !(first == 0x2001 && second == 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_in_every_spelling_are_not_public() {
        for text in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "192.168.1.1", "224.0.0.1"] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["::1", "::ffff:127.0.0.1", "fe80::1", "fc00::1", "64:ff9b::7f00:1", "2002:7f00:1::", "::"] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        assert!(is_public("104.18.7.192".parse().unwrap()));
        assert!(is_public("2606:4700::6812:7c0".parse().unwrap()));
    }

    #[test]
    fn a_base_url_is_public_and_plain_of_credentials_unless_it_may_be_anywhere() {
        assert_eq!(base_url(" https://api.example.com/v1/ ", false).unwrap(), "https://api.example.com/v1");
        assert_eq!(base_url("http://10.0.0.1:9/v1", true).unwrap(), "http://10.0.0.1:9/v1");
        for (text, error) in [
            ("http://api.example.com", AddressError::PlainHttp),
            ("https://127.0.0.1/", AddressError::Private),
            ("https://2130706433/", AddressError::Private),
            ("https://[::ffff:10.0.0.1]/", AddressError::Private),
            ("https://100.64.0.1/", AddressError::Private),
            ("https://LOCALHOST./", AddressError::Private),
            ("https://a.localhost/", AddressError::Private),
            ("https://u:p@api.example.com", AddressError::Credentials),
            ("https://api.example.com/?a=b", AddressError::Query),
            ("https://api.example.com/#a", AddressError::Query),
            ("file:///etc/passwd", AddressError::Scheme),
        ] {
            assert_eq!(base_url(text, false), Err(error), "{text}");
        }
        assert!(same_server("https://api.example.com/v1", "https://API.example.com:443/v2"));
        for other in ["http://api.example.com/v1", "https://api.example.org/v1", "https://api.example.com:8443", ""] {
            assert!(!same_server("https://api.example.com/v1", other), "{other}");
        }
        assert!(matches!(base_url("api.example.com", false), Err(AddressError::NotAUrl(_))));
        assert_eq!(base_url("https://u@10.0.0.1", true), Err(AddressError::Credentials));
    }
}
