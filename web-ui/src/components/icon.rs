//! Icons: lines on a grid of 24, in the colour of the text around them. Each is drawn for this dashboard: straight
//! lines, boxes with sharp corners, and arcs.

use leptos::prelude::*;

macro_rules! icons {
    ($($name:ident $path:literal),+ $(,)?) => {
        /// Which icon.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum IconName {
            $($name),+
        }

        impl IconName {
            const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path),+
                }
            }
        }
    };
}

icons! {
    Overview "M4 4h6.5v6.5H4zM20 7.25a3.25 3.25 0 1 1-6.5 0 3.25 3.25 0 0 1 6.5 0zM4 14.5h16V20H4z",
    Key "M11.5 12a4.25 4.25 0 1 1-8.5 0 4.25 4.25 0 0 1 8.5 0zM11.5 12H21v4M16.5 12v3",
    Provider "M5 3h14v18H5zM5 9h14M5 15h14M8.5 6h.01M8.5 12h.01M8.5 18h.01",
    Model "M8.5 12a2.75 2.75 0 1 1-5.5 0 2.75 2.75 0 0 1 5.5 0zM8.5 12h4M15.5 6.5h-3v11h3M15.5 4h5v5h-5z\
        M15.5 15h5v5h-5z",
    Price "M3 12l5.5-6.5H21v13H8.5zM8.5 12h.01M13 10h4.5M13 14h4.5",
    Usage "M3 20.5h18M4.5 20.5v-6h3.5v6M10.25 20.5V9h3.5v11.5M16 20.5v-17h3.5v17",
    Session "M3.5 4h17v12.5H12L7.5 20.5v-4h-4zM8 9v2.5M12 7.5v5.5M16 9v2.5",
    Playground "M3 4.5h18v15H3zM10 8.5v7l5.5-3.5z",
    Alert "M6 17v-6a6 6 0 0 1 12 0v6M3.5 17h17M12 5V3M10 20.5h4",
    Audit "M5 3h14v18H5zM8.5 8h.01M12 8h3.5M8.5 12h.01M12 12h3.5M8.5 16h.01M12 16h3.5",
    User "M15.75 7.5a3.75 3.75 0 1 1-7.5 0 3.75 3.75 0 0 1 7.5 0zM4.5 20.5a7.5 6 0 0 1 15 0z",
    Tenant "M4 20.5v-17h9v17M13 9.5h7v11M2.5 20.5h19M7.5 8h2M7.5 12h2M7.5 16h2M16.5 13.5v.01M16.5 17v.01",
    Settings "M3 8h5.5M14 8h7M8.5 5.25H14v5.5H8.5zM3 16h8M16.5 16H21M11 13.25h5.5v5.5H11z",
    Search "M16.5 10.5a6 6 0 1 1-12 0 6 6 0 0 1 12 0zM14.75 14.75l5.75 5.75",
    Plus "M12 4.5v15M4.5 12h15",
    Close "M5.5 5.5l13 13M18.5 5.5l-13 13",
    Copy "M9 9h11v11H9zM9 15H4V4h11v5",
    Check "M4.5 12.5l5 5 10-11",
    ChevronUpDown "M8 10l4-5 4 5M8 14l4 5 4-5",
    Menu "M3.5 6.5h17M3.5 12h17M3.5 17.5h17",
    More "M6.5 12a1 1 0 1 1-2 0 1 1 0 0 1 2 0zM13 12a1 1 0 1 1-2 0 1 1 0 0 1 2 0zM19.5 12a1 1 0 1 1-2 0 1 1 0 0 1 2 0z",
    Sun "M15.5 12a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0zM12 3v2.5M12 18.5V21M3 12h2.5M18.5 12H21M5.64 5.64l1.77 1.77\
        M16.59 16.59l1.77 1.77M5.64 18.36l1.77-1.77M16.59 7.41l1.77-1.77",
    Moon "M15.5 4a8.6 8.6 0 1 0 0 16 9.5 9.5 0 0 1 0-16z",
    Monitor "M3 4.5h18v12H3zM12 16.5V20M7.5 20h9",
    SignOut "M13 4H4.5v16H13M9.5 12H21M17 8l4 4-4 4",
    Play "M7 4.5l12.5 7.5L7 19.5z",
    Pause "M6 5h4v14H6zM14 5h4v14h-4z",
    Stop "M5.5 5.5h13v13h-13z",
    Mic "M9 6a3 3 0 0 1 6 0v5a3 3 0 0 1-6 0zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21M8.5 21h7",
    MicOff "M9 6a3 3 0 0 1 6 0v5a3 3 0 0 1-6 0zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21M8.5 21h7M3.5 3.5l17 17",
    Speaker "M3.5 9.5H7l5-4v13l-5-4H3.5zM15.5 9a4.25 4.25 0 0 1 0 6M18.25 6.5a7.75 7.75 0 0 1 0 11",
    Download "M12 3.5V15M7.5 10.5L12 15l4.5-4.5M4 20h16",
    Upload "M12 15.5V4M7.5 8.5L12 4l4.5 4.5M4 20h16",
    Trash "M4 6.5h16M9 6.5v-3h6v3M6 6.5l1 14h10l1-14M10.25 10.5v6M13.75 10.5v6",
    Edit "M4 20l1-4.5L16.5 4 20 7.5 8.5 19zM13.5 7l3.5 3.5",
    Refresh "M19.5 12a7.5 7.5 0 1 1-2.2-5.3M17.3 2.5v4.2h-4.2",
    Filter "M3.5 4.5h17L14 12.5V20l-4-2.5v-5z",
    Drag "M5 9.5h14M5 14.5h14",
    Up "M12 19.5v-15M6 10.5l6-6 6 6",
    Down "M12 4.5v15M6 13.5l6 6 6-6",
    External "M11 5H4.5v14.5H19V13M14.5 4H20v5.5M20 4l-9.5 9.5",
    Warning "M12 4l9.5 16.5h-19zM12 10.5v4M12 17.5h.01",
    Info "M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0zM12 11.5v5M12 7.75h.01",
    Calendar "M4 5.5h16v15H4zM4 10.5h16M8.5 3v4.5M15.5 3v4.5",
    Lock "M5 11h14v9.5H5zM8 11V7.5a4 4 0 0 1 8 0V11M12 15v1.5",
    Shield "M4.5 4h15v6A13 13 0 0 1 12 21 13 13 0 0 1 4.5 10zM9 10.5l2.5 2.5 4-4.5",
    Bolt "M14.5 3L7 12.5h10L9.5 21",
    File "M5.5 3H14l4.5 4.5V21h-13zM14 3v4.5h4.5",
    Webhook "M3 9h6v6H3zM9 12h8M14 9l3 3-3 3M21 5v14",
    Logo "M3.5 12V9M7.75 12V4M12 15.5v-7M16.25 20v-8M20.5 15v-3",
}

/// An icon beside a text that says the same, or in a button with a label.
#[component]
pub(crate) fn Icon(name: IconName) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d=name.path()></path>
        </svg>
    }
}
