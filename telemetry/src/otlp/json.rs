//! The JSON of OTLP: 64-bit numbers as text, ids in hex.

use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use serde_json::{Value as Json, json};

use super::trace::{Side, Span, Value, now_ns};

pub(super) fn traces(service: &str, spans: &[Span]) -> String {
    let spans: Vec<_> = spans.iter().map(span).collect();
    json!({ "resourceSpans": [{
        "resource": resource(service),
        "scopeSpans": [{ "scope": scope(), "spans": spans }],
    }] })
    .to_string()
}

pub(super) fn metrics(service: &str, started_ns: u128, families: &[MetricFamily]) -> String {
    let times = [started_ns.to_string(), now_ns().to_string()];
    let metrics: Vec<_> = families.iter().map(|family| metric(family, &times)).collect();
    json!({ "resourceMetrics": [{
        "resource": resource(service),
        "scopeMetrics": [{ "scope": scope(), "metrics": metrics }],
    }] })
    .to_string()
}

fn resource(service: &str) -> Json {
    let version = env!("CARGO_PKG_VERSION");
    json!({ "attributes": [attribute("service.name", service.into()), attribute("service.version", version.into())] })
}

fn scope() -> Json {
    json!({ "name": "squall", "version": env!("CARGO_PKG_VERSION") })
}

fn attribute(key: &str, text: Json) -> Json {
    json!({ "key": key, "value": { "stringValue": text } })
}

fn span(span: &Span) -> Json {
    let attributes = span.attributes.iter().map(|(key, value)| {
        let value = match value {
            Value::Text(text) => json!({ "stringValue": text }),
            Value::Number(number) => json!({ "intValue": number.to_string() }),
            Value::Texts(texts) => {
                let texts: Vec<_> = texts.iter().map(|text| json!({ "stringValue": text })).collect();
                json!({ "arrayValue": { "values": texts } })
            }
        };
        json!({ "key": key, "value": value })
    });
    let mut said = json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{:016x}", span.id),
        "name": span.name,
        "kind": match span.side {
            Side::Server => SERVER,
            Side::Client => CLIENT,
        },
        "startTimeUnixNano": span.start_ns.to_string(),
        "endTimeUnixNano": span.end_ns.to_string(),
        "attributes": attributes.collect::<Vec<_>>(),
        "status": if span.is_error { json!({ "code": ERROR }) } else { json!({}) },
    });
    if let Some(parent) = span.parent {
        said["parentSpanId"] = format!("{:016x}", parent.span).into();
    }
    said
}

fn metric(family: &MetricFamily, [start, now]: &[String; 2]) -> Json {
    let points = family.get_metric().iter().map(|metric| {
        let labels: Vec<_> = metric.get_label().iter().map(label).collect();
        let mut point = json!({ "attributes": labels, "startTimeUnixNano": start, "timeUnixNano": now });
        match family.get_field_type() {
            MetricType::COUNTER => point["asDouble"] = metric.get_counter().get_value().into(),
            MetricType::HISTOGRAM => histogram(&mut point, metric.get_histogram()),
            _ => point["asDouble"] = metric.get_gauge().get_value().into(),
        }
        point
    });
    let points: Vec<_> = points.collect();
    let (name, help) = (family.name(), family.help());
    match family.get_field_type() {
        MetricType::COUNTER => {
            let sum =
                json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true });
            json!({ "name": name, "description": help, "sum": sum })
        }
        MetricType::HISTOGRAM => {
            let histogram = json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE });
            json!({ "name": name, "description": help, "unit": "s", "histogram": histogram })
        }
        _ => json!({ "name": name, "description": help, "gauge": { "dataPoints": points } }),
    }
}

fn label(label: &LabelPair) -> Json {
    attribute(label.name(), label.value().into())
}

/// Prometheus counts what is up to a bound, OTLP what is between two.
fn histogram(point: &mut Json, histogram: &prometheus::proto::Histogram) {
    let (mut below, mut counts, mut bounds) = (0, Vec::new(), Vec::new());
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        bounds.push(bucket.upper_bound());
        counts.push((bucket.cumulative_count() - below).to_string());
        below = bucket.cumulative_count();
    }
    counts.push((histogram.get_sample_count() - below).to_string());
    point["count"] = histogram.get_sample_count().to_string().into();
    point["sum"] = histogram.get_sample_sum().into();
    point["bucketCounts"] = counts.into();
    point["explicitBounds"] = bounds.into();
}

const SERVER: u32 = 2;
const CLIENT: u32 = 3;
const ERROR: u32 = 2;
const CUMULATIVE: u32 = 2;
