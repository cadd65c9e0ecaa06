//! `antiphon admin-user`: people who manage this installation, made beside a running server.

use admin::audit::By;
use admin::users::{self, MadeUser};
use admin_types::role::Role;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use gateway::repositories::tenants;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{Common, output};
use crate::first_run::refusal;
use crate::store;

/// `antiphon admin-user …`
#[derive(Debug, Subcommand)]
pub(crate) enum AdminUser {
    /// Make a user with a password that is made up and printed this once
    Create {
        /// E-mail address, by which they sign in
        #[arg(long)]
        email: String,
        /// `platform_admin`, `tenant_admin` or `tenant_viewer`
        #[arg(long)]
        role: Role,
        /// Whose they are; a platform administrator is of no tenant
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Give a user another password, made up and printed this once; their sign-ins end
    ResetPassword {
        /// E-mail address
        #[arg(long)]
        email: String,
    },
}

/// Runs the command.
pub(super) async fn run(command: AdminUser, common: &Common) -> Result<()> {
    let config = common.load(Vec::new())?;
    let db = store::open(&config.database).await?;
    let by = By::command_line();
    match command {
        AdminUser::Create { email, role, tenant } => {
            let of = match &tenant {
                Some(name) => {
                    let found = tenants::find_tenant_by_name(&db, name).await?;
                    Some(found.with_context(|| format!("there is no tenant {name:?}"))?.id)
                }
                None if role == Role::PlatformAdmin => None,
                None => bail!("--tenant says whose a {} is", role.as_str()),
            };
            let made = users::create(&db, &by, &email, role, of, None).await;
            let made = made.map_err(|error| refusal(&error))?;
            print(&made, Some((role, tenant.as_deref())), common.json)
        }
        AdminUser::ResetPassword { email } => {
            let made = users::set_password(&db, &by, &email, None).await.map_err(|error| refusal(&error))?;
            let made = made.with_context(|| format!("there is no user {email:?}"))?;
            print(&made, None, common.json)
        }
    }
}

fn print(made: &MadeUser, what: Option<(Role, Option<&str>)>, as_json: bool) -> Result<()> {
    let password = made.generated.as_ref().map(|password| password.expose_secret()).unwrap_or_default();
    if as_json {
        let mut shown = json!({ "id": made.id.to_string(), "email": made.email, "password": password });
        if let (Some((role, tenant)), Some(fields)) = (what, shown.as_object_mut()) {
            fields.insert("role".to_owned(), json!(role));
            fields.insert("tenant".to_owned(), json!(tenant));
        }
        return output::json(&shown);
    }
    output::line(&format!("user {} with a password that is shown this once:\n{password}", made.email))
}
