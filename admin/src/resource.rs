//! One row, as a request shows, changes or removes it. What may be done, under which version, what the audit
//! log holds of it and whether gateways hear of it is decided here, for every table alike.

use actix_web::dev::Payload;
use actix_web::http::header::ETAG;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::error::AdminError;
use crate::etag::{self, IfMatch};
use crate::extract::PathId;
use crate::idempotency::Created;
use crate::repositories::Scope;
use crate::repositories::resource::{self, Head, Resource};
use crate::{Control, publish};

/// The row that a path names, and who asks.
pub(crate) struct One {
    pub(crate) control: Data<Control>,
    pub(crate) actor: Actor,
    pub(crate) id: PathId,
    pub(crate) request: HttpRequest,
}

impl FromRequest for One {
    type Error = AdminError;
    type Future = std::future::Ready<Result<Self, AdminError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let mut read = || {
            let control = request.app_data::<Data<Control>>().cloned();
            let control = control.ok_or_else(|| AdminError::internal(&"the server was built without its control"))?;
            let actor = Actor::from_request(request, payload).into_inner()?;
            let id = PathId::from_request(request, payload).into_inner()?;
            Ok(Self { control, actor, id, request: request.clone() })
        };
        std::future::ready(read())
    }
}

impl One {
    /// Answers with the row.
    ///
    /// # Errors
    /// The database's, [`AdminError::NotFound`].
    pub(crate) async fn show<R: Resource>(&self) -> Result<HttpResponse, AdminError> {
        let db = &self.control.database;
        self.answer::<R>(db, resource::find::<R>(db, self.actor.scope(), self.id.0).await?).await
    }

    /// Changes the row in one transaction, with its audit entry, and answers with it as it is now.
    ///
    /// # Errors
    /// Those of [`Self::lock`], of `edit` and of the database; then nothing has changed.
    pub(crate) async fn change<R: Resource>(
        &self,
        action: &'static str,
        edit: impl AsyncFnOnce(&DatabaseTransaction, &mut R::Model) -> Result<(), AdminError>,
    ) -> Result<HttpResponse, AdminError> {
        let transaction = self.control.begin().await?;
        let row = self.lock::<R>(&transaction).await?;
        let row = self.write::<R>(&transaction, action, row, edit).await?;
        let answer = self.answer::<R>(&transaction, row).await?;
        self.commit::<R>(transaction).await?;
        Ok(answer)
    }

    /// Removes the row in one transaction, with its audit entry, where `check` lets it go.
    ///
    /// # Errors
    /// Those of [`Self::lock`], of `check` and of the database; then it is still there.
    pub(crate) async fn remove<R: Resource>(
        &self,
        check: impl AsyncFnOnce(&DatabaseTransaction, &R::Model) -> Result<(), AdminError>,
    ) -> Result<HttpResponse, AdminError> {
        let transaction = self.control.begin().await?;
        let row = self.lock::<R>(&transaction).await?;
        check(&transaction, &row).await?;
        self.erase::<R>(&transaction, row).await?;
        self.commit::<R>(transaction).await?;
        Ok(HttpResponse::NoContent().finish())
    }

    /// The row, which the caller may change in the version that it expects, and which nobody else changes
    /// until the transaction ends.
    ///
    /// # Errors
    /// [`AdminError::NotFound`]; 403 for a tenant's people and the platform's row, 409 for one that is declared
    /// elsewhere, [`AdminError::Stale`]; the database's.
    pub(crate) async fn lock<R: Resource>(&self, transaction: &DatabaseTransaction) -> Result<R::Model, AdminError> {
        let expected = IfMatch::of(&self.request)?;
        let row = lock_unversioned::<R>(transaction, &self.actor, self.id.0).await?;
        expected.check(R::head(&row).version)?;
        Ok(row)
    }

