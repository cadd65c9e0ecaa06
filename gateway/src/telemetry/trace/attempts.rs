//! Each provider that is asked has a span, and below it the phases: the request on its way, the wait for the answer,
//! and the answer on its way. Of a session it is the time until the provider is reached.

use std::time::Instant;

use domain::provider::Operation;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use url::Url;

use super::turns::MAX_NAME_BYTES;
use super::{Open, Outgoing, Spans, Trace};
use crate::ledger::UsageRecord;
use crate::pipeline::route::Candidate;

/// A provider that is asked.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The target's place in its route.
    place: usize,
    span: Context,
    asked: Instant,
    /// It had the whole request.
    sent: Option<Instant>,
    /// It has begun to answer.
    heard: Option<Instant>,
}

impl Trace {
    /// A candidate is asked next.
    pub fn asks(&self, operation: Operation, candidate: &Candidate) {
        let Some(spans) = self.0.as_deref() else { return };
        let asked = Instant::now();
        let mut open = spans.open();
        if let Some(aside) = open.aside.take_if(|aside| aside.place == candidate.place) {
            open.attempts.push(Attempt { sent: None, heard: None, ..aside });
            return;
        }
        let name = format!("{operation} {}", name(&candidate.model.model));
        let span = spans.begun(name, SpanKind::Client, asked, about(operation, candidate));
        open.attempts.push(Attempt { place: candidate.place, span, asked, sent: None, heard: None });
    }

    /// A candidate is not asked after all, but for something else in a moment.
    pub fn takes_back(&self) {
        if let Some(spans) = self.0.as_deref() {
            let mut open = spans.open();
            open.aside = open.attempts.pop();
        }
    }

    /// A candidate has, or is about to have, the whole request.
    pub fn sent(&self, candidate: &Candidate) {
        self.mark(candidate, |attempt| attempt.sent = Some(Instant::now()));
    }

    /// A candidate has begun to answer.
    pub fn heard(&self, candidate: &Candidate) {
        self.mark(candidate, |attempt| attempt.heard = attempt.heard.or_else(|| Some(Instant::now())));
    }

    /// Whoever was asked last has begun to answer.
    pub fn answers(&self) {
        let Some(spans) = self.0.as_deref() else { return };
        if let Some(attempt) = spans.open().attempts.last_mut() {
            attempt.heard = Some(Instant::now());
        }
    }

    fn mark(&self, candidate: &Candidate, mark: impl FnOnce(&mut Attempt)) {
        let Some(spans) = self.0.as_deref() else { return };
        if let Some(attempt) = spans.open().at(candidate.place) {
            mark(attempt);
        }
    }

    /// A candidate failed.
    pub fn failed(&self, candidate: &Candidate, error: &'static str) {
        let Some(spans) = self.0.as_deref() else { return };
        let mut open = spans.open();
        let Some(at) = open.attempts.iter().rposition(|attempt| attempt.place == candidate.place) else { return };
        let attempt = open.attempts.remove(at);
        attempt.span.span().set_attribute(KeyValue::new("error.type", error));
        attempt.span.span().set_status(Status::error(error));
        attempt.end(spans, Instant::now());
    }

    /// The provider of a session is reached.
    pub fn reached(&self) {
        let Some(spans) = self.0.as_deref() else { return };
        for attempt in std::mem::take(&mut spans.open().attempts) {
            attempt.end(spans, Instant::now());
        }
    }

    /// Tells a candidate which trace the request is a part of, where that is permitted.
    pub fn tell(&self, candidate: &Candidate, headers: &mut http::HeaderMap) {
        let Some(spans) = self.0.as_deref() else { return };
        if !spans.tracing.tells(&candidate.account.name) {
            return;
        }
        if let Some(attempt) = spans.open().at(candidate.place) {
            TraceContextPropagator::new().inject_context(&attempt.span, &mut Outgoing(headers));
        }
    }
}

impl Open {
    fn at(&mut self, place: usize) -> Option<&mut Attempt> {
        self.attempts.iter_mut().rev().find(|attempt| attempt.place == place)
    }
}

impl Spans {
    /// The call is over, and this is what it used.
    pub(super) fn delivered(&self, record: &UsageRecord, candidate: &Candidate, used: Vec<KeyValue>) {
        let mut open = self.open();
        let now = Instant::now();
        // Another one may have been asked beside it.
        let Some(at) = open.attempts.iter().rposition(|attempt| attempt.place == candidate.place) else {
            return self.request.span().set_attributes(used);
        };
        let attempt = open.attempts.remove(at);
        let span = attempt.span.span();
        span.set_attributes(used);
        if record.status == domain::usage::UsageStatus::UpstreamError {
            span.set_status(Status::error(record.status.as_str()));
        }
        attempt.end(self, now);
    }
}

impl Attempt {
    pub(super) fn end(&self, spans: &Spans, now: Instant) {
        let sent = self.sent.unwrap_or(self.heard.unwrap_or(now));
        spans.ended("send", self.asked, sent.max(self.asked), Vec::new(), &self.span);
        if self.sent.is_some() {
            spans.ended("wait", sent, self.heard.unwrap_or(now).max(sent), Vec::new(), &self.span);
        }
        if let Some(heard) = self.heard {
            spans.ended("receive", heard, now, Vec::new(), &self.span);
        }
        self.span.span().end_with_timestamp(spans.time(now));
    }
}

/// A client may have named a model of any length.
fn name(model: &str) -> &str {
    model.get(..model.floor_char_boundary(MAX_NAME_BYTES)).unwrap_or(model)
}

fn about(operation: Operation, candidate: &Candidate) -> Vec<KeyValue> {
    let mut about = vec![
        KeyValue::new("gen_ai.operation.name", operation.as_str()),
        KeyValue::new("gen_ai.provider.name", candidate.row.telemetry_name),
        KeyValue::new("gen_ai.request.model", name(&candidate.model.wire_name).to_owned()),
        KeyValue::new("antiphon.provider", candidate.account.name.clone()),
    ];
    match operation {
        Operation::Speech => about.push(KeyValue::new("gen_ai.output.type", "speech")),
        Operation::Transcription | Operation::Translation => about.push(KeyValue::new("gen_ai.output.type", "text")),
        _ => {}
    }
    if let Ok(url) = Url::parse(&candidate.account.base_url) {
        about.extend(url.host_str().map(|host| KeyValue::new("server.address", host.to_owned())));
        about.extend(url.port_or_known_default().map(|port| KeyValue::new("server.port", i64::from(port))));
    }
    about
}
