//! What the control plane is told at start.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use admin_types::role::Role;
use ipnet::IpNet;
use secrecy::SecretString;

/// Settings of one process of the control plane.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Where it listens. Port 0 picks a free one.
    pub bind: SocketAddr,
    /// Worker threads; `None` for one per core.
    pub workers: Option<usize>,
    /// The address that people's browsers use, such as `https://antiphon.example.com`, for links and
    /// redirects; without it the listener's own address.
    pub public_url: Option<String>,
    /// The proxies that say in `X-Forwarded-For` where a request comes from; nobody else is believed.
    pub trusted_proxies: TrustedProxies,
    /// A request's body must bring 1 KiB a second, looked at over this time.
    pub body_idle: Duration,
    /// The address that clients of the data plane use, for the dashboard's page; of a gateway in this process it is
    /// known only once that listens.
    pub gateway_url: Arc<OnceLock<String>>,
    /// After SIGTERM, how long it still serves, while it says that it is not ready.
    pub drain_delay: Duration,
    /// How long requests in flight have after that.
    pub drain: Duration,
    /// The server that e-mail goes through; without it none is sent.
    pub smtp: Option<SmtpSettings>,
    /// How often alert rules are looked at.
    pub alerts_every: Duration,
    /// The identity provider that people may sign in with; without it they have passwords alone.
    pub oidc: Option<OidcSettings>,
}

/// Proxies whose word is taken for where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses, such as `192.0.2.1`, and networks, such as `10.0.0.0/8`.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let read = |text: &String| {
            let address = text.parse::<IpAddr>().map(|address| address.to_canonical().into());
            address.or_else(|_| text.parse()).map_err(|_| text.clone())
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An identity provider that speaks OpenID Connect.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// Its issuer, below which it tells what it is.
    pub issuer: String,
    /// What it knows this installation by.
    pub client_id: String,
    /// With which secret; a public client has none.
    pub client_secret: Option<SecretString>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim whose values give roles: one text or a list of them.
    pub role_claim: String,
    /// What its values give. Whoever has none of them is refused.
    pub roles: BTreeMap<String, OidcRole>,
    /// Plain HTTP and private addresses are permitted: for tests and networks of one's own.
    pub allow_insecure: bool,
}

/// What a claim's value gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcRole {
    /// What people may do.
    pub role: Role,
    /// The name of their tenant; platform administrators have none.
    pub tenant: Option<String>,
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who signs in; nobody does without.
    pub username: Option<String>,
    /// With which password.
    pub password: Option<SecretString>,
    /// The sender: `alerts@example.com` or `Antiphon <alerts@example.com>`.
    pub from: String,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// It begins in plain and must turn to TLS before anything is said.
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all: for a relay on this machine or in a network of one's own.
    None,
}

impl AdminSettings {
    /// The defaults, listening there.
    #[must_use]
    pub fn at(bind: SocketAddr) -> Self {
        Self {
            bind,
            workers: None,
            public_url: None,
            trusted_proxies: TrustedProxies::default(),
            body_idle: Duration::from_secs(30),
            gateway_url: Arc::default(),
            drain_delay: Duration::ZERO,
            drain: Duration::from_secs(30),
            smtp: None,
            alerts_every: Duration::from_secs(30),
            oidc: None,
        }
    }

    /// What people's browsers put in front of a path, such as `https://antiphon.example.com`.
    #[must_use]
    pub fn origin(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let ip = match self.bind.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                    ip => ip,
                };
                format!("http://{}", SocketAddr::new(ip, self.bind.port()))
            }
        }
    }

    /// The data plane's address, where there is one.
    #[must_use]
    pub fn gateway_url(&self) -> Option<String> {
        self.gateway_url.get().map(|url| url.trim_end_matches('/').to_owned())
    }
}