    /// Writes what `edit` makes of a row that is locked, with its audit entry.
    ///
    /// # Errors
    /// Those of `edit` and of the database.
    pub(crate) async fn write<R: Resource>(
        &self,
        transaction: &DatabaseTransaction,
        action: &'static str,
        mut row: R::Model,
        edit: impl AsyncFnOnce(&DatabaseTransaction, &mut R::Model) -> Result<(), AdminError>,
    ) -> Result<R::Model, AdminError> {
        let Head { id, owner, .. } = R::head(&row);
        let before = R::view(transaction, row.clone(), Scope::All).await?;
        edit(transaction, &mut row).await?;
        let row = resource::update::<R>(transaction, row, OffsetDateTime::now_utc()).await?;
        let after = R::view(transaction, row.clone(), Scope::All).await?;
        let change = Change::of(action, R::KIND, id, owner).before(&before).after(&after);
        tell::<R>(transaction, &self.actor, change).await?;
        Ok(row)
    }

    /// Removes a row that is locked, with an audit entry.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn erase<R: Resource>(
        &self,
        transaction: &DatabaseTransaction,
        row: R::Model,
    ) -> Result<(), AdminError> {
        let Head { id, owner, .. } = R::head(&row);
        let before = R::view(transaction, row, Scope::All).await?;
        resource::delete::<R>(transaction, id).await?;
        tell::<R>(transaction, &self.actor, Change::of("delete", R::KIND, id, owner).before(&before)).await
    }

    /// Lets the changes stand.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn commit<R: Resource>(&self, transaction: DatabaseTransaction) -> Result<(), AdminError> {
        if R::ANNOUNCED {
            return self.control.commit(transaction).await;
        }
        Ok(transaction.commit().await?)
    }

    /// The row as the caller is shown it, with its version.
    ///
    /// # Errors
    /// As [`Resource::view`]'s.
    pub(crate) async fn answer<R: Resource>(
        &self,
        db: &impl ConnectionTrait,
        row: R::Model,
    ) -> Result<HttpResponse, AdminError> {
        let tag = etag::tag(R::head(&row).version);
        let shown = R::view(db, row, self.actor.scope()).await?;
        Ok(HttpResponse::Ok().insert_header((ETAG, tag)).json(shown))
    }

    /// Whether the version that the caller expects is this one.
    ///
    /// # Errors
    /// [`AdminError::Stale`]; a header that cannot be read.
    pub(crate) fn expects(&self, version: i64) -> Result<(), AdminError> {
        IfMatch::of(&self.request)?.check(version)
    }
}

/// A row that the caller may change, whichever version it has. Nobody else changes it until the transaction ends.
///
/// # Errors
/// As [`One::lock`]'s.
pub(crate) async fn lock_unversioned<R: Resource>(
    transaction: &DatabaseTransaction,
    actor: &Actor,
    id: Uuid,
) -> Result<R::Model, AdminError> {
    let row = resource::lock::<R>(transaction, actor.scope(), id).await?;
    let head = R::head(&row);
    actor.may_change(head.owner)?;
    if head.is_declared {
        return Err(AdminError::managed_by_file());
    }
    Ok(row)
}

/// Writes the audit entry of a row that was made, and gives what is answered. `path` is that of its list.
///
/// # Errors
/// The database's.
pub(crate) async fn created<R: Resource>(
    transaction: &DatabaseTransaction,
    actor: &Actor,
    row: R::Model,
    path: &str,
) -> Result<Created<R::View>, AdminError> {
    let Head { id, owner, version, .. } = R::head(&row);
    let body = R::view(transaction, row, actor.scope()).await?;
    tell::<R>(transaction, actor, Change::of("create", R::KIND, id, owner).after(&body)).await?;
    Ok(Created { body, location: format!("{path}/{id}"), version: Some(version) })
}

/// Keeps a change in the audit log, and tells gateways where they go by such rows.
async fn tell<R: Resource>(transaction: &DatabaseTransaction, actor: &Actor, change: Change) -> Result<(), AdminError> {
    audit::append(transaction, &actor.by(), change).await?;
    if R::ANNOUNCED {
        publish::announce(transaction).await?;
    }
    Ok(())
}
