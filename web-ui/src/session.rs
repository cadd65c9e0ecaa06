//! Who is signed in.
//!
//! The access token lives in memory alone, where nothing that the page leaves behind holds it; the refresh token
//! is in a cookie that no script reads. When a sign-in ends in mid-work, the page stays as it is, a dialog asks to
//! sign in again, and the calls that waited are then made.

use admin_types::auth::{AccessToken, Login, Me};
use admin_types::instance::Instance;
use admin_types::role::Role;
use leptos::prelude::*;
use leptos::task::spawn_local;
use uuid::Uuid;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::api::{Failure, OpenClient, auth, instance};
use crate::clock;
use crate::tabs;

/// A token is replaced so long before its end.
const BEFORE_END_MS: f64 = 60_000.0;
/// Where a browser that may be signed in says so: without it nobody is asked at the start.
const HINT: &str = "antiphon.signed-in";
/// The tenant that a platform administrator looks at.
const TENANT: &str = "antiphon.tenant";
/// Where one wanted to go before going to an identity provider.
const WANTED: &str = "antiphon.wanted";

/// Whether somebody is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It is not known yet.
    Starting,
    /// The server cannot be asked.
    Unreachable(Failure),
    /// Nobody.
    Out,
    /// Somebody.
    In(Box<Me>),
}

/// Why the dialog asks to sign in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The sign-in has expired, or somebody has ended it.
    Here,
    /// One has signed out in another tab.
    InAnotherTab,
}

/// What somebody may do. Who may do which is decided by the server; this only hides what would be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Makes, changes and removes keys.
    ManageKeys,
    /// Makes, changes and removes models.
    ManageModels,
    /// Makes, changes, tests and removes providers and their credentials.
    ManageProviders,
    /// Makes, changes and removes names of voices.
    ManageVoices,
    /// Ends sessions.
    EndSessions,
    /// Makes, changes, imports and removes prices, and prices records again.
    ManagePrices,
    /// Holds invoices against what was recorded.
    CompareInvoices,
    /// Makes, changes and removes rules and channels, and takes note of alerts.
    ManageAlerts,
    /// Reads the audit log.
    SeeAudit,
    /// Sees, invites, changes and removes users.
    ManageUsers,
    /// Makes, changes, suspends and removes tenants, and looks at each of them.
    ManageTenants,
}

impl Permission {
    /// The least role that may.
    pub(crate) const fn least(self) -> Role {
        match self {
            Self::ManageTenants | Self::ManageVoices | Self::ManagePrices => Role::PlatformAdmin,
            _ => Role::TenantAdmin,
        }
    }
}

#[derive(Clone)]
struct Token {
    text: String,
    ends_at_ms: f64,
}

/// What came of asking for the next access token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Renewal {
    Renewed,
    Refused,
    Failed(Failure),
}

/// What pages go by. It stays equal where somebody signs in again, so that nothing is made anew then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rights {
    role: Role,
    tenant: Option<Uuid>,
}

/// The sign-in of this page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    state: RwSignal<State>,
    rights: Memo<Option<Rights>>,
    ended: RwSignal<Option<Ended>>,
    has_expired: RwSignal<bool>,
    tenant: RwSignal<Option<Uuid>>,
    instance: RwSignal<Option<Instance>>,
    token: StoredValue<Option<Token>>,
    /// The one refresh that is under way.
    renewing: StoredValue<Option<js_sys::Promise>, LocalStorage>,
    renewal: StoredValue<Renewal>,
    /// Calls that wait for somebody to sign in.
    waiting: StoredValue<Vec<js_sys::Function>, LocalStorage>,
}

impl Session {
    /// Nobody's yet; `start` finds out.
    pub(crate) fn new() -> Self {
        let state = RwSignal::new(State::Starting);
        let rights = move |_: Option<&Option<Rights>>| {
            state.with(|state| match state {
                State::In(me) => Some(Rights { role: me.role, tenant: me.tenant_id }),
                _ => None,
            })
        };
        Self {
            state,
            rights: Memo::new(rights),
            ended: RwSignal::new(None),
            has_expired: RwSignal::new(false),
            tenant: RwSignal::new(tabs::remembered_here(TENANT).and_then(|id| id.parse().ok())),
            instance: RwSignal::new(None),
            token: StoredValue::new(None),
            renewing: StoredValue::new_local(None),
            renewal: StoredValue::new(Renewal::Refused),
            waiting: StoredValue::new_local(Vec::new()),
        }
    }

