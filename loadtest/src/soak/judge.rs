//! What a soak is judged by. Pure: figures in, verdicts out.

use std::collections::{BTreeMap, BTreeSet};

use crate::result::{Sample, Verdict};

/// Resident memory may grow so much in ten minutes.
pub const MOST_GROWTH_MIB: f64 = 1.0;
/// Over less time than this, what a process keeps for later hides what it loses.
pub const SHORTEST_S: f64 = 600.0;

/// MiB by which resident memory grows in ten minutes: the slope of the line with the least squares. `None` for fewer
/// than three samples.
#[must_use]
pub fn growth(samples: &[Sample]) -> Option<f64> {
    let points: Vec<(f64, f64)> = samples.iter().map(|sample| (sample.at, mib(sample.rss_kib))).collect();
    let count = f64::from(u32::try_from(points.len()).ok()?);
    if count < 3.0 {
        return None;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (below > 0.0).then(|| above / below * 600.0)
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

/// Judges the growth of memory.
#[must_use]
pub fn memory(samples: &[Sample]) -> Verdict {
    let name = "memory".to_owned();
    let lasted = samples.last().map_or(0.0, |last| last.at) - samples.first().map_or(0.0, |first| first.at);
    let Some(growth) = growth(samples) else {
        return Verdict { name, found: "too few samples".to_owned(), holds: None };
    };
    let first = samples.first().map_or(0.0, |sample| mib(sample.rss_kib));
    let last = samples.last().map_or(0.0, |sample| mib(sample.rss_kib));
    let found = format!(
        "{growth:+.2} MiB in 10 minutes by a line through {} samples over {lasted:.0} s, from {first:.1} to \
         {last:.1} MiB; below {MOST_GROWTH_MIB} is allowed",
        samples.len()
    );
    if lasted < SHORTEST_S {
        let found = format!("{found}. Judged from {SHORTEST_S:.0} s on");
        return Verdict { name, found, holds: None };
    }
    Verdict { name, found, holds: Some(growth < MOST_GROWTH_MIB) }
}

/// What descriptors lead to, with how many of each there are: sockets, pipes and the like by their kind, files by
/// their paths without the numbers that make each name its own.
#[must_use]
pub fn kinds(descriptors: &[String]) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for link in descriptors {
        let name: String = link.split(":[").next().unwrap_or_default().to_owned();
        let file = name.rsplit('/').next().unwrap_or_default();
        let plain = file.chars().map(|letter| if letter.is_ascii_digit() { '#' } else { letter });
        *kinds.entry(plain.collect()).or_default() += 1;
    }
    kinds
}

/// Judges the descriptors: at rest after the load there are no more of each kind than there were at rest before it,
/// but for the files that are opened when they are needed first.
#[must_use]
pub fn descriptors(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>, kept: &[Kept]) -> Verdict {
    let mut wrong = Vec::new();
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |kinds: &BTreeMap<String, u64>, name: &str| kinds.get(name).copied().unwrap_or(0);
    for name in names {
        let (was, is) = (of(before, name), of(after, name));
        let most = kept.iter().find(|kept| name.contains(kept.name)).map_or(was, |kept| kept.most);
        if is > most {
            wrong.push(format!("{name}: {was} before, {is} after"));
        }
    }
    let (was, is) = (before.values().sum::<u64>(), after.values().sum::<u64>());
    let found = format!("{was} at rest before the load, {is} after it");
    let found = if wrong.is_empty() { found } else { format!("{found}; {}", wrong.join(", ")) };
    Verdict { name: "descriptors".to_owned(), found, holds: Some(wrong.is_empty()) }
}

/// Files that are opened when they are needed first, and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// What their names have in them.
    pub name: &'static str,
    /// Descriptors of each at most.
    pub most: u64,
}

/// Records and their cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bill {
    /// Records.
    pub records: u64,
    /// Nano-dollars.
    pub cost_nano_usd: i64,
    /// Records whose cost is not known.
    pub unpriced: u64,
}

