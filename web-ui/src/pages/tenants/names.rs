//! Names of tenants, for lists and forms of everybody who sees several.

use admin_types::tenants::{ListTenants, TenantSort};
use leptos::prelude::*;
use uuid::Uuid;

use crate::api::{tenants, use_client};
use crate::components::Choice;
use crate::session::use_session;

/// Tenants that are named; the ids of others are shown.
const MOST: u16 = 500;

/// Tenants by name; empty for those who see their own alone.
#[derive(Debug, Clone, Copy)]
pub(in crate::pages) struct TenantNames(Memo<Vec<(Uuid, String)>>);

impl TenantNames {
    /// The name, where it is known. Reactive.
    pub(in crate::pages) fn find(self, id: Uuid) -> Option<String> {
        self.0.with(|all| all.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone()))
    }

    /// The name, or the id where it is not known. Reactive.
    pub(in crate::pages) fn of(self, id: Uuid) -> String {
        self.find(id).unwrap_or_else(|| id.to_string())
    }

    /// To choose from.
    pub(in crate::pages) fn choices(self) -> Signal<Vec<Choice>> {
        Signal::derive(move || {
            self.0.with(|all| all.iter().map(|(id, name)| Choice::new(id.to_string(), name)).collect())
        })
    }
}

/// Asks for them once for a page.
pub(in crate::pages) fn use_tenant_names() -> TenantNames {
    let (client, session) = (use_client(), use_session());
    let found = LocalResource::new(move || {
        let sees_all = session.sees_all_tenants();
        async move {
            if !sees_all {
                return Vec::new();
            }
            let query = ListTenants { sort: Some(TenantSort::Name), limit: Some(MOST), ..ListTenants::default() };
            let page = tenants::list_tenants(&client, &query).await;
            // Without names there are ids.
            page.map(|page| page.data.into_iter().map(|tenant| (tenant.id, tenant.name)).collect()).unwrap_or_default()
        }
    });
    TenantNames(Memo::new(move |_| found.get().unwrap_or_default()))
}
