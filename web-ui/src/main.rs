//! Starts the dashboard in the page.

fn main() {
    web_ui::start();
}
