//! Prices: what providers bill, lists of them, and use without a price.

mod form;
mod import;
mod list;
mod preview;
mod reprice;
mod unpriced;

use admin_types::prices::Price;
use leptos::prelude::*;

use self::form::{PriceForm, Task};
use self::import::Import;
use self::list::PriceList;
use self::unpriced::Unpriced;
use super::words::Owners;
use crate::components::{Button, ButtonKind, Choice, Dialog, IconName, PageHead, TabPanel, Tabs};
use crate::route::query_text_or;
use crate::session::{Permission, use_session};

/// The form over the page: what it is for, and who is told that something has changed.
#[derive(Clone, Copy)]
struct Editing {
    task: RwSignal<Task>,
    open: RwSignal<bool>,
    /// How often something was changed; lists ask again when it is.
    changes: RwSignal<u32>,
}

impl Editing {
    fn begin(self, task: Task) {
        self.task.set(task);
        self.open.set(true);
    }

    fn changed(self) {
        self.changes.try_update(|changes| *changes = changes.wrapping_add(1));
    }
}

/// The page.
#[component]
pub(in crate::pages) fn Prices() -> impl IntoView {
    let session = use_session();
    let tab = query_text_or("tab", "list");
    let owners = Owners::new();
    let may = Memo::new(move |_| session.can(Permission::ManagePrices));
    let editing =
        Editing { task: RwSignal::new(Task::default()), open: RwSignal::new(false), changes: RwSignal::new(0) };
    let tabs = Signal::derive(move || {
        let mut tabs = vec![Choice::new("list", "Prices"), Choice::new("unpriced", "Use without a price")];
        if may.get() {
            tabs.push(Choice::new("import", "Import"));
        }
        tabs
    });
    let add = move || editing.begin(Task::default());
    view! {
        <PageHead title="Prices" text="What providers bill for a unit, from a date on.">
            {move || {
                may.get()
                    .then(|| view! { <Button kind=ButtonKind::Primary icon=IconName::Plus on_press=add>"Add price"</Button> })
            }}
        </PageHead>
        <Tabs label="Prices" group="prices" selected=tab tabs />
        <TabPanel group="prices" name="list" selected=tab>
            <PriceList editing owners />
        </TabPanel>
        <TabPanel group="prices" name="unpriced" selected=tab>
            <Unpriced editing owners />
        </TabPanel>
        <TabPanel group="prices" name="import" selected=tab>
            {move || may.get().then(|| view! { <Import editing /> })}
        </TabPanel>
        <Dialog open=editing.open title="Price">
            {move || view! { <PriceForm task=editing.task.get() editing owners /> }}
        </Dialog>
    }
}

/// Whether it comes to be in force only later.
fn is_ahead(price: &Price) -> bool {
    price.effective_from > crate::clock::now()
}
