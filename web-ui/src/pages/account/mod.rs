//! One's own account: who one is, the password, where one is signed in, and tokens for programs.

mod password;
mod sign_ins;
mod tokens;

use admin_types::role::Role;
use leptos::prelude::*;

use crate::components::{Card, Detail, Details, PageHead, Stack};
use crate::format;
use crate::session::use_session;

/// The page.
#[component]
pub(super) fn Account() -> impl IntoView {
    view! {
        <PageHead title="Your account" />
        <Stack>
            <Who />
            <password::ChangePasswordCard />
            <sign_ins::SignIns />
            <tokens::Tokens />
        </Stack>
    }
}

#[component]
fn Who() -> impl IntoView {
    let session = use_session();
    let content = move || {
        session.me().map(|me| {
            let user = me.user;
            view! {
                <Details>
                    <Detail label="Name">{user.name}</Detail>
                    <Detail label="E-mail address">{user.email}</Detail>
                    <Detail label="Role">{role_name(me.role)}</Detail>
                    <Detail label="Since">{format::date(user.created_at)}</Detail>
                </Details>
            }
        })
    };
    view! { <Card title="You">{content}</Card> }
}

/// A role for people.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::PlatformAdmin => "Platform administrator",
        Role::TenantAdmin => "Tenant administrator",
        Role::TenantViewer => "Viewer",
    }
}
