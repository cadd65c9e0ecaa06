//! What both sides have said, line by line.

use leptos::html;
use leptos::prelude::*;

use super::super::facts::ms_text;
use crate::components::{Badge, Card, Empty, IconName, Tone};

/// Older ones are forgotten.
const MOST: usize = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Me,
    Model,
}

/// What one side says in one turn.
#[derive(Debug, Clone)]
pub(super) struct Line {
    id: String,
    who: Who,
    text: ArcRwSignal<String>,
    /// It was broken off.
    is_cut: ArcRwSignal<bool>,
    /// From the end of what was said before to the first sound.
    latency_ms: ArcRwSignal<Option<f64>>,
}

/// The lines of a conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines(RwSignal<Vec<Line>>);

impl Lines {
    pub(super) fn new() -> Self {
        Self(RwSignal::new(Vec::new()))
    }

    pub(super) fn clear(self) {
        self.0.try_set(Vec::new());
    }

    /// The line of an item, which is made where there is none.
    pub(super) fn line(self, id: &str, who: Who) -> Line {
        let find = |lines: &Vec<Line>| lines.iter().rev().find(|line| line.id == id).cloned();
        if let Some(found) = self.0.try_with_untracked(find).flatten() {
            return found;
        }
        let line = Line {
            id: id.to_owned(),
            who,
            text: ArcRwSignal::new(String::new()),
            is_cut: ArcRwSignal::new(false),
            latency_ms: ArcRwSignal::new(None),
        };
        self.0.try_update(|lines| {
            lines.push(line.clone());
            let surplus = lines.len().saturating_sub(MOST);
            lines.drain(..surplus);
        });
        line
    }

    /// Adds to what was said.
    pub(super) fn add(self, id: &str, who: Who, more: &str) {
        self.line(id, who).text.update(|text| text.push_str(more));
    }

    /// The whole of what was said.
    pub(super) fn set(self, id: &str, who: Who, whole: &str) {
        let text = self.line(id, who).text;
        if text.with_untracked(|text| text != whole) {
            text.set(whole.to_owned());
        }
    }

    pub(super) fn cut(self, id: &str) {
        self.line(id, Who::Model).is_cut.set(true);
    }

    pub(super) fn answered_in(self, id: &str, ms: f64) {
        self.line(id, Who::Model).latency_ms.set(Some(ms));
    }
}

/// The lines, which stay at their end as they grow.
#[component]
pub(super) fn Transcript(lines: Lines, children: Children) -> impl IntoView {
    let list = NodeRef::<html::Div>::new();
    // The last line's text moves it too.
    Effect::new(move |_| {
        lines.0.with(|lines| lines.last().map(|line| line.text.get()));
        if let Some(list) = list.get() {
            request_animation_frame(move || list.set_scroll_top(list.scroll_height()));
        }
    });
    view! {
        <Card title="Conversation">
            <Show
                when=move || lines.0.with(|lines| !lines.is_empty())
                fallback=|| view! { <Empty title="Nothing said yet" text="Start a conversation, then speak or write." icon=IconName::Mic /> }
            >
                <div class="talk" node_ref=list tabindex="0" role="log" aria-label="What was said">
                    <For each=move || lines.0.get() key=|line| line.id.clone() let:line>
                        <LineView line />
                    </For>
                </div>
            </Show>
            {children()}
        </Card>
    }
}

#[component]
fn LineView(line: Line) -> impl IntoView {
    let Line { who, text, is_cut, latency_ms, .. } = line;
    let (class, name) = match who {
        Who::Me => ("talk-line me", "You"),
        Who::Model => ("talk-line", "Model"),
    };
    let latency = move || {
        let told = latency_ms.get().map(|ms| format!("first sound after {}", ms_text(ms)));
        told.map(|told| view! { <span class="talk-latency">{told}</span> })
    };
    let shown = move || Some(text.get()).filter(|text| !text.is_empty()).unwrap_or_else(|| "…".to_owned());
    view! {
        <div class=class>
            <p class="talk-name">
                <strong>{name}</strong>
                {latency}
                {move || is_cut.get().then(|| view! { <Badge tone=Tone::Warn>"Interrupted"</Badge> })}
            </p>
            <p class="talk-text">{shown}</p>
        </div>
    }
}
