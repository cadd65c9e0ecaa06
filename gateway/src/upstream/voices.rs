//! The voices of accounts whose provider calls them by opaque ids: listed once for each account, kept for
//! a while, and read again when somebody asks for a name that is not among them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dialects::contract::{ListedVoice, VoiceDirectory};
use domain::error::ErrorKind;
use secrecy::{ExposeSecret, SecretString};

use crate::Worker;
use crate::error::GatewayError;
use crate::pipeline::forward;
use crate::pipeline::route::Candidate;
use crate::snapshot::{AccountKey, ProviderAccount};

/// How long a list is believed.
const KEPT: Duration = Duration::from_secs(600);
/// Least time between two readings of one list, however many names are unknown.
const BETWEEN: Duration = Duration::from_secs(5);
/// Voices of one account that are kept; accounts have hundreds at most.
const MAX_VOICES: usize = 10_000;
/// Longest time that a call waits for a list.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pages of one list.
const MAX_PAGES: usize = 100;

/// The lists of all accounts.
#[derive(Debug, Default)]
pub struct Voices {
    accounts: Mutex<HashMap<AccountKey, Arc<Account>>>,
}

/// The list of one account.
#[derive(Debug)]
struct Account {
    base_url: String,
    api_key: Option<SecretString>,
    state: Mutex<State>,
    /// Held by the one call that reads the list.
    reading: tokio::sync::Mutex<()>,
}

/// What is known of a list.
#[derive(Debug, Clone, Default)]
struct State {
    voices: Option<Arc<[ListedVoice]>>,
    /// When it was read.
    read: Option<Instant>,
    /// When it was last asked for, with whatever success.
    asked: Option<Instant>,
}

impl Voices {
    /// The id of the voice that people call `name` in this account.
    ///
    /// # Errors
    /// No voice has that name, or the provider does not tell.
    pub async fn id(
        &self,
        worker: &Worker,
        candidate: &Candidate,
        directory: &'static dyn VoiceDirectory,
        name: &str,
    ) -> Result<String, GatewayError> {
        let account = self.account(&candidate.account);
        let known = account.state();
        if known.is_fresh()
            && let Some(id) = known.find(name)
        {
            return Ok(id);
        }
        let renewed = account.renewed(worker, candidate, directory, known.asked).await;
        match (account.state().find(name), renewed) {
            (Some(id), _) => Ok(id),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => {
                let provider = &candidate.account.name;
                let message = format!("The voice `{}` does not exist at provider `{provider}`.", shown(name));
                Err(GatewayError::invalid("voice", message))
            }
        }
    }

    /// Every voice of this account.
    ///
    /// # Errors
    /// The provider does not tell, and never has.
    pub async fn list(
        &self,
        worker: &Worker,
        candidate: &Candidate,
        directory: &'static dyn VoiceDirectory,
    ) -> Result<Arc<[ListedVoice]>, GatewayError> {
        let account = self.account(&candidate.account);
        let known = account.state();
        if let (true, Some(voices)) = (known.is_fresh(), known.voices) {
            return Ok(voices);
        }
        let renewed = account.renewed(worker, candidate, directory, known.asked).await;
        match (account.state().voices, renewed) {
            (Some(voices), _) => Ok(voices),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(unread()),
        }
    }

    /// A changed address or credential is another account, whose voices are not known.
    fn account(&self, account: &ProviderAccount) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = accounts.get(&account.key())
            && known.is(account)
        {
            return Arc::clone(known);
        }
        let new = Arc::new(Account {
            base_url: account.base_url.clone(),
            api_key: account.api_key.clone(),
            state: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        });
        accounts.insert(account.key(), Arc::clone(&new));
        new
    }
}

