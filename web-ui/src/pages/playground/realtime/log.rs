//! The events of a conversation, both ways, for those who want to see them.

use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;
use serde_json::Value;

use crate::clock;
use crate::components::{Button, ButtonKind, Card, Choice, CopyButton, Empty, FilterSelect, SearchBox, Toolbar};

/// Older ones are forgotten.
const MOST: usize = 400;
/// The list is drawn at most so often.
const PAUSE: Duration = Duration::from_millis(120);
/// Longer texts in an event are cut: nobody reads sound.
const LONGEST_TEXT: usize = 400;

/// One event, or several of the same kind that came one after another.
#[derive(Debug, Clone)]
struct Logged {
    serial: u64,
    sent: bool,
    kind: Arc<str>,
    /// Milliseconds since the begin.
    at_ms: f64,
    body: Arc<str>,
    /// Pieces of sound that are one line.
    count: ArcRwSignal<u32>,
    /// Whether its body is shown.
    open: ArcRwSignal<bool>,
}

/// The events that are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    shown: RwSignal<Vec<Logged>>,
    /// Not drawn yet.
    new: StoredValue<Vec<Logged>>,
    serial: StoredValue<u64>,
    begin: StoredValue<f64>,
    is_due: StoredValue<bool>,
    /// Somebody points at the list: nothing moves under the pointer until it has left.
    held: RwSignal<bool>,
    /// How many are not drawn because of that.
    waiting: RwSignal<usize>,
    forgotten: RwSignal<u64>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            shown: RwSignal::new(Vec::new()),
            new: StoredValue::new(Vec::new()),
            serial: StoredValue::new(0),
            begin: StoredValue::new(clock::stopwatch_ms()),
            is_due: StoredValue::new(false),
            held: RwSignal::new(false),
            waiting: RwSignal::new(0),
            forgotten: RwSignal::new(0),
        }
    }

    /// Begins anew.
    pub(super) fn clear(self) {
        self.new.try_set_value(Vec::new());
        self.shown.try_set(Vec::new());
        self.waiting.try_set(0);
        self.forgotten.try_set(0);
        self.begin.try_set_value(clock::stopwatch_ms());
    }

    /// Keeps an event.
    pub(super) fn add(self, sent: bool, kind: &str, event: Value) {
        // Sound comes many times a second: what follows its like is counted with it.
        let is_sound = is_sound(kind);
        let same = |last: &Logged| is_sound && last.sent == sent && *last.kind == *kind;
        let counted = |list: &Vec<Logged>| list.last().filter(|last| same(last)).map(|last| last.count.clone());
        let is_new_empty = self.new.try_with_value(Vec::is_empty).unwrap_or(true);
        let before =
            if is_new_empty { self.shown.try_with_untracked(counted) } else { self.new.try_with_value(counted) };
        if let Some(count) = before.flatten() {
            count.update(|count| *count += 1);
            return;
        }
        let serial = self.serial.try_update_value(|serial| {
            *serial += 1;
            *serial
        });
        let body = serde_json::to_string_pretty(&shortened(event)).unwrap_or_default();
        let logged = Logged {
            serial: serial.unwrap_or_default(),
            sent,
            kind: kind.into(),
            at_ms: clock::stopwatch_ms() - self.begin.try_get_value().unwrap_or_default(),
            body: body.into(),
            count: ArcRwSignal::new(1),
            open: ArcRwSignal::new(false),
        };
        self.new.try_update_value(|new| {
            new.push(logged);
            self.forget_surplus(new);
        });
        if self.is_due.try_get_value() == Some(false) {
            self.is_due.try_set_value(true);
            set_timeout(move || self.draw(), PAUSE);
        }
    }

    fn draw(self) {
        self.is_due.try_set_value(false);
        if self.held.try_get_untracked() == Some(true) {
            self.waiting.try_set(self.new.try_with_value(Vec::len).unwrap_or_default());
            return;
        }
        let new = self.new.try_update_value(std::mem::take).unwrap_or_default();
        self.waiting.try_set(0);
        self.shown.try_update(|shown| {
            shown.extend(new);
            self.forget_surplus(shown);
        });
    }

    fn hold(self) {
        self.held.set(true);
    }

    fn let_go(self) {
        self.held.set(false);
        self.draw();
    }

    fn forget_surplus(self, list: &mut Vec<Logged>) {
        let surplus = list.len().saturating_sub(MOST);
        if surplus > 0 {
            list.drain(..surplus);
            self.forgotten.try_update(|forgotten| *forgotten += surplus as u64);
        }
    }
}

