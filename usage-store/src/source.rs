//! Which roll-ups have what is asked, and for what time.

use crate::aggregate::{Bucket, Filter, GroupBy, Question};
use crate::tables::{DAILY, DAILY_ALL, HOURLY, HOURLY_ALL, LABELS, MONTHLY_LABELS};
use crate::tally::{floor, month_ceiling, month_floor};
use crate::{DAY, HOUR};

/// Hours that are told one by one.
const MAX_HOURS: i64 = 31 * 24;
/// Days that are told one by one.
const MAX_DAYS: i64 = 3 * 366;

/// Where an answer comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The first second.
    pub(crate) from: i64,
    /// The second behind the last.
    pub(crate) to: i64,
    /// With histograms, which the roll-up by label does not have.
    pub(crate) has_times: bool,
    /// What is summed, together.
    pub(crate) segments: Vec<Segment>,
}

/// A time out of one roll-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) table: &'static str,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// Finds the roll-ups, or says why there are none.
pub(crate) fn choose(question: &Question, hours_since: Option<i64>) -> Result<Source, String> {
    if question.from >= question.to {
        return Err("`from` must be before `to`".to_owned());
    }
    let whole_days = (floor(question.from, DAY), ceiling(question.to, DAY));
    let source = if uses_labels(question)? {
        if question.bucket == Bucket::Hour {
            return Err("users and tags are summed by day, not by hour".to_owned());
        }
        let (from, to) = whole_days;
        Source { from, to, has_times: false, segments: by_label(question, from, to) }
    } else {
        let (from, to) = (floor(question.from, HOUR), ceiling(question.to, HOUR));
        by_time(question, (from, to), whole_days, hours_since)?
    };
    let length = source.to - source.from;
    match question.bucket {
        Bucket::Hour if length > MAX_HOURS * HOUR => Err(format!("at most {MAX_HOURS} hours are told one by one")),
        Bucket::Day if length > MAX_DAYS * DAY => Err(format!("at most {MAX_DAYS} days are told one by one")),
        _ => Ok(source),
    }
}

/// Whole months from the roll-up by month, where it tells enough apart.
fn by_label(question: &Question, from: i64, to: i64) -> Vec<Segment> {
    let Filter { key, provider, model, operation, .. } = &question.filter;
    let is_filtered = key.is_some() || provider.is_some() || model.is_some() || operation.is_some();
    let told_apart = |group: &GroupBy| matches!(group, GroupBy::Tenant | GroupBy::User | GroupBy::Tag(_));
    let (first, last) = (month_ceiling(from), month_floor(to));
    if question.bucket == Bucket::Day || is_filtered || !question.group_by.iter().all(told_apart) || first >= last {
        return vec![Segment { table: LABELS, from, to }];
    }
    let segments = [
        Segment { table: LABELS, from, to: first },
        Segment { table: MONTHLY_LABELS, from: first, to: last },
        Segment { table: LABELS, from: last, to },
    ];
    segments.into_iter().filter(|segment| segment.from < segment.to).collect()
}

/// The roll-ups by hour and by day that tell enough apart, with the fewest rows.
fn hourly_and_daily(question: &Question) -> (&'static str, &'static str) {
    let is_filtered = question.filter.tenant.is_some() || question.filter.key.is_some();
    if is_filtered || question.group_by.iter().any(|group| matches!(group, GroupBy::Tenant | GroupBy::Key)) {
        (HOURLY, DAILY)
    } else {
        (HOURLY_ALL, DAILY_ALL)
    }
}

fn by_time(
    question: &Question,
    (from, to): (i64, i64),
    whole_days: (i64, i64),
    hours_since: Option<i64>,
) -> Result<Source, String> {
    let (hourly, daily) = hourly_and_daily(question);
    let hours_are_gone = hours_since.is_some_and(|since| from < since);
    if question.bucket == Bucket::Hour {
        if hours_are_gone {
            return Err("hours that long ago are kept as days only".to_owned());
        }
        let hours = Segment { table: hourly, from, to };
        return Ok(Source { from, to, has_times: question.times, segments: vec![hours] });
    }
    // A day of which hours are missing is taken as a whole.
    let from = if hours_are_gone { whole_days.0 } else { from };
    let to = if hours_since.is_some_and(|since| floor(to, DAY) < since) { whole_days.1 } else { to };
    let (first_day, last_day) = (ceiling(from, DAY), floor(to, DAY));
    let segments = if first_day > last_day {
        vec![Segment { table: hourly, from, to }]
    } else {
        vec![
            Segment { table: hourly, from, to: first_day },
            Segment { table: daily, from: first_day, to: last_day },
            Segment { table: hourly, from: last_day, to },
        ]
    };
    let segments = segments.into_iter().filter(|segment| segment.from < segment.to).collect();
    Ok(Source { from, to, has_times: question.times, segments })
}

/// Whether users or tags are asked for, which must be one of them alone: each has rows of its own.
fn uses_labels(question: &Question) -> Result<bool, String> {
    let filter = &question.filter;
    let group_user = question.group_by.contains(&GroupBy::User);
    let group_tags: Vec<&str> = question
        .group_by
        .iter()
        .filter_map(|group| if let GroupBy::Tag(name) = group { Some(name.as_str()) } else { None })
        .collect();
    let by_user = group_user || filter.user.is_some();
    let by_tag = !group_tags.is_empty() || filter.tag.is_some();
    if by_user && by_tag {
        return Err("users and tags are summed apart: ask for one of them".to_owned());
    }
    if group_tags.len() > 1 {
        return Err("tags are summed apart: group by one of them".to_owned());
    }
    if let (Some(tag), Some(name)) = (&filter.tag, group_tags.first())
        && tag.split_once('=').is_none_or(|(named, _)| named != *name)
    {
        return Err("tags are summed apart: filter and group by the same one".to_owned());
    }
    if (by_user || by_tag) && (filter.model_asked.is_some() || question.group_by.contains(&GroupBy::ModelAsked)) {
        return Err("users and tags are summed by the model that served, not by the one asked for".to_owned());
    }
    Ok(by_user || by_tag)
}

fn ceiling(second: i64, size: i64) -> i64 {
    floor(second.saturating_add(size - 1), size)
}
