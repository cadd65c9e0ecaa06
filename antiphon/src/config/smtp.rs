//! `smtp`: the mail server that alerts go through; optional.

use admin::settings::{SmtpSettings, SmtpTls};
use secrecy::SecretString;
use serde::Deserialize;

/// One mail server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmtpConfig {
    /// Its name, which its certificate must have.
    pub(crate) host: String,
    /// Its port. Default 587 with `starttls`, 465 with `tls`, 25 with `none`.
    #[serde(default)]
    pub(crate) port: Option<u16>,
    /// Who signs in; nobody does without.
    #[serde(default)]
    pub(crate) username: Option<String>,
    /// With which password.
    #[serde(default)]
    pub(crate) password: Option<SecretString>,
    /// The sender: `alerts@example.com` or `Antiphon <alerts@example.com>`.
    pub(crate) from: String,
    /// How the connection is encrypted. Default `starttls`.
    #[serde(default)]
    pub(crate) tls: Encryption,
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encryption {
    /// It begins in plain and must turn to TLS before anything is said.
    #[default]
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all: for a relay on this machine or in a network of one's own.
    None,
}

impl SmtpConfig {
    /// As the control plane takes it.
    pub(crate) fn to_settings(&self) -> SmtpSettings {
        let (tls, usual_port) = match self.tls {
            Encryption::Starttls => (SmtpTls::Starttls, 587),
            Encryption::Tls => (SmtpTls::Tls, 465),
            Encryption::None => (SmtpTls::None, 25),
        };
        SmtpSettings {
            host: self.host.clone(),
            port: self.port.unwrap_or(usual_port),
            username: self.username.clone(),
            password: self.password.clone(),
            from: self.from.clone(),
            tls,
        }
    }
}