fn is_sound(kind: &str) -> bool {
    matches!(kind, "input_audio_buffer.append" | "response.output_audio.delta")
}

/// Long texts become their length.
fn shortened(event: Value) -> Value {
    match event {
        Value::String(text) if text.len() > LONGEST_TEXT => Value::String(format!("({} characters)", text.len())),
        Value::Array(list) => Value::Array(list.into_iter().map(shortened).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, shortened(value))).collect())
        }
        other => other,
    }
}

/// The list, with what narrows it.
#[component]
pub(super) fn Inspector(log: Log) -> impl IntoView {
    let (search, way) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let ways = Choice::list(&[("in", "Received"), ("out", "Sent")]);
    let rows = Memo::new_with_compare(
        move |_| {
            let (words, way) = (search.get().to_lowercase(), way.get());
            let fits = |one: &&Logged| {
                (way.is_empty() || (way == "out") == one.sent)
                    && (words.is_empty() || one.kind.contains(&words) || one.body.to_lowercase().contains(&words))
            };
            log.shown.with(|shown| shown.iter().rev().filter(fits).cloned().collect::<Vec<_>>())
        },
        |_, _| true,
    );
    let note = move || {
        let (waiting, forgotten) = (log.waiting.get(), log.forgotten.get());
        match (waiting, forgotten) {
            (0, 0) => None,
            (0, _) => Some(format!(
                "The last {MOST} are kept; {} older ones are forgotten.",
                crate::format::count(i128::from(forgotten))
            )),
            _ => Some(format!("The list waits while you point at it; {waiting} more are to come.")),
        }
    };
    let actions = move || view! { <Button kind=ButtonKind::Ghost on_press=move || log.clear()>"Clear"</Button> };
    view! {
        <Card title="Events" text="What this page and the gateway say to each other, newest first." actions>
            <Toolbar>
                <SearchBox value=search label="Search events" />
                <FilterSelect label="Direction" value=way options=ways all="Both" />
            </Toolbar>
            <div
                class="event-list"
                tabindex="0"
                role="region"
                aria-label="Events"
                on:pointerenter=move |_| log.hold()
                on:pointerleave=move |_| log.let_go()
            >
                <For each=move || rows.get() key=|one| one.serial let:one>
                    <Row one />
                </For>
                <Show when=move || rows.with(Vec::is_empty)>
                    <Empty title="No events" />
                </Show>
            </div>
            <p class="hint">{note}</p>
        </Card>
    }
}

#[component]
fn Row(one: Logged) -> impl IntoView {
    let Logged { sent, kind, at_ms, body, count, open, .. } = one;
    let open = RwSignal::from(open);
    let (mark, way) = if sent { ("↑", "Sent") } else { ("↓", "Received") };
    let times = move || Some(count.get()).filter(|count| *count > 1).map(|count| format!("×{count}"));
    let is_error = &*kind == "error";
    let text = StoredValue::new(body);
    let opened = move || {
        open.get().then(|| {
            let text = text.get_value().to_string();
            view! {
                <div class="event-body">
                    <pre>{text.clone()}</pre>
                    <CopyButton text label="Copy event" />
                </div>
            }
        })
    };
    view! {
        <div class="event" class:sent=sent class:bad=is_error>
            <button type="button" class="event-head" aria-expanded=move || open.get().to_string() on:click=move |_| open.update(|open| *open = !*open)>
                <span class="event-way" title=way>{mark}<span class="visually-hidden">{way}</span></span>
                <code>{kind.to_string()}</code>
                <span class="event-count">{times}</span>
                <span class="event-time">{format!("{:.2} s", at_ms / 1000.0)}</span>
            </button>
            {opened}
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_told_by_its_length() {
        let event = serde_json::json!({"type": "x", "list": [{"audio": "A".repeat(500)}], "short": "b"});
        let told = shortened(event);
        assert_eq!(told, serde_json::json!({"type": "x", "list": [{"audio": "(500 characters)"}], "short": "b"}));
    }
}
