//! Who is asking. [`Actor`] is made here and nowhere else, and every handler that touches a tenant's data
//! takes one, so that none can do so without knowing for whom.

pub(crate) mod cookies;
pub(crate) mod links;
pub(crate) mod login;
pub(crate) mod oidc;
pub(crate) mod oidc_users;
pub(crate) mod passwords;
pub(crate) mod sessions;
pub(crate) mod signing;
pub(crate) mod throttle;
pub(crate) mod tokens;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest};
use admin_types::role::Role;
use domain::ids::TenantId;
use entities::{Id, user};
use sea_orm::EntityTrait;
use uuid::Uuid;

use crate::access::{self, Access};
use crate::error::AdminError;
use crate::outgoing::Outgoing;
use crate::repositories::{Scope, refresh_tokens, tenants};
use crate::{Control, audit, http};

/// What signing in remembers from request to request.
#[derive(Debug, Default)]
pub struct State {
    pub(crate) passwords: passwords::Passwords,
    pub(crate) keys: signing::Keys,
    pub(crate) oidc: oidc::Provider,
    pub(crate) outgoing: Outgoing,
}

/// Bytes of an access token that are looked at.
const MAX_TOKEN_BYTES: usize = 4096;

/// Who is asking, and how much they may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub user: Uuid,
    /// Their e-mail address.
    pub email: String,
    /// The personal access token they use, where it is one.
    pub token: Option<Uuid>,
    /// The sign-in they use, where it is one.
    pub session: Option<Uuid>,
    /// What they may do.
    pub role: Role,
    /// Their tenant; `None` for all.
    pub tenant: Option<TenantId>,
    /// Where the request came from.
    pub address: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

impl Actor {
    /// What they may see and change.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.tenant.map_or(Scope::All, Scope::Tenant)
    }

    /// As the audit log names them.
    #[must_use]
    pub fn by(&self) -> audit::By {
        let (kind, id) = match self.token {
            Some(token) => ("token", token),
            None => ("user", self.user),
        };
        audit::By {
            kind,
            id: Some(id.to_string()),
            name: self.email.clone(),
            address: self.address.clone(),
            request_id: self.request_id.clone(),
        }
    }

    /// The sign-in they use.
    ///
    /// # Errors
    /// 403 with a personal access token: what a person must do is not done by a program.
    pub fn signed_in(&self) -> Result<Uuid, AdminError> {
        let refused = || AdminError::Forbidden("Sign in for this; a personal access token may not.".to_owned());
        self.session.ok_or_else(refused)
    }

    /// Tells callers apart.
    #[must_use]
    pub fn subject(&self) -> String {
        self.user.to_string()
    }

    /// Whose a new object is: a tenant's people make their tenant's own, whether they name it or not; a
    /// platform administrator's object is of the tenant named, or the platform's.
    ///
    /// # Errors
    /// 422 for a tenant that is not the caller's, as for one that is not there.
    pub fn owner(&self, asked: Option<Uuid>) -> Result<Option<TenantId>, AdminError> {
        let asked = asked.map(TenantId);
        match (self.tenant, asked) {
            (None, asked) => Ok(asked),
            (Some(own), Some(other)) if own != other => Err(AdminError::field("tenant_id", "there is no such tenant")),
            (own, _) => Ok(own),
        }
    }

    /// # Errors
    /// 403 where a tenant's people would change what is the platform's and only shown to them.
    pub fn may_change(&self, owner: Option<TenantId>) -> Result<(), AdminError> {
        match (self.tenant, owner) {
            (Some(_), None) => {
                Err(AdminError::Forbidden("This is the platform's; its administrators change it.".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl FromRequest for Actor {
    type Error = AdminError;
    type Future = std::future::Ready<Result<Self, AdminError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(request.extensions().get::<Self>().cloned().ok_or(AdminError::Unauthenticated))
    }
}

/// Lets a request on its way only where the table of routes says so. Whatever is below `/api/` without a row is refused.
pub(crate) async fn authorise(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match permitted(&request).await {
        Ok(Some(actor)) => {
            request.extensions_mut().insert(actor);
        }
        Ok(None) => {}
        Err(error) => return Ok(request.error_response(error)),
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// Whoever asks, where the route wants to know.
async fn permitted(request: &ServiceRequest) -> Result<Option<Actor>, AdminError> {
    let is_api = |path: &str| path.starts_with("/api/");
    let pattern = match access::pattern(request.request()) {
        Some(pattern) if is_api(&pattern) => pattern,
        _ if is_api(access::path(request.request())) => return Err(AdminError::NotFound),
        _ => return Ok(None),
    };
    let least = match access::of(request.method().as_str(), &pattern) {
        Some(Access::Open) => return Ok(None),
        Some(Access::AtLeast(role)) => Some(role),
        None => None,
    };
    let control = request.app_data::<Data<Control>>();
    let control = control.ok_or_else(|| AdminError::internal(&"the application has no control plane"))?;
    let actor = recognise(control, request.request()).await?;
    let least = least.ok_or_else(|| AdminError::MethodNotAllowed(access::methods(&pattern).join(", ")))?;
    if actor.role < least {
        return Err(AdminError::Forbidden(format!("This takes the role {}.", least.as_str())));
    }
    Ok(Some(actor))
}

/// The caller by the token in `Authorization`.
pub(crate) async fn recognise(control: &Control, request: &HttpRequest) -> Result<Actor, AdminError> {
    let token = bearer(request).ok_or(AdminError::Unauthenticated)?;
    let claim = tokens::find(control, token).await?.ok_or(AdminError::Unauthenticated)?;
    let user = user::Entity::find_by_id(Id(claim.user)).one(&control.database).await?;
    let user = user.filter(|user| user.disabled_at.is_none()).ok_or(AdminError::Unauthenticated)?;
    if let Some((session, epoch)) = claim.session {
        let is_alive =
            epoch == user.session_epoch && refresh_tokens::is_alive(&control.database, user.id, session).await?;
        if !is_alive {
            return Err(AdminError::Unauthenticated);
        }
    }
    let own: Role = user.role.parse().map_err(|error| AdminError::internal(&error))?;
    let role = own.min(claim.role.unwrap_or(own));
    let tenant = claim.tenant.or(user.tenant_id.map(|id| TenantId(id.0)));
    // A platform administrator whose token is not for everything is bound to what it is for.
    if user.tenant_id.is_some_and(|own| Some(TenantId(own.0)) != tenant) {
        return Err(AdminError::Unauthenticated);
    }
    let tenant = if role == Role::PlatformAdmin { None } else { tenant };
    match tenant {
        Some(tenant) if !tenants::is_served(&control.database, tenant).await? => {
            return Err(AdminError::Unauthenticated);
        }
        // A tenant's role without a tenant would reach every one.
        None if role < Role::PlatformAdmin => return Err(AdminError::Unauthenticated),
        _ => {}
    }
    Ok(Actor {
        user: user.id.0,
        email: user.email,
        token: claim.token,
        session: claim.session.map(|(session, _)| session),
        role,
        tenant,
        address: http::address(request),
        request_id: http::current_request_id(),
    })
}

pub(crate) fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= MAX_TOKEN_BYTES).then_some(token)
}