/// Judges the usage records of each model: as many as were billed, and their cost.
#[must_use]
pub fn records(billed: &BTreeMap<String, Bill>, found: &BTreeMap<String, Bill>) -> Vec<Verdict> {
    let models: BTreeSet<&String> = billed.keys().chain(found.keys()).collect();
    let of = |bills: &BTreeMap<String, Bill>, model: &str| bills.get(model).copied().unwrap_or_default();
    let verdicts = models.into_iter().map(|model| {
        let (billed, found) = (of(billed, model), of(found, model));
        let told = format!(
            "{} records of {} billed; {} of {} nano-dollars; {} without a cost",
            found.records, billed.records, found.cost_nano_usd, billed.cost_nano_usd, found.unpriced
        );
        Verdict { name: format!("usage of {model}"), found: told, holds: Some(billed == found) }
    });
    verdicts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(seconds: u32, kib: impl Fn(u32) -> u64) -> Vec<Sample> {
        let sample = |at| Sample { at: f64::from(at), cores: 0.1, rss_kib: kib(at), descriptors: 9 };
        (0..=seconds).step_by(10).map(sample).collect()
    }

    #[test]
    fn a_leak_is_found_below_noise() {
        // Memory goes up and down by 3 MiB all the time.
        let noise = |at: u32| u64::from(at % 70) * 44;
        let steady = samples(3_600, |at| 100_000 + noise(at));
        assert_eq!(memory(&steady).holds, Some(true), "{}", memory(&steady).found);
        // 2 MiB in ten minutes: 3.4 KiB a second.
        let leaking = samples(3_600, |at| 100_000 + noise(at) + u64::from(at) * 34 / 10);
        assert_eq!(memory(&leaking).holds, Some(false), "{}", memory(&leaking).found);
        assert!((growth(&leaking).unwrap() - 2.0).abs() < 0.2);
        assert_eq!(memory(&samples(120, |at| 100_000 + u64::from(at))).holds, None, "two minutes tell nothing");
        assert!((growth(&samples(600, |at| u64::from(at) * 1024)).unwrap() - 600.0).abs() < 1e-6);
        assert_eq!(growth(&[]), None);
    }

    fn links(more: &[&str]) -> BTreeMap<String, u64> {
        let usual =
            ["socket:[11]", "socket:[12]", "anon_inode:[eventpoll]", "/data/antiphon.db", "/data/journal/0007.log"];
        kinds(&usual.iter().chain(more).map(|link| (*link).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_descriptor_that_stays_is_found() {
        let kept = [Kept { name: "antiphon.db", most: 2 }, Kept { name: ".journal", most: 1 }];
        let judged = |after: &BTreeMap<String, u64>| descriptors(&links(&[]), after, &kept);
        assert_eq!(judged(&links(&[])).holds, Some(true));
        assert_eq!(judged(&links(&["/data/antiphon.db"])).holds, Some(true), "a second connection");
        assert_eq!(judged(&links(&["/data/journal/0008.journal"])).holds, Some(true), "the first record");
        assert_eq!(descriptors(&links(&["pipe:[3]"]), &links(&[]), &kept).holds, Some(true), "one that was closed");
        for stays in ["socket:[99]", "/data/spool/4711", "/data/journal/0008.log", "pipe:[3]"] {
            let judged = judged(&links(&[stays]));
            assert_eq!(judged.holds, Some(false), "{stays}: {}", judged.found);
        }
        assert_eq!(judged(&links(&["/data/antiphon.db"; 2])).holds, Some(false), "more connections than there may be");
    }

    #[test]
    fn one_lost_record_is_found() {
        let bill = |records, cost_nano_usd| Bill { records, cost_nano_usd, unpriced: 0 };
        let of = |bill| BTreeMap::from([("tts-1".to_owned(), bill)]);
        let holds = |found| records(&of(bill(1_000, 5_000_000)), &found)[0].holds;
        assert_eq!(holds(of(bill(1_000, 5_000_000))), Some(true));
        assert_eq!(holds(of(bill(999, 4_995_000))), Some(false), "one is lost");
        assert_eq!(holds(of(bill(1_001, 5_005_000))), Some(false), "one is there twice");
        assert_eq!(holds(of(bill(1_000, 5_000_001))), Some(false), "a nano-dollar too much");
        assert_eq!(holds(of(Bill { unpriced: 1, ..bill(1_000, 5_000_000) })), Some(false), "one has no cost");
        assert_eq!(holds(BTreeMap::new()), Some(false));
        let more = BTreeMap::from([("tts-1".to_owned(), bill(1_000, 5_000_000)), ("other".to_owned(), bill(1, 0))]);
        let judged = records(&of(bill(1_000, 5_000_000)), &more);
        assert!(judged.iter().any(|verdict| verdict.holds == Some(false)), "one that nobody billed");
    }
}
