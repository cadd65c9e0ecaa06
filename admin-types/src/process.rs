//! The process that answers: what it logs, and what it does with its time.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::words::words;

/// Longest text of levels, in bytes.
pub const MAX_LEVELS_BYTES: usize = 1000;
/// Longest time that levels hold before those that are configured return, in seconds: a day.
pub const MAX_LEVELS_SECONDS: u32 = 86_400;
/// Longest profile, in seconds.
pub const MAX_PROFILE_SECONDS: u16 = 30;
/// Most samples of a second of processor time.
pub const MAX_PROFILE_HERTZ: u16 = 250;

/// What a process logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLevel {
    /// The levels in force: `info`, or `warn,gateway=debug` by module.
    pub levels: String,
    /// Those of its configuration.
    pub configured: String,
    /// When those return; null where they are in force, and where others stay until they are changed.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
    /// The process that this holds for, by the name of its machine or pod. Others have levels of their own.
    pub instance: String,
    /// Whether a gateway runs in it, which logs by the same levels.
    pub gateway: bool,
}

/// Other levels for the process that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLogLevel {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or such levels by module: `info,gateway=debug`. Only modules
    /// of this program may log at `trace`.
    #[schema(min_length = 1, max_length = 1000)]
    pub levels: String,
    /// After how many seconds the configured levels return; they do not before the process starts again or
    /// loads its configuration, where nothing is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86400)]
    pub for_seconds: Option<u32>,
}

words! {
    /// How a profile is told.
    ProfileFormat {
        /// A flame graph.
        Svg = "svg",
        /// Stacks on lines of their own, each with how often it was seen.
        Folded = "folded",
    }
}

/// What a profile shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AskProfile {
    /// For how long the process is watched; 2 unless told.
    #[param(minimum = 1, maximum = 30)]
    pub seconds: Option<u16>,
    /// Samples of each second of processor time; 99 unless told.
    #[param(minimum = 1, maximum = 250)]
    pub hertz: Option<u16>,
    /// `svg` unless told.
    #[param(inline)]
    pub format: Option<ProfileFormat>,
}
