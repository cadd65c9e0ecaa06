//! Courses over time: lines, areas, or stacked bars, with their values under the pointer and the arrow keys.

use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::html;
use leptos::prelude::*;
use time::{Duration, OffsetDateTime};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::ResizeObserver;

use super::plot::Plot;
use super::table::ChartTable;
use super::{Course, Unit};
use crate::format;

/// As many colours as can be told apart.
const COLOURS: usize = 8;
/// Until the real width is known.
const FIRST_WIDTH: f64 = 640.0;

/// How a course is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ChartKind {
    #[default]
    Line,
    /// A line with what is under it; for one series.
    Area,
    /// Stacked.
    Bars,
}

/// A chart of one or more series over time; of more than eight, the smallest are added up.
#[component]
pub(crate) fn TimeChart(
    /// What it shows: `Spend by provider`.
    #[prop(into)]
    label: String,
    #[prop(into)] course: Signal<Course>,
    #[prop(optional)] kind: ChartKind,
    #[prop(optional)] unit: Unit,
    /// Pixels.
    #[prop(default = 240.0)]
    height: f64,
) -> impl IntoView {
    let course = Signal::from(Memo::new(move |_| course.get().with_most(COLOURS)));
    let node = NodeRef::<html::Div>::new();
    let width = width_of(node);
    let plot = Memo::new(move |_| course.with(|course| Plot::new(course, kind, unit, width.get(), height)));
    let whole_days = Signal::derive(move || course.with(|course| has_whole_days(&course.times)));
    let focus = RwSignal::new(None::<usize>);
    let empty = Memo::new(move |_| course.with(Course::is_empty));
    let point = move |event: PointerEvent| {
        let Some(node) = node.get_untracked() else { return };
        let x = f64::from(event.client_x()) - node.get_bounding_client_rect().left();
        focus.set(plot.with_untracked(|plot| plot.place_at(x)));
    };
    let walk = move |event: KeyboardEvent| {
        let last = course.with_untracked(|course| course.times.len().saturating_sub(1));
        let place = focus.get_untracked();
        let next = match event.key().as_str() {
            "ArrowRight" => Some(place.map_or(0, |place| (place + 1).min(last))),
            "ArrowLeft" => Some(place.map_or(last, |place| place.saturating_sub(1))),
            "Home" => Some(0),
            "End" => Some(last),
            "Escape" => None,
            _ => return,
        };
        event.prevent_default();
        focus.set(next);
    };
    view! {
        <figure class="chart">
            <Legend course />
            <div
                node_ref=node
                class="chart-area"
                class:none=move || empty.get()
                tabindex="0"
                role="group"
                aria-label=format!("{label}. Walk over the values with the arrow keys")
                on:pointermove=point
                on:pointerdown=point
                on:pointerleave=move |_| focus.set(None)
                on:keydown=walk
                on:blur=move |_| focus.set(None)
            >
                <svg
                    width="100%"
                    height=height.to_string()
                    viewBox=move || format!("0 0 {} {height}", width.get())
                    aria-hidden="true"
                    focusable="false"
                >
                    <Axes plot course unit />
                    {move || plot.with(|plot| course.with(|course| shapes(plot, course, kind)))}
                    <Cursor plot course focus kind />
                </svg>
                <Show when=move || empty.get()>
                    <p class="chart-none">"Nothing in this time"</p>
                </Show>
                <Values plot course focus unit kind whole_days />
            </div>
            <ChartTable label course unit whole_days />
        </figure>
    }
}

/// A moment as the chart names it: days have no time.
pub(super) fn moment(at: OffsetDateTime, whole_days: bool) -> String {
    if whole_days { format::date(at) } else { format::date_time(at) }
}

fn has_whole_days(times: &[OffsetDateTime]) -> bool {
    matches!(times, [first, second, ..] if *second - *first >= Duration::DAY)
}

#[component]
fn Legend(course: Signal<Course>) -> impl IntoView {
    let name = |(place, name): (usize, String)| {
        view! {
            <li>
                <span class=format!("swatch c{}", place % COLOURS) aria-hidden="true"></span>
                {name}
            </li>
        }
    };
    move || {
        let names: Vec<String> = course.with(|course| course.series.iter().map(|series| series.name.clone()).collect());
        (names.len() > 1).then(|| {
            view! { <ul class="chart-legend">{names.into_iter().enumerate().map(name).collect_view()}</ul> }
        })
    }
}

#[component]
fn Axes(plot: Memo<Plot>, course: Signal<Course>, unit: Unit) -> impl IntoView {
    let values = move || {
        plot.with(|plot| {
            let mark = |value: &f64| {
                let y = plot.y(*value);
                view! {
                    <line class="grid-line" x1=plot.left x2=plot.right() y1=y y2=y></line>
                    <text class="mark" x=plot.left - 8.0 y=y + 4.0 text-anchor="end">
                        {unit.short(*value)}
                    </text>
                }
            };
            plot.marks.iter().map(mark).collect_view()
        })
    };
    let times = move || {
        let marks = plot.with(|plot| course.with(|course| plot.times(&course.times)));
        let y = plot.with(|plot| plot.height - 6.0);
        let mark = |(x, label): (f64, String)| view! { <text class="mark" x=x y=y text-anchor="middle">{label}</text> };
        marks.into_iter().map(mark).collect_view()
    };
    view! {
        <g>{values}</g>
        <g>{times}</g>
    }
}

