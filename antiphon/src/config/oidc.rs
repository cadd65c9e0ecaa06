//! `oidc`: the identity provider that people of the admin plane may sign in with.

use std::collections::BTreeMap;

use admin::settings::{OidcRole, OidcSettings};
use admin_types::role::Role;
use secrecy::SecretString;
use serde::Deserialize;

/// One identity provider that speaks OpenID Connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcConfig {
    /// Its issuer, such as `https://login.example.com/`; below it lies `.well-known/openid-configuration`.
    pub(crate) issuer: String,
    /// What it knows this installation by.
    pub(crate) client_id: String,
    /// With which secret. Default: none, for a public client.
    #[serde(default)]
    pub(crate) client_secret: Option<SecretString>,
    /// What is asked for beside `openid`. Default: `email`, `profile`.
    #[serde(default = "default_scopes")]
    pub(crate) scopes: Vec<String>,
    /// The claim whose values give roles: one text or a list of them. Default: `groups`.
    #[serde(default = "default_claim")]
    pub(crate) role_claim: String,
    /// What its values give. Whoever has none of them is refused.
    #[serde(default)]
    pub(crate) roles: BTreeMap<String, OidcRoleConfig>,
    /// Permits plain HTTP and private addresses. Default: false.
    #[serde(default)]
    pub(crate) allow_insecure: bool,
}

/// What a claim's value gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcRoleConfig {
    /// `platform_admin`, `tenant_admin` or `tenant_viewer`.
    pub(crate) role: Role,
    /// The name of their tenant; platform administrators have none.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
}

fn default_scopes() -> Vec<String> {
    vec!["email".to_owned(), "profile".to_owned()]
}

fn default_claim() -> String {
    "groups".to_owned()
}

impl OidcConfig {
    /// What is wrong with it, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_permitted = |scheme: &str| self.issuer.len() > scheme.len() && self.issuer.starts_with(scheme);
        if !(is_permitted("https://") || self.allow_insecure && is_permitted("http://")) {
            return Err("oidc.issuer must start with https:// (allow_insecure permits http)".to_owned());
        }
        for (value, given) in &self.roles {
            if (given.role == Role::PlatformAdmin) == given.tenant.is_some() {
                let role = given.role.as_str();
                let needs = if given.tenant.is_some() { "takes no tenant" } else { "needs a tenant" };
                return Err(format!("oidc.roles: {value:?}: {role} {needs}"));
            }
        }
        Ok(())
    }

    /// For the control plane.
    pub(crate) fn to_admin(&self) -> OidcSettings {
        let given = |role: &OidcRoleConfig| OidcRole { role: role.role, tenant: role.tenant.clone() };
        OidcSettings {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            scopes: self.scopes.clone(),
            role_claim: self.role_claim.clone(),
            roles: self.roles.iter().map(|(value, role)| (value.clone(), given(role))).collect(),
            allow_insecure: self.allow_insecure,
        }
    }
}
