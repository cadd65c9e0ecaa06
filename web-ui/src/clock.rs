//! What time it is. The standard library's clocks do not exist in a browser, so the browser is asked.

use time::OffsetDateTime;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> f64 {
    js_sys::Date::now()
}

/// Now, in UTC.
pub(crate) fn now() -> OffsetDateTime {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 are far below 2^53")]
    let ms = now_ms() as i64;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Milliseconds since the page was opened, in fractions: for measuring how long something takes.
pub(crate) fn stopwatch_ms() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or_else(now_ms, |performance| performance.now())
}

/// Waits.
pub(crate) async fn sleep_ms(ms: i32) {
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let asked =
            web_sys::window().map(|window| window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms));
        if !matches!(asked, Some(Ok(_))) {
            drop(resolve.call0(&wasm_bindgen::JsValue::NULL));
        }
    });
    drop(wasm_bindgen_futures::JsFuture::from(promise).await);
}
