//! The scripts, each known to Redis by its digest.

use std::sync::LazyLock;

/// One script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) lua: &'static str,
    pub(crate) digest: String,
}

impl Script {
    fn new(lua: &'static str) -> Self {
        Self { lua, digest: fred::util::sha1_hash(lua) }
    }
}

/// Declares scripts that begin with a common opening.
macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $opening:literal + $file:literal;)+) => {$(
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(include_str!($opening), "\n", include_str!($file)))
        });
    )+};
}

scripts! {
    /// Admits a call.
    ADMIT = "scripts/account.lua" + "scripts/admit.lua";
    /// Holds more for an open call.
    RESERVE = "scripts/account.lua" + "scripts/reserve.lua";
    /// Counts records.
    RECORD = "scripts/account.lua" + "scripts/record.lua";
    /// Sets what the database has.
    SET_PAST = "scripts/account.lua" + "scripts/set_past.lua";
    /// Keeps leases.
    RENEW = "scripts/account.lua" + "scripts/renew.lua";
    /// Shows a key's sums.
    READ = "scripts/account.lua" + "scripts/read.lua";
    /// Notes live sessions.
    LIVE_BEAT = "scripts/live.lua" + "scripts/live_beat.lua";
    /// Forgets sessions.
    LIVE_END = "scripts/live.lua" + "scripts/live_end.lua";
    /// Lists sessions.
    LIVE_LIST = "scripts/live.lua" + "scripts/live_list.lua";
    /// Asks for a session's end.
    LIVE_TERMINATE = "scripts/live.lua" + "scripts/live_terminate.lua";
}

/// Says that a gateway lives.
pub(crate) static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/beat.lua")));
