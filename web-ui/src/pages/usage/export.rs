//! The records of the present filter, as a file.

use admin_types::usage::ExportFormat;
use leptos::prelude::*;

use super::filters::Filters;
use crate::api::stream::Progress;
use crate::api::{Failure, submit, usage, use_client};
use crate::components::{Button, IconName, Menu, MenuItem, Progress as ProgressBar, use_toasts};
use crate::format;

/// Chooses a format; while the file comes, it tells how far it is and can be stopped.
#[component]
pub(super) fn ExportMenu(filters: Filters) -> impl IntoView {
    let (client, toasts) = (use_client(), use_toasts());
    let progress = Progress::new();
    let busy = RwSignal::new(false);
    let start = move |wanted: ExportFormat| {
        let query = untrack(|| filters.export(wanted));
        submit(busy, async move { usage::export_usage(&client, &query, progress).await }, move |done| match done {
            Ok(()) => toasts.done("Export downloaded"),
            Err(Failure::Cancelled) => toasts.info("Export cancelled"),
            Err(failure) => toasts.failed(&failure),
        });
    };
    let label = move || format!("Exporting, {} so far", format::bytes(progress.bytes().unwrap_or_default()));
    view! {
        <Show
            when=move || busy.get()
            fallback=move || {
                view! {
                    <Menu label="Export" icon=IconName::Download labelled=true>
                        <MenuItem icon=IconName::File on_press=move || start(ExportFormat::Csv)>
                            "CSV"
                        </MenuItem>
                        <MenuItem icon=IconName::File on_press=move || start(ExportFormat::Json)>
                            "JSON"
                        </MenuItem>
                        <MenuItem icon=IconName::File on_press=move || start(ExportFormat::Jsonl)>
                            "JSON lines"
                        </MenuItem>
                    </Menu>
                }
            }
        >
            <div class="export-progress">
                {move || view! { <ProgressBar label=label() share=None /> }}
                <Button icon=IconName::Close on_press=move || progress.stop()>"Cancel"</Button>
            </div>
        </Show>
    }
}
