//! Table structs. Data only: queries live beside the code that owns the unit of work.

mod id;
pub mod model;
pub mod price;
pub mod provider;
pub mod setting;
pub mod tenant;
pub mod usage_record;
pub mod virtual_key;
pub mod voice;

pub use id::Id;
