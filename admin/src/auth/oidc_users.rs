//! Who somebody is whom an identity provider vouches for: their user is made at their first sign-in, and has
//! the role that the provider's claim gives at each.

use admin_types::role::Role;
use domain::ids::TenantId;
use entities::{Id, user};
use sea_orm::DatabaseTransaction;
use time::OffsetDateTime;

use super::login;
use super::oidc::{Failure, Identity};
use super::sessions::{Origin, Tokens, may_sign_in};
use crate::Control;
use crate::audit::{self, Change};
use crate::repositories::resource::{self, owner};
use crate::repositories::{tenants, users};
use crate::settings::OidcSettings;
use crate::users as rules;

/// Signs in whom the provider vouches for.
pub(crate) async fn sign_in(
    control: &Control,
    settings: &OidcSettings,
    identity: Identity,
    origin: &Origin,
) -> Result<Tokens, Failure> {
    let transaction = control.begin().await?;
    let (role, tenant) = given(&transaction, settings, &identity.groups).await?;
    let admins = users::lock_platform_admins(&transaction).await?;
    let found = find(&transaction, &identity).await?;
    let now = OffsetDateTime::now_utc();
    let user = match found {
        Some(before) => {
            let mut row = before.clone();
            // Whoever invited this address may have set the password, and hold links and tokens.
            let is_linked_now = before.oidc_subject.is_none();
            if is_linked_now {
                row.password_hash = None;
                row.password_changed_at = None;
            }
            row.oidc_issuer = Some(identity.issuer);
            row.oidc_subject = Some(identity.subject);
            row.role = role.as_str().to_owned();
            row.tenant_id = tenant.map(|tenant| Id(tenant.0));
            if row == before {
                row
            } else {
                let stays = role == Role::PlatformAdmin;
                rules::keep_one(&admins, &before, stays)
                    .map_err(|_| Failure::NotPermitted("they are the last platform administrator"))?;
                if is_linked_now || (&row.role, row.tenant_id) != (&before.role, before.tenant_id) {
                    rules::void_given(&transaction, &mut row).await?;
                }
                let row = resource::update::<user::Entity>(&transaction, row, now).await?;
                note(&transaction, rules::updated(&before, &row)?, origin).await?;
                row
            }
        }
        None => {
            let email = identity.email.ok_or(Failure::NotPermitted("the provider tells no e-mail address"))?;
            let email = rules::checked_email(&email)
                .map_err(|_| Failure::NotPermitted("the provider's e-mail address cannot be used"))?;
            if identity.email_verified == Some(false) {
                return Err(Failure::NotPermitted("the e-mail address is not verified"));
            }
            let name =
                identity.name.map(|name| name.chars().take(200).collect()).filter(|name: &String| !name.is_empty());
            let name = name.unwrap_or_else(|| email.clone());
            let mut row = users::fresh(email, name, role, tenant.map(|tenant| tenant.0), now);
            row.oidc_issuer = Some(identity.issuer);
            row.oidc_subject = Some(identity.subject);
            let row = resource::insert(&transaction, row).await?;
            let change = Change::of("create", "user", row.id, owner(row.tenant_id)).after(&users::view(&row)?);
            note(&transaction, vec![change], origin).await?;
            row
        }
    };
    if !may_sign_in(&transaction, &user).await? {
        return Err(Failure::NotPermitted("the user or their tenant is shut out"));
    }
    Ok(login::welcome(control, transaction, user, origin).await?)
}

/// The greatest role that one of the claim's values gives.
async fn given(
    transaction: &DatabaseTransaction,
    settings: &OidcSettings,
    groups: &[String],
) -> Result<(Role, Option<TenantId>), Failure> {
    let matching = settings.roles.iter().filter(|(group, _)| groups.contains(group));
    // Of two that give the same role the first by name counts, so that it does not change by chance.
    let best = matching.map(|(_, given)| given).rev().max_by_key(|given| given.role);
    let given = best.ok_or(Failure::NotPermitted("no claim gives them a role"))?;
    let Some(name) = &given.tenant else {
        let is_platforms = given.role == Role::PlatformAdmin;
        let fault = Failure::NotPermitted("their role needs a tenant");
        return if is_platforms { Ok((given.role, None)) } else { Err(fault) };
    };
    let tenant = tenants::find_by_name(transaction, name).await?;
    let tenant = tenant.ok_or(Failure::NotPermitted("their tenant is not there"))?;
    Ok((given.role, Some(TenantId(tenant.id.0))))
}

/// Whoever signed in under this identity before, else whoever has its address, which the provider must have
/// verified then, and has no other identity.
async fn find(transaction: &DatabaseTransaction, identity: &Identity) -> Result<Option<user::Model>, Failure> {
    let known = users::find_by_subject(transaction, &identity.issuer, &identity.subject).await?;
    let found = match (known, &identity.email) {
        (Some(known), _) => Some(known),
        (None, Some(email)) => users::find_by_email(transaction, &login::normalised(email)).await?,
        (None, None) => None,
    };
    let Some(found) = found else { return Ok(None) };
    let row = users::lock(transaction, found.id).await?;
    let Some(row) = row else { return Ok(None) };
    let is_same =
        row.oidc_issuer.as_ref() == Some(&identity.issuer) && row.oidc_subject.as_ref() == Some(&identity.subject);
    if is_same {
        return Ok(Some(row));
    }
    if row.oidc_subject.is_some() {
        return Err(Failure::NotPermitted("the e-mail address is another identity's"));
    }
    if identity.email_verified != Some(true) {
        return Err(Failure::NotPermitted("there is a user of this e-mail address, which is not verified"));
    }
    Ok(Some(row))
}

async fn note(transaction: &DatabaseTransaction, changes: Vec<Change>, origin: &Origin) -> Result<(), Failure> {
    let by = audit::By { address: origin.address.clone(), ..audit::By::system("OpenID Connect") };
    Ok(audit::append_all(transaction, &by, changes).await?)
}