fn shapes(plot: &Plot, course: &Course, kind: ChartKind) -> AnyView {
    let shape = |place: usize| match kind {
        ChartKind::Bars => bars(plot, course, place),
        ChartKind::Line | ChartKind::Area => line(plot, course, place, kind),
    };
    // The first is drawn last, over the others.
    (0..course.series.len()).rev().map(shape).collect_view().into_any()
}

fn bars(plot: &Plot, course: &Course, place: usize) -> AnyView {
    let blocks = plot.blocks(course, place).into_iter();
    let blocks = blocks
        .map(|block| view! { <rect x=block.x y=block.y width=block.width height=block.height></rect> })
        .collect_view();
    view! { <g class=format!("bars c{}", place % COLOURS)>{blocks}</g> }.into_any()
}

fn line(plot: &Plot, course: &Course, place: usize, kind: ChartKind) -> AnyView {
    let values = course.series.get(place).map(|series| series.values.clone()).unwrap_or_default();
    let area = (kind == ChartKind::Area).then(|| view! { <path class="area" d=plot.area(&values)></path> });
    let lone = plot.lone(&values).into_iter();
    let lone = lone.map(|(x, y)| view! { <circle class="point" cx=x cy=y r="2.5"></circle> }).collect_view();
    view! {
        <g class=format!("c{}", place % COLOURS)>
            {area} <path class="line" d=plot.line(&values)></path> {lone}
        </g>
    }
    .into_any()
}

/// A line at the time in focus, with a point on each series.
#[component]
fn Cursor(plot: Memo<Plot>, course: Signal<Course>, focus: RwSignal<Option<usize>>, kind: ChartKind) -> impl IntoView {
    move || {
        let place = focus.get()?;
        plot.with(|plot| {
            let x = plot.x(place as f64);
            let points = course.with(|course| {
                let values = course.series.iter().enumerate().filter(|_| kind != ChartKind::Bars);
                let points = values.filter_map(|(colour, series)| series.at(place).map(|value| (colour, value)));
                let point = |(colour, value): (usize, f64)| {
                    let class = format!("point c{}", colour % COLOURS);
                    view! { <circle class=class cx=x cy=plot.y(value) r="3.5"></circle> }
                };
                points.map(point).collect_view()
            });
            Some(view! {
                <g>
                    <line class="cursor-line" x1=x x2=x y1=plot.top() y2=plot.bottom()></line>
                    {points}
                </g>
            })
        })
    }
}

/// The values at the time in focus; read out, too.
#[component]
fn Values(
    plot: Memo<Plot>,
    course: Signal<Course>,
    focus: RwSignal<Option<usize>>,
    unit: Unit,
    kind: ChartKind,
    whole_days: Signal<bool>,
) -> impl IntoView {
    let content = move || {
        let place = focus.get()?;
        let course = course.get();
        let time = course.times.get(place).map(|time| moment(*time, whole_days.get()))?;
        let total = (kind == ChartKind::Bars && course.series.len() > 1).then(|| unit.full(course.total(place)));
        let row = |(colour, series): (usize, &super::Series)| {
            let value = series.at(place)?;
            Some(
                view! { <ValueRow class=format!("swatch c{}", colour % COLOURS) name=series.name.clone() value=unit.full(value) /> },
            )
        };
        let rows: Vec<_> = course.series.iter().enumerate().filter_map(row).collect();
        let nothing = rows.is_empty().then(|| view! { <p>"No value"</p> });
        let total =
            total.map(|value| view! { <ValueRow class="swatch none".to_owned() name="Total".to_owned() value /> });
        Some(view! {
            <p class="chart-values-time">{time}</p>
            {rows}
            {total}
            {nothing}
        })
    };
    let x = move || focus.get().map(|place| plot.with(|plot| plot.x(place as f64)));
    let beyond_half = move || x().is_some_and(|x| plot.with(|plot| x > plot.width / 2.0));
    view! {
        <div
            class="chart-values"
            class:before=beyond_half
            class:shown=move || focus.get().is_some()
            aria-live="polite"
            style:left=move || format!("{:.0}px", x().unwrap_or(0.0))
        >
            {content}
        </div>
    }
}

#[component]
fn ValueRow(class: String, name: String, value: String) -> impl IntoView {
    view! {
        <p class="chart-value">
            <span class=class aria-hidden="true"></span>
            <span class="chart-value-name">{name}</span>
            <strong>{value}</strong>
        </p>
    }
}

/// How wide an element is, whenever that changes.
fn width_of(node: NodeRef<html::Div>) -> ReadSignal<f64> {
    let (width, set_width) = signal(FIRST_WIDTH);
    let observing = StoredValue::new_local(None::<(ResizeObserver, Closure<dyn Fn()>)>);
    Effect::new(move |_| {
        let Some(element) = node.get() else { return };
        let measured = element.clone();
        let measure = move || {
            let now = f64::from(measured.client_width());
            if now > 0.0 && (now - width.get_untracked()).abs() > 0.5 {
                set_width.set(now);
            }
        };
        measure();
        let changed = Closure::<dyn Fn()>::new(measure);
        if let Ok(observer) = ResizeObserver::new(changed.as_ref().unchecked_ref()) {
            observer.observe(&element);
            observing.set_value(Some((observer, changed)));
        }
    });
    on_cleanup(move || {
        if let Some(Some((observer, _))) = observing.try_update_value(Option::take) {
            observer.disconnect();
        }
    });
    width
}