    /// Finds out whether somebody is signed in, and listens to other tabs.
    pub(crate) fn start(self) {
        tabs::listen(move |word| match word {
            tabs::Word::SignedIn => self.signed_in_elsewhere(),
            tabs::Word::SignedOut => self.signed_out_elsewhere(),
        });
        spawn_local(async move {
            if let Ok(found) = instance::get_instance(OpenClient).await {
                self.instance.set(Some(found));
            }
        });
        self.look();
    }

    /// Finds out whether somebody is signed in.
    pub(crate) fn look(self) {
        if !tabs::may_be_remembered(HINT) {
            self.state.set(State::Out);
            return;
        }
        self.state.set(State::Starting);
        spawn_local(async move {
            match self.renew().await {
                Renewal::Renewed => {
                    self.state.set(self.found().await.unwrap_or_else(State::Unreachable));
                    // An identity provider may have sent the browser here, and another tab may wait for that.
                    tabs::tell(tabs::Word::SignedIn);
                }
                Renewal::Refused => {
                    self.has_expired.set(true);
                    self.state.set(State::Out);
                }
                Renewal::Failed(failure) => self.state.set(State::Unreachable(failure)),
            }
        });
    }

    /// Whether somebody is signed in. Reactive.
    pub(crate) fn state(self) -> State {
        self.state.get()
    }

    /// Who is signed in. Reactive, also to things such as when they last signed in: a form that must not be made anew
    /// goes by what it takes of it through a memo.
    pub(crate) fn me(self) -> Option<Me> {
        self.state.with(|state| match state {
            State::In(me) => Some((**me).clone()),
            _ => None,
        })
    }

    /// What the installation tells everybody; `None` until it has. Reactive.
    pub(crate) fn instance(self) -> Option<Instance> {
        self.instance.get()
    }

    /// Whether whoever is signed in may do this. Reactive.
    pub(crate) fn can(self, permission: Permission) -> bool {
        self.rights.get().is_some_and(|rights| rights.role >= permission.least())
    }

    /// Whether they may change what is this owner's; `None` is the platform. Reactive.
    pub(crate) fn can_change(self, permission: Permission, owner: Option<Uuid>) -> bool {
        let is_theirs = self.rights.get().is_some_and(|rights| rights.tenant.is_none() || rights.tenant == owner);
        is_theirs && self.can(permission)
    }

    /// Whether they see every tenant. Reactive.
    pub(crate) fn sees_all_tenants(self) -> bool {
        self.rights.get().is_some_and(|rights| rights.tenant.is_none())
    }

    /// The tenant that lists are narrowed to: what a platform administrator chose. For others it is `None`, since
    /// the server shows them their own alone. Reactive.
    pub(crate) fn tenant(self) -> Option<Uuid> {
        if self.sees_all_tenants() { self.tenant.get() } else { None }
    }

    /// As [`Self::tenant`], where nothing follows it.
    pub(crate) fn tenant_untracked(self) -> Option<Uuid> {
        untrack(|| self.tenant())
    }

    /// As [`Self::can`], where nothing follows it.
    pub(crate) fn can_untracked(self, permission: Permission) -> bool {
        untrack(|| self.can(permission))
    }

    /// Whether this browser was signed in until a while ago. Reactive.
    pub(crate) fn has_expired(self) -> bool {
        self.has_expired.get()
    }

    /// Narrows lists to a tenant, in this tab.
    pub(crate) fn choose_tenant(self, tenant: Option<Uuid>) {
        tabs::remember_here(TENANT, tenant.map(|id| id.to_string()).as_deref());
        self.tenant.set(tenant);
    }

    /// Why somebody is asked to sign in again, while they are. Reactive.
    pub(crate) fn ended(self) -> Option<Ended> {
        self.ended.get()
    }

