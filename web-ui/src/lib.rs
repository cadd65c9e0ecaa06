//! The dashboard: what people see of Antiphon, as an application in their browser.
//!
//! `api` asks the servers, `session` knows who is signed in, `route` knows the pages and their addresses, `shell` is
//! what stands around every page, `pages` are the pages, and they are made of `components` and `chart`s. Numbers,
//! money and times are written by `format` alone.

#![expect(unreachable_pub, reason = "`#[component]` makes a public type of the properties of a private component")]

mod api;
mod chart;
mod clock;
mod components;
mod format;
mod pages;
mod route;
mod session;
mod shell;
mod tabs;

/// Puts the application into the page.
pub fn start() {
    leptos::mount::mount_to_body(shell::App);
}
