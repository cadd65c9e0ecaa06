//! What Prometheus scrapes, in the words of OTLP: the same metrics by the same names, whichever way they go.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

/// From the start of the process to now, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The labels of a series, in the order of their names.
type Labels = BTreeMap<String, String>;

/// One line of a series.
#[derive(Debug, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    labels: Labels,
    value: f64,
}

/// The metrics of an exposition in Prometheus' text format. Counters, gauges and histograms are all that there is.
pub(super) fn metrics(text: &str, span: Span) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    let mut help = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, told)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            help.insert(name, told);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            metrics.extend(empty(name, kind, help.get(name).copied().unwrap_or_default()));
        } else if let (Some(sample), Some(metric)) = (sample(line), metrics.last_mut()) {
            add(metric, sample, span);
        }
    }
    for metric in &mut metrics {
        if let Some(Data::Histogram(histogram)) = &mut metric.data {
            histogram.data_points.iter_mut().for_each(apart);
        }
    }
    metrics
}

fn empty(name: &str, kind: &str, description: &str) -> Option<Metric> {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let data = match kind {
        "counter" => Data::Sum(Sum { aggregation_temporality, is_monotonic: true, data_points: Vec::new() }),
        "gauge" => Data::Gauge(Gauge::default()),
        "histogram" => Data::Histogram(Histogram { aggregation_temporality, data_points: Vec::new() }),
        _ => return None,
    };
    let unit = match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "",
    };
    Some(Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    })
}

fn add(metric: &mut Metric, sample: Sample<'_>, span: Span) {
    let Some(part) = sample.name.strip_prefix(&metric.name) else { return };
    match &mut metric.data {
        Some(Data::Sum(sum)) if part.is_empty() => sum.data_points.push(number(sample, span)),
        Some(Data::Gauge(gauge)) if part.is_empty() => gauge.data_points.push(number(sample, span)),
        Some(Data::Histogram(histogram)) => add_to(histogram, part, sample, span),
        _ => {}
    }
}

fn number(sample: Sample<'_>, span: Span) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(sample.labels),
        start_time_unix_nano: span.from,
        time_unix_nano: span.to,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    }
}

/// A line of a histogram: one of its buckets, its sum or its count.
fn add_to(histogram: &mut Histogram, part: &str, mut sample: Sample<'_>, span: Span) {
    let bound = sample.labels.remove("le");
    let attributes = attributes(sample.labels);
    let points = &mut histogram.data_points;
    // The lines of a series stand together.
    let at = points.iter().rposition(|point| point.attributes == attributes).unwrap_or_else(|| {
        points.push(HistogramDataPoint {
            attributes,
            start_time_unix_nano: span.from,
            time_unix_nano: span.to,
            ..HistogramDataPoint::default()
        });
        points.len() - 1
    });
    let Some(point) = points.get_mut(at) else { return };
    match (part, bound) {
        ("_bucket", Some(bound)) => {
            point.bucket_counts.push(count(sample.value));
            point.explicit_bounds.extend(bound.parse::<f64>().ok().filter(|bound| bound.is_finite()));
        }
        ("_sum", None) => point.sum = Some(sample.value),
        ("_count", None) => point.count = count(sample.value),
        _ => {}
    }
}

/// Prometheus counts in each bucket what is in the ones below it as well; OTLP does not.
fn apart(point: &mut HistogramDataPoint) {
    let mut below = 0;
    for bucket in &mut point.bucket_counts {
        let so_far = *bucket;
        *bucket = so_far.saturating_sub(below);
        below = so_far;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and not negative")]
fn count(value: f64) -> u64 {
    value as u64
}

fn attributes(labels: Labels) -> Vec<KeyValue> {
    let attribute = |(key, value)| KeyValue {
        key,
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    };
    labels.into_iter().map(attribute).collect()
}

/// `name{label="value"} 1.5`; comments and empty lines are none.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' ']).filter(|_| !line.starts_with('#'))?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    Some(Sample { name, labels, value: rest.split_ascii_whitespace().next()?.parse().ok()? })
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = quoted.get(end..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP antiphon_requests_total Calls.
# TYPE antiphon_requests_total counter
antiphon_requests_total{operation="speech",provider="a \"b\" \\ c,}"} 3
antiphon_requests_total{operation="chat",provider="x"} 4

# TYPE antiphon_active_sessions gauge
antiphon_active_sessions -1.5

# HELP antiphon_time_to_first_byte_seconds Until the first byte.
# TYPE antiphon_time_to_first_byte_seconds histogram
antiphon_time_to_first_byte_seconds_bucket{operation="speech",le="0.1"} 2
antiphon_time_to_first_byte_seconds_bucket{operation="speech",le="1"} 2
antiphon_time_to_first_byte_seconds_bucket{operation="speech",le="+Inf"} 5
antiphon_time_to_first_byte_seconds_sum{operation="speech"} 12.25
antiphon_time_to_first_byte_seconds_count{operation="speech"} 5
antiphon_time_to_first_byte_seconds_bucket{operation="chat",le="0.1"} 0
antiphon_time_to_first_byte_seconds_bucket{operation="chat",le="1"} 1
antiphon_time_to_first_byte_seconds_bucket{operation="chat",le="+Inf"} 1
antiphon_time_to_first_byte_seconds_sum{operation="chat"} 0.5
antiphon_time_to_first_byte_seconds_count{operation="chat"} 1
"#;

    fn told(point: &[KeyValue]) -> Vec<(String, String)> {
        let text = |value: &AnyValue| match &value.value {
            Some(Value::StringValue(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
        point.iter().map(|one| (one.key.clone(), text(one.value.as_ref().unwrap()))).collect()
    }

    #[test]
    fn every_kind_is_the_same_in_other_words() {
        let metrics = metrics(TEXT, Span { from: 1, to: 2 });
        let [requests, sessions, ttfb] = metrics.as_slice() else { panic!("{metrics:?}") };
        let Some(Data::Sum(sum)) = &requests.data else { panic!("{requests:?}") };
        assert!(sum.is_monotonic);
        assert_eq!((requests.description.as_str(), sum.data_points.len()), ("Calls.", 2));
        let first = &sum.data_points[0];
        let labels = [("operation", "speech"), ("provider", r#"a "b" \ c,}"#)].map(|(a, b)| (a.into(), b.into()));
        assert_eq!(told(&first.attributes), labels);
        assert_eq!(first.value, Some(number_data_point::Value::AsDouble(3.0)));
        assert_eq!((first.start_time_unix_nano, first.time_unix_nano), (1, 2));
        let Some(Data::Gauge(gauge)) = &sessions.data else { panic!("{sessions:?}") };
        assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(-1.5)));
        let Some(Data::Histogram(histogram)) = &ttfb.data else { panic!("{ttfb:?}") };
        assert_eq!((ttfb.unit.as_str(), histogram.data_points.len()), ("s", 2));
        let speech = &histogram.data_points[0];
        assert_eq!((speech.count, speech.sum), (5, Some(12.25)));
        assert_eq!(
            (speech.bucket_counts.as_slice(), speech.explicit_bounds.as_slice()),
            (&[2, 0, 3][..], &[0.1, 1.0][..])
        );
    }
}
