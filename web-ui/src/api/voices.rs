//! `/api/v1/voices`: one name on every provider.

use admin_types::page::Page;
use admin_types::voices::{ListVoices, PutVoice, Voice};

use super::wire::escaped;
use super::{Client, Failure, Versioned};

const PATH: &str = "/api/v1/voices";

/// The version that a voice has before it is made.
pub(crate) const NOT_THERE: &str = "\"0\"";

pub(crate) async fn list_voices(client: &Client, query: &ListVoices) -> Result<Page<Voice>, Failure> {
    client.list(PATH, query).await
}

pub(crate) async fn get_voice(client: &Client, name: &str) -> Result<Versioned<Voice>, Failure> {
    client.get_versioned(&format!("{PATH}/{}", escaped(name))).await
}

/// Makes a voice or changes it.
pub(crate) async fn put_voice(
    client: &Client,
    name: &str,
    voice: &PutVoice,
    version: Option<&str>,
) -> Result<Versioned<Voice>, Failure> {
    client.put(&format!("{PATH}/{}", escaped(name)), voice, version).await
}

pub(crate) async fn delete_voice(client: &Client, name: &str, version: Option<&str>) -> Result<(), Failure> {
    client.delete(&format!("{PATH}/{}", escaped(name)), version).await
}
