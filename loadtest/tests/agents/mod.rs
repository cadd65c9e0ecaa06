//! The scripted agents held to what the gateway's translators understand: each side checks the other.

mod eleven;