    /// Signs in with a password.
    pub(crate) async fn sign_in(self, login: &Login) -> Result<(), Failure> {
        let token = auth::sign_in(OpenClient, login).await?;
        self.adopt(token);
        self.enter().await?;
        tabs::tell(tabs::Word::SignedIn);
        Ok(())
    }

    /// Remembers that one goes to an identity provider, and where one wanted to go if it is from this tab.
    pub(crate) fn leave_for_provider(self, wanted: Option<&str>) {
        tabs::remember(HINT, Some("1"));
        if wanted.is_some() {
            tabs::remember_here(WANTED, wanted);
        }
    }

    /// Where one wanted to go before going to an identity provider. It is forgotten by being asked for.
    pub(crate) fn wanted(self) -> Option<String> {
        let wanted = tabs::remembered_here(WANTED);
        tabs::remember_here(WANTED, None);
        wanted
    }

    /// Signs out, here and in other tabs.
    pub(crate) async fn sign_out(self) -> Result<(), Failure> {
        let token = self.token.with_value(|token| token.as_ref().map(|token| token.text.clone()));
        auth::sign_out(token.as_deref()).await?;
        tabs::tell(tabs::Word::SignedOut);
        self.leave();
        Ok(())
    }

    /// Takes a token that was just given.
    pub(crate) fn adopt(self, token: AccessToken) {
        #[expect(clippy::cast_precision_loss, reason = "seconds of minutes")]
        let lifetime_ms = token.expires_in as f64 * 1000.0;
        let ends_at_ms = clock::now_ms() + lifetime_ms;
        self.token.set_value(Some(Token { text: token.access_token, ends_at_ms }));
        tabs::remember(HINT, Some("1"));
        self.renew_in(lifetime_ms - BEFORE_END_MS, ends_at_ms);
    }

    /// The token of a call. Where it has expired it is renewed, and where that is refused somebody is asked to
    /// sign in; the call waits meanwhile.
    ///
    /// # Errors
    /// Nobody has signed in again; the server is away.
    pub(crate) async fn token(self) -> Result<String, Failure> {
        loop {
            if let Some(token) = self.fresh_token() {
                return Ok(token);
            }
            if self.state.with_untracked(|state| *state == State::Out) {
                return Err(Failure::SignedOut);
            }
            match self.renew().await {
                Renewal::Renewed => {}
                Renewal::Failed(failure) => return Err(failure),
                Renewal::Refused => {
                    if !self.signed_in_again(Ended::Here).await {
                        return Err(Failure::SignedOut);
                    }
                }
            }
        }
    }

    /// A token that the server refuses is asked for again.
    pub(crate) fn forget_token(self, refused: &str) {
        self.token.update_value(|token| {
            if token.as_ref().is_some_and(|token| token.text == refused) {
                *token = None;
            }
        });
    }

    fn fresh_token(self) -> Option<String> {
        let is_fresh = |token: &&Token| token.ends_at_ms - clock::now_ms() > 5_000.0;
        self.token.with_value(|token| token.as_ref().filter(is_fresh).map(|token| token.text.clone()))
    }

    /// Who the token is of, as a state.
    async fn found(self) -> Result<State, Failure> {
        let token = self.fresh_token().ok_or(Failure::SignedOut)?;
        Ok(State::In(Box::new(auth::me(&token).await?)))
    }

    /// Goes on as whoever the token is of.
    async fn enter(self) -> Result<(), Failure> {
        let found = self.found().await?;
        let before = self.state.with_untracked(|state| match state {
            State::In(me) => Some(me.user.id),
            _ => None,
        });
        if let State::In(me) = &found
            && before.is_some_and(|before| before != me.user.id)
        {
            // What the page shows is somebody else's.
            drop(window().location().reload());
            return Ok(());
        }
        if self.state.with_untracked(|state| *state != found) {
            self.state.set(found);
        }
        self.release(true);
        Ok(())
    }

    /// Nobody is signed in any more.
    fn leave(self) {
        self.token.set_value(None);
        self.has_expired.set(false);
        tabs::remember(HINT, None);
        self.choose_tenant(None);
        self.state.set(State::Out);
        self.release(false);
    }

