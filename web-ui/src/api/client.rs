//! Who asks the admin API: somebody who is signed in, or nobody.

use std::collections::hash_map::DefaultHasher;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use gloo_net::http::Method;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::request::{Answer, Call};
use super::wire::strong;
use crate::clock;
use crate::session::Session;

/// Asks for nobody: to sign in, and what everybody may know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenClient;

impl OpenClient {
    pub(crate) async fn send(self, call: Call) -> Result<Answer, Failure> {
        call.send(None).await?.accepted().await
    }

    pub(crate) async fn json<T: DeserializeOwned>(self, call: Call) -> Result<T, Failure> {
        self.send(call).await?.json().await
    }
}

/// Something with the version that a change of it names, so that nobody's change is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Versioned<T> {
    pub(crate) value: T,
    pub(crate) version: Option<String>,
}

impl<T> Deref for Versioned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Asks for whoever is signed in. Where the sign-in has expired, a call waits until somebody has signed in
/// again and is then made once more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    session: Session,
    /// Creations that nothing answered, with the key they were sent under: sent again, they are made once.
    unanswered: StoredValue<Vec<(u64, String)>>,
}

impl Client {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, unanswered: StoredValue::new(Vec::new()) }
    }

    /// Sends a call, and gives its answer unless that is an error.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let token = self.session.token().await?;
        let answer = call.send(Some(&token)).await?;
        if answer.status() != 401 {
            return answer.accepted().await;
        }
        self.session.forget_token(&token);
        let token = self.session.token().await?;
        call.send(Some(&token)).await?.accepted().await
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        self.send(call).await?.json().await
    }

    async fn versioned<T: DeserializeOwned>(&self, call: Call) -> Result<Versioned<T>, Failure> {
        let answer = self.send(call).await?;
        let version = answer.header("etag").map(|tag| strong(&tag).to_owned());
        Ok(Versioned { value: answer.json().await?, version })
    }

    /// What a path gives.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Call::get(path)).await
    }

    /// The same, with its version.
    pub(crate) async fn get_versioned<T: DeserializeOwned>(&self, path: &str) -> Result<Versioned<T>, Failure> {
        self.versioned(Call::get(path)).await
    }

    /// What a list gives.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<T, Failure> {
        self.get(&super::wire::with_query(path, query)).await
    }

    /// Does something.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.json(Call::post(path).json(body)?).await
    }

    /// Does something that takes no body.
    pub(crate) async fn press<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Call::post(path)).await
    }

    /// The same, with the version that there is then.
    pub(crate) async fn press_versioned<T: DeserializeOwned>(&self, path: &str) -> Result<Versioned<T>, Failure> {
        self.versioned(Call::post(path)).await
    }

    /// Does something to the version that was read.
    pub(crate) async fn post_versioned<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        version: Option<&str>,
    ) -> Result<Versioned<T>, Failure> {
        self.versioned(Call::post(path).json(body)?.if_match(version)).await
    }

    /// Makes something, once.
    pub(crate) async fn create<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.create_from(path, body, None).await.map(|made| made.value)
    }

    /// Makes something, of the version that was read where there is one, once; with its own version.
    pub(crate) async fn create_from<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        version: Option<&str>,
    ) -> Result<Versioned<T>, Failure> {
        let call = Call::post(path).json(body)?.if_match(version);
        let text = call.body.as_ref().and_then(|body| body.as_string()).unwrap_or_default();
        self.create_by(call, &text).await
    }

    /// As [`Self::create_from`], of something whose body `about` stands for.
    pub(crate) async fn create_by<T: DeserializeOwned>(
        &self,
        call: Call,
        about: &str,
    ) -> Result<Versioned<T>, Failure> {
        let digest = digest(&call.url, about);
        let known =
            self.unanswered.with_value(|all| all.iter().find(|(of, _)| *of == digest).map(|(_, key)| key.clone()));
        let key = known.unwrap_or_else(idempotency_key);
        let made = self.versioned(call.header("Idempotency-Key", &key)).await;
        self.unanswered.update_value(|all| {
            all.retain(|(of, _)| *of != digest);
            if matches!(made, Err(Failure::Network(_) | Failure::Timeout)) {
                all.push((digest, key));
            }
        });
        made
    }

    /// Changes parts of something.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        version: Option<&str>,
    ) -> Result<Versioned<T>, Failure> {
        self.versioned(Call::new(Method::PATCH, path).json(body)?.if_match(version)).await
    }

    /// Puts something into the place of what is there.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        version: Option<&str>,
    ) -> Result<Versioned<T>, Failure> {
        self.versioned(Call::new(Method::PUT, path).json(body)?.if_match(version)).await
    }

    /// Removes something.
    pub(crate) async fn delete(&self, path: &str, version: Option<&str>) -> Result<(), Failure> {
        self.send(Call::new(Method::DELETE, path).if_match(version)).await.map(drop)
    }
}

/// The client of whoever is signed in.
pub(crate) fn use_client() -> Client {
    use_context::<Client>().unwrap_or_else(|| Client::new(crate::session::use_session()))
}

/// Makes a call that changes something: `busy` meanwhile, `then` with what came of it, even where the page
/// was left. What `then` needs of contexts is taken before.
pub(crate) fn submit<T: 'static>(
    busy: RwSignal<bool>,
    call: impl Future<Output = Result<T, Failure>> + 'static,
    then: impl FnOnce(Result<T, Failure>) + 'static,
) {
    submit_heard(busy, call, || true, then);
}

/// As [`submit`]; where `is_heard` denies it when the answer is there, `busy` is somebody else's by then, and nobody
/// hears the answer.
pub(super) fn submit_heard<T: 'static>(
    busy: RwSignal<bool>,
    call: impl Future<Output = Result<T, Failure>> + 'static,
    is_heard: impl FnOnce() -> bool + 'static,
    then: impl FnOnce(Result<T, Failure>) + 'static,
) {
    busy.set(true);
    spawn_local(async move {
        let done = call.await;
        if is_heard() {
            busy.try_set(false);
            then(done);
        }
    });
}

/// As [`submit`], where a form shows why it failed.
pub(crate) fn submit_form<T: 'static>(
    busy: RwSignal<bool>,
    failure: RwSignal<Option<Failure>>,
    call: impl Future<Output = Result<T, Failure>> + 'static,
    then: impl FnOnce(T) + 'static,
) {
    submit(busy, call, move |done| match done {
        Ok(done) => then(done),
        Err(why) => {
            failure.try_set(Some(why));
        }
    });
}

/// Does something to what a list shows, unless somebody else has changed it since. Lists tell no versions, so it is
/// asked for once more, as `found`; `act` gets the version of what was shown.
pub(crate) async fn if_unchanged<T: PartialEq, R>(
    shown: &T,
    found: impl Future<Output = Result<Versioned<T>, Failure>>,
    act: impl AsyncFnOnce(Option<&str>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let found = found.await?;
    if found.value != *shown {
        return Err(Failure::Stale);
    }
    act(found.version.as_deref()).await
}

fn digest(path: &str, about: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (path, about).hash(&mut hasher);
    hasher.finish()
}

/// Tells creations of one user apart; it need not be hard to guess.
fn idempotency_key() -> String {
    format!("ui-{:x}-{:x}", clock::now_ms().to_bits(), js_sys::Math::random().to_bits())
}
