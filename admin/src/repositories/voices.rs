//! Voices: one name on every provider.

use std::collections::BTreeMap;

use admin_types::page::Page;
use admin_types::voices::{ListVoices, Voice};
use entities::voice;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, Condition, ConnectionTrait, EntityTrait, QueryFilter};

use super::contains;
use super::resource::locked;
use crate::error::AdminError;
use crate::paging::Position;

/// A row as it is shown.
///
/// # Errors
/// The row holds what no version of this program writes there.
pub(crate) fn view(row: voice::Model) -> Result<Voice, AdminError> {
    let map = serde_json::from_str(&row.map).map_err(|error| AdminError::internal(&error))?;
    Ok(Voice { name: row.name, map, managed_by: row.managed_by })
}

/// One page of the voices.
///
/// # Errors
/// The database's; a limit or cursor that cannot be.
pub(crate) async fn list(db: &impl ConnectionTrait, list: &ListVoices) -> Result<Page<Voice>, AdminError> {
    let sort = list.sort.unwrap_or_default().as_str();
    let position = Position::new(list.limit, list.cursor.as_deref(), sort, None)?;
    let asked = Condition::all().add_option(list.q.as_deref().map(|text| contains(voice::Column::Name, text)));
    position.page(db, voice::Entity::find().filter(asked), voice::Column::Name).await?.try_map(view)
}

/// One voice; `None` where there is none of the name. Locked until the transaction ends, where it is for a
/// change.
///
/// # Errors
/// The database's.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    name: &str,
    for_change: bool,
) -> Result<Option<voice::Model>, AdminError> {
    let find = voice::Entity::find_by_id(name);
    let find = if for_change { locked(db, find) } else { find };
    Ok(find.one(db).await?)
}

/// Makes a voice, or says anew what it means.
///
/// # Errors
/// The database's; another made it at this moment.
pub(crate) async fn put(
    db: &impl ConnectionTrait,
    found: Option<voice::Model>,
    name: &str,
    map: &BTreeMap<String, String>,
) -> Result<voice::Model, AdminError> {
    let map = serde_json::to_string(map).map_err(|error| AdminError::internal(&error))?;
    let row = voice::ActiveModel {
        name: Set(name.to_owned()),
        map: Set(map),
        managed_by: Set("api".to_owned()),
        version: Set(found.as_ref().map_or(1, |found| found.version + 1)),
    };
    Ok(if found.is_some() { row.reset_all().update(db).await? } else { row.insert(db).await? })
}

/// Removes a voice.
///
/// # Errors
/// The database's.
pub(crate) async fn delete(db: &impl ConnectionTrait, name: &str) -> Result<(), AdminError> {
    voice::Entity::delete_by_id(name).exec(db).await?;
    Ok(())
}
