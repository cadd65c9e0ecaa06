//! Pairs of label and value that are known already.

use leptos::prelude::*;

use crate::components::Detail;

/// One pair of `Details`.
pub(super) fn pair(label: &'static str, value: impl IntoView + 'static) -> impl IntoView {
    view! { <Detail label>{value}</Detail> }
}