impl Account {
    fn is(&self, account: &ProviderAccount) -> bool {
        let [own, other] = [&self.api_key, &account.api_key].map(|key| key.as_ref().map(ExposeSecret::expose_secret));
        self.base_url == account.base_url && own == other
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads the list again, unless that was done since `seen` or a moment ago. Whoever comes meanwhile
    /// waits for the one reading, which goes on when the client that began it leaves.
    async fn renewed(
        self: &Arc<Self>,
        worker: &Worker,
        candidate: &Candidate,
        directory: &'static dyn VoiceDirectory,
        seen: Option<Instant>,
    ) -> Result<(), GatewayError> {
        let (account, worker, candidate) = (Arc::clone(self), worker.clone(), candidate.clone());
        let reading = async move { account.read_again(&worker, &candidate, directory, seen).await };
        actix_web::rt::spawn(reading).await.unwrap_or_else(|_| Err(unread()))
    }

    async fn read_again(
        &self,
        worker: &Worker,
        candidate: &Candidate,
        directory: &'static dyn VoiceDirectory,
        seen: Option<Instant>,
    ) -> Result<(), GatewayError> {
        let reading = self.reading.lock().await;
        let now = self.state();
        if now.asked != seen || now.asked.is_some_and(|asked| asked.elapsed() < BETWEEN) {
            // A reading that failed a moment ago is not repeated for each call.
            return if now.voices.is_some() { Ok(()) } else { Err(unread()) };
        }
        let read = read(worker, candidate, directory).await;
        let moment = Some(Instant::now());
        self.set(|state| state.asked = moment);
        let voices = read.inspect_err(|error| {
            tracing::warn!(provider = %candidate.account.name, %error, "the voices of an account could not be read");
        })?;
        self.set(|state| (state.voices, state.read) = (Some(voices.into()), moment));
        drop(reading);
        Ok(())
    }
}

impl State {
    fn is_fresh(&self) -> bool {
        self.read.is_some_and(|read| read.elapsed() < KEPT)
    }

    fn find(&self, name: &str) -> Option<String> {
        find(self.voices.as_deref()?, name).map(|voice| voice.id.clone())
    }
}

/// The voice of that id or name; else of that name in other letters; else the only one whose name begins
/// with it before a dash, as in `Sarah - Mature, Confident`.
fn find<'a>(voices: &'a [ListedVoice], name: &str) -> Option<&'a ListedVoice> {
    let wanted = name.trim().to_lowercase();
    let exact = voices.iter().find(|voice| voice.id == name || voice.name == name);
    let any = || voices.iter().find(|voice| voice.name.trim().to_lowercase() == wanted);
    let short = || {
        let mut alike = voices.iter().filter(|voice| {
            voice.name.split_once(" - ").is_some_and(|(first, _)| first.trim().to_lowercase() == wanted)
        });
        alike.next().filter(|_| alike.next().is_none())
    };
    exact.or_else(any).or_else(short)
}

/// Every page of the list.
async fn read(
    worker: &Worker,
    candidate: &Candidate,
    directory: &'static dyn VoiceDirectory,
) -> Result<Vec<ListedVoice>, GatewayError> {
    let patience = worker.gateway.timeouts().first_byte.min(PATIENCE);
    let pages = async {
        let (mut voices, mut next): (Vec<ListedVoice>, Option<String>) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let request = forward::get(&worker.gateway, candidate, &directory.page(next.as_deref())).await?;
            let answer = worker.client.send(candidate.account.allow_insecure, request).await?;
            if !answer.status().is_success() {
                return Err(forward::refusal(&worker.gateway, candidate, answer).await);
            }
            let body = forward::collect_json(&worker.gateway, answer.into_body()).await?;
            let page = directory.parse(&body)?;
            voices.extend(page.voices.into_iter().take(MAX_VOICES - voices.len()));
            next = page.next;
            if next.is_none() || voices.len() >= MAX_VOICES {
                break;
            }
        }
        Ok(voices)
    };
    tokio::time::timeout(patience, pages).await.unwrap_or_else(|_| Err(unread()))
}

fn unread() -> GatewayError {
    GatewayError::upstream(ErrorKind::UpstreamError, "The provider does not tell which voices it has.")
}

/// A client's text as a message may repeat it.
fn shown(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(id: &str, name: &str) -> ListedVoice {
        let (id, name) = (id.to_owned(), name.to_owned());
        ListedVoice { id, name, language: None, gender: None, preview_url: None }
    }

    #[test]
    fn a_voice_is_found_as_people_call_it() {
        let voices = [
            voice("1", "rachel"),
            voice("2", "Rachel"),
            voice("3", "Sarah - Mature"),
            voice("4", "Max - A"),
            voice("5", "Max - B"),
        ];
        let id = |name: &str| find(&voices, name).map(|voice| voice.id.as_str());
        assert_eq!(
            (id("Rachel"), id("RACHEL"), id(" sarah "), id("Sarah - Mature")),
            (Some("2"), Some("1"), Some("3"), Some("3"))
        );
        assert_eq!((id("Max"), id("max - b"), id("5"), id("Sar"), id("")), (None, Some("5"), Some("5"), None, None));
    }
}
