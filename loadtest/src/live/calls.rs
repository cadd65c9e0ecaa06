//! Ultravox's calls as its REST part knows them: made, joined, ended, billed. Each is joined once.
//!
//! A call whose sound goes over a socket ends with that socket. One in a room goes on without its join socket,
//! until somebody hangs up or its time is over: who is in the room is not seen from here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};

use super::lock;

/// What is billed is a multiple of this.
const STEP_S: u64 = 6;
/// Where rooms are that nobody has set up.
const NOWHERE: &str = "wss://room.invalid";

/// How the sound of a call travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    /// On the join socket, at this rate.
    Socket(u32),
    /// In a room that the join socket names.
    Room,
}

#[derive(Debug)]
struct Call {
    medium: Medium,
    lasts: Duration,
    joined: Option<Instant>,
    ended: Option<(Instant, &'static str)>,
    /// Told when somebody hangs up over REST.
    over: Arc<Notify>,
    /// How often it was asked for after its end.
    asked: u32,
}

impl Call {
    fn is_active(&self) -> bool {
        self.joined.is_some() && self.ended.is_none()
    }

    fn end(&mut self, at: Instant, reason: &'static str) {
        self.ended.get_or_insert((at, reason));
    }

    /// Milliseconds that are billed, once that is settled: not yet when somebody asks for the first time after
    /// the end.
    fn settled(&mut self) -> Option<u64> {
        let (joined, (ended, _)) = (self.joined?, self.ended?);
        self.asked += 1;
        let ms = u64::try_from(ended.duration_since(joined).as_millis()).unwrap_or(u64::MAX);
        (self.asked > 1).then_some(ms.max(1))
    }

    /// A call ends by itself when its time is over.
    fn tick(&mut self) {
        let end = self.joined.map(|joined| joined + self.lasts);
        if let Some(end) = end.filter(|end| *end <= Instant::now()) {
            self.end(end, "timeout");
        }
    }
}

/// A place in a call, which is held while the join socket is open.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) medium: Medium,
    /// Address and token of the room.
    pub(super) room: (String, String),
    pub(super) over: Arc<Notify>,
    id: String,
    calls: Arc<Calls>,
}

impl Drop for Joined {
    fn drop(&mut self) {
        if let (Medium::Socket(_), Some(call)) = (self.medium, lock(&self.calls.made).get_mut(&self.id)) {
            call.end(Instant::now(), "hangup");
        }
    }
}

/// All calls of a vendor.
#[derive(Debug, Default)]
pub(super) struct Calls {
    made: Mutex<BTreeMap<String, Call>>,
    room: Mutex<Option<(String, String)>>,
}

impl Calls {
    /// Calls in rooms are led to this address with this token.
    pub(super) fn lead_to(&self, url: &str, token: &str) {
        *lock(&self.room) = Some((url.to_owned(), token.to_owned()));
    }

    /// A call was made.
    pub(super) fn expect(&self, id: String, medium: Medium, lasts: Duration) {
        let call = Call { medium, lasts, joined: None, ended: None, over: Arc::default(), asked: 0 };
        lock(&self.made).insert(id, call);
    }

    /// Somebody joins a call, the first and only time.
    pub(super) fn join(self: &Arc<Self>, id: &str) -> Option<Joined> {
        let mut made = lock(&self.made);
        let call = made.get_mut(id).filter(|call| call.joined.is_none())?;
        call.joined = Some(Instant::now());
        let room = lock(&self.room).clone().unwrap_or_else(|| (NOWHERE.to_owned(), format!("token-of-{id}")));
        let (medium, over) = (call.medium, Arc::clone(&call.over));
        Some(Joined { medium, room, over, id: id.to_owned(), calls: Arc::clone(self) })
    }

    /// Somebody hangs up over REST; `None` where there is no such call, `false` where it is not active.
    pub(super) fn hang_up(&self, id: &str) -> Option<bool> {
        let mut made = lock(&self.made);
        let call = made.get_mut(id)?;
        call.tick();
        let active = call.is_active();
        if active {
            call.end(Instant::now(), "agent_hangup");
            call.over.notify_one();
        }
        Some(active)
    }

    /// Whether a call is active.
    pub(super) fn is_active(&self, id: &str) -> Option<bool> {
        lock(&self.made).get_mut(id).map(|call| {
            call.tick();
            call.is_active()
        })
    }

    /// What is told of a call.
    pub(super) fn tell(&self, id: &str) -> Option<Value> {
        let mut made = lock(&self.made);
        let call = made.get_mut(id)?;
        call.tick();
        let stamp = |at: Option<Instant>| at.map(|_| "2026-11-21T00:00:00Z");
        let billed_s = call.settled().map(|ms| ms.div_ceil(1000 * STEP_S) * STEP_S);
        Some(json!({
            "callId": id, "created": "2026-11-21T00:00:00Z", "joined": stamp(call.joined),
            "ended": stamp(call.ended.map(|(at, _)| at)), "endReason": call.ended.map(|(_, reason)| reason),
            "billedDuration": billed_s.map(|seconds| format!("{seconds}s")),
            "billingStatus": if billed_s.is_some() { "BILLING_STATUS_BILLED" } else { "BILLING_STATUS_PENDING" },
        }))
    }
}
