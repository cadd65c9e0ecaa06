//! Numbers, money, lengths and times as people read them: the only place where the dashboard formats any.

mod money;
mod number;
mod time;

pub(crate) use self::time::{
    ago, date, date_time, date_time_exact, day_month, from_input, offset_at, time_of_day, to_input, until,
};
pub(crate) use money::{cost, money, money_compact, money_exact, nano, usd_text};
pub(crate) use number::{audio_ms, bytes, compact, count, delta, duration_ms, fraction, percent};
