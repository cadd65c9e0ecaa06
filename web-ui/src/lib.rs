//! The dashboard.

/// Puts the application into the page.
pub fn start() {
    leptos::mount::mount_to_body(|| ());
}
