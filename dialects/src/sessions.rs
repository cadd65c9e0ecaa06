//! Sessions that a vendor makes, to be joined at an address of its own: how one is asked for, where its
//! sound goes, how the vendor tells what it was billed, and how it is ended there.

use serde_json::{Map, Value};

use crate::surface::AtFault;

/// How the address of a session is asked for and told.
#[derive(Debug, Clone, Copy)]
pub struct Address {
    /// The field of the answer that holds it.
    pub field: &'static str,
    /// Says how much of the session passes through here, or refuses it, by field and sentence. It is
    /// counted by the time for which it is connected.
    pub check: fn(&Map<String, Value>) -> Result<Passage, AtFault>,
    /// How the vendor is asked about such a session, where it can be.
    pub followed: Option<&'static Followed>,
}

/// What of a session passes through here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// All of it: it ends when it is cut here.
    Whole,
    /// Not its sound. The request lets it last so many milliseconds.
    WithoutSound(u64),
}

/// How a vendor is asked about a session that it made, which its own clock bills, and told to end it.
#[derive(Debug)]
pub struct Followed {
    /// The field of the answer that names a session.
    pub id: &'static str,
    /// Path at which it is told of; `{}` stands for its name.
    pub told_at: &'static str,
    /// What is told there.
    pub read: fn(&Map<String, Value>) -> Told,
    /// Path at which it is ended.
    pub ended_at: &'static str,
    /// What is sent there.
    pub end: fn() -> Value,
    /// Makes a request one for a session whose sound goes around, for so many milliseconds at most.
    pub bind: fn(&mut Map<String, Value>, u64),
    /// It is billed in steps of so many milliseconds.
    pub step_ms: u64,
}

/// How far a session is, by its vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It has not ended.
    Runs,
    /// It has ended, and what it is billed is not settled.
    Ended,
    /// It is billed so many milliseconds.
    Billed(u64),
}
