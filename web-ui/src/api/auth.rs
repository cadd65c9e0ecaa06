//! `/api/v1/auth`: signing in and out, and one's own account.

use admin_types::auth::{AcceptLink, AccessToken, ChangePassword, ListSignIns, Login, Me, SignIn};
use admin_types::page::Page;
use uuid::Uuid;

use super::{Client, Failure, OpenClient};
use crate::api::request::Call;

/// Tells the server that a page of ours asks, for a page of another site cannot send it.
const CONFIRMATION: &str = "X-Antiphon-Refresh";

/// Where the browser goes to sign in with an identity provider.
pub(crate) const OIDC_START: &str = "/api/v1/auth/oidc/start";

/// Signs in; the refresh token comes in a cookie that no script reads.
pub(crate) async fn sign_in(client: OpenClient, login: &Login) -> Result<AccessToken, Failure> {
    client.json(Call::post("/api/v1/auth/login").json(login)?).await
}

/// The next access token, by the cookie.
pub(crate) async fn refresh(client: OpenClient) -> Result<AccessToken, Failure> {
    client.json(Call::post("/api/v1/auth/refresh").header(CONFIRMATION, "1")).await
}

/// Who the token is of.
pub(crate) async fn me(token: &str) -> Result<Me, Failure> {
    Call::get("/api/v1/auth/me").send(Some(token)).await?.accepted().await?.json().await
}

/// Signs out.
pub(crate) async fn sign_out(token: Option<&str>) -> Result<(), Failure> {
    let call = Call::post("/api/v1/auth/logout").header(CONFIRMATION, "1");
    call.send(token).await?.accepted().await.map(drop)
}

/// Sets a password by a one-time link.
pub(crate) async fn accept_link(client: OpenClient, accept: &AcceptLink) -> Result<(), Failure> {
    client.send(Call::post("/api/v1/auth/accept").json(accept)?).await.map(drop)
}

/// Changes one's password; the answer takes the place of the access token.
pub(crate) async fn change_password(client: &Client, change: &ChangePassword) -> Result<AccessToken, Failure> {
    client.post("/api/v1/auth/password", change).await
}

/// Where one is signed in.
pub(crate) async fn list_sign_ins(client: &Client, query: &ListSignIns) -> Result<Page<SignIn>, Failure> {
    client.list("/api/v1/auth/sessions", query).await
}

/// Ends one of one's sign-ins.
pub(crate) async fn end_sign_in(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&format!("/api/v1/auth/sessions/{id}"), None).await
}