    /// Lets the calls go on that wait, or fail.
    fn release(self, is_in: bool) {
        self.ended.set(None);
        for resolve in self.waiting.try_update_value(std::mem::take).unwrap_or_default() {
            drop(resolve.call1(&JsValue::NULL, &JsValue::from_bool(is_in)));
        }
    }

    /// Waits until somebody has signed in; `false` when they would not.
    async fn signed_in_again(self, why: Ended) -> bool {
        if self.ended.with_untracked(Option::is_none) {
            self.ended.set(Some(why));
        }
        let signed_in = js_sys::Promise::new(&mut |resolve, _| {
            self.waiting.update_value(|waiting| waiting.push(resolve));
        });
        JsFuture::from(signed_in).await.is_ok_and(|is_in| is_in.as_bool() == Some(true))
    }

    /// Renews the token a while before its end, so that no call has to wait for it.
    fn renew_in(self, ms: f64, ends_at_ms: f64) {
        let wait = std::time::Duration::from_secs_f64((ms / 1000.0).max(1.0));
        set_timeout(
            move || {
                let is_latest = self.token.with_value(|token| {
                    token.as_ref().is_some_and(|token| token.ends_at_ms.to_bits() == ends_at_ms.to_bits())
                });
                if !is_latest {
                    return;
                }
                spawn_local(async move {
                    if self.renew().await == Renewal::Refused {
                        self.signed_in_again(Ended::Here).await;
                    }
                });
            },
            wait,
        );
    }

    /// Asks for the next access token, once at a time: whoever comes meanwhile waits for the same answer, and
    /// other tabs for their turn, since a refresh token works once but for a few moments.
    async fn renew(self) -> Renewal {
        let under_way = self.renewing.with_value(Clone::clone);
        let renewing = under_way.unwrap_or_else(|| {
            let promise = future_to_promise(async move {
                let turn = tabs::turn().await;
                let renewal = renewed(self).await;
                drop(turn);
                self.renewal.set_value(renewal);
                self.renewing.set_value(None);
                Ok(JsValue::UNDEFINED)
            });
            self.renewing.set_value(Some(promise.clone()));
            promise
        });
        drop(JsFuture::from(renewing).await);
        self.renewal.get_value()
    }

    fn signed_in_elsewhere(self) {
        let is_asked = self.ended.with_untracked(Option::is_some);
        let is_out = self.state.with_untracked(|state| *state == State::Out);
        if is_asked || is_out {
            spawn_local(async move {
                if self.renew().await == Renewal::Renewed {
                    drop(self.enter().await);
                }
            });
        }
    }

    fn signed_out_elsewhere(self) {
        self.token.set_value(None);
        if self.state.with_untracked(|state| matches!(state, State::In(_))) {
            spawn_local(async move {
                self.signed_in_again(Ended::InAnotherTab).await;
            });
        }
    }
}

/// Asks the server for the next access token.
async fn renewed(session: Session) -> Renewal {
    let mut tries = 0;
    loop {
        match auth::refresh(OpenClient).await {
            Ok(token) => {
                session.adopt(token);
                return Renewal::Renewed;
            }
            // Many requests of this browser cross; the cookie of one of them is ours by the next time.
            Err(failure) if failure.status() == Some(409) && tries < 5 => {
                tries += 1;
                clock::sleep_ms(200 * tries).await;
            }
            Err(failure) if matches!(failure.status(), Some(401 | 403)) => {
                tabs::remember(HINT, None);
                return Renewal::Refused;
            }
            Err(failure) => return Renewal::Failed(failure),
        }
    }
}

/// The sign-in of this page.
pub(crate) fn use_session() -> Session {
    use_context::<Session>().unwrap_or_else(Session::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_those_of_the_servers_table() {
        assert_eq!(Permission::ManageKeys.least(), Role::TenantAdmin);
        assert_eq!(Permission::ManageTenants.least(), Role::PlatformAdmin);
        assert_eq!(Permission::ManagePrices.least(), Role::PlatformAdmin);
    }
}
