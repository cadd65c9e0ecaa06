//! E-mail by SMTP.

use std::time::Duration;

use admin_types::alerts::AlertMessage;
use lettre::address::AddressError;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;

use super::message::{headline, plain_text};
use crate::settings::{SmtpSettings, SmtpTls};

/// For each command, the connection among them.
const COMMAND: Duration = Duration::from_secs(10);
/// For a whole message.
const TOTAL: Duration = Duration::from_secs(30);

/// Why e-mail cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The sender is no address.
    #[error("smtp.from is not an e-mail address: {0}")]
    From(#[from] AddressError),
    /// TLS cannot be set up for this host.
    #[error("smtp.tls cannot be set up: {0}")]
    Tls(#[from] lettre::transport::smtp::Error),
}

/// Sends e-mail through one server.
pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    pub(super) fn new(settings: &SmtpSettings) -> Result<Self, MailError> {
        let from: Mailbox = settings.from.parse()?;
        let parameters = || TlsParameters::new(settings.host.clone());
        let tls = match settings.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::Starttls => Tls::Required(parameters()?),
            SmtpTls::Tls => Tls::Wrapper(parameters()?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(settings.host.clone())
            .port(settings.port)
            .tls(tls)
            .timeout(Some(COMMAND));
        if let (Some(user), Some(password)) = (&settings.username, &settings.password) {
            transport = transport.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self { transport: transport.build(), from })
    }

    /// Sends one message to all of `to`. The error is fit to be shown: what the server said.
    pub(super) async fn send(&self, to: &[String], message: &AlertMessage) -> Result<(), String> {
        let email = self.email(to, message)?;
        match tokio::time::timeout(TOTAL, self.transport.send(email)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(said(&error)),
            Err(_) => Err(format!("the mail server did not take the message within {} seconds", TOTAL.as_secs())),
        }
    }

    fn email(&self, to: &[String], message: &AlertMessage) -> Result<Message, String> {
        let mut email = Message::builder()
            .from(self.from.clone())
            // The same in every attempt, by which mail programs drop a second copy.
            .message_id(Some(format!("<{}@{}>", message.id, self.from.email.domain())))
            .subject(headline(message))
            .header(ContentType::TEXT_PLAIN);
        for address in to {
            let address: Address = address.parse().map_err(|_| "an address cannot be used".to_owned())?;
            email = email.to(address.into());
        }
        email.body(plain_text(message)).map_err(|error| error.to_string())
    }
}

/// What the server answered, or what became of the connection.
fn said(error: &lettre::transport::smtp::Error) -> String {
    let what = if error.is_timeout() {
        "the mail server did not answer in time".to_owned()
    } else if error.is_response() || error.is_permanent() || error.is_transient() {
        format!("the mail server refused: {error}")
    } else {
        "the mail server could not be reached".to_owned()
    };
    what.chars().take(500).collect()
}
