//! How long an admission takes, against the Redis at `ANTIPHON_TEST_REDIS_URL`: one after the other, and sixty-four
//! at once.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it is a program for developers")]

use std::time::{Duration, Instant};

use domain::ids::{UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use futures_util::StreamExt;
use replicas::{Admission, Budget, Keeps, KeyLimits, Past, Record, Replicas, Settings, Want, Window};
use time::OffsetDateTime;
use uuid::Uuid;

const CALLS: usize = 20_000;
const LIMITS: KeyLimits = KeyLimits {
    requests_per_minute: Some(u32::MAX),
    max_sessions: Some(100),
    budget: Some(Budget { amount: NanoUsd(i64::MAX), window: Window::Monthly }),
};
const WANT: Want = Want { cost: Some(NanoUsd(1_000)), session: false };

#[tokio::main]
async fn main() {
    let url = std::env::var("ANTIPHON_TEST_REDIS_URL").unwrap();
    let mut settings = Settings::new(url.into());
    settings.prefix = format!("bench-{}", Uuid::now_v7());
    settings.call_timeout = Duration::from_secs(10);
    let replicas = Replicas::connect(settings).unwrap();
    assert!(replicas.wait_until_up(Duration::from_secs(5)).await);
    let keys: Vec<VirtualKeyId> = (0..100).map(|_| VirtualKeyId(Uuid::now_v7())).collect();
    for key in &keys {
        if let Admission::NeedsPast(reading) = replicas.admit(*key, LIMITS, WANT, Uuid::now_v7()).await.unwrap() {
            replicas.set_past(&reading, Past::default(), &[]).await.unwrap();
        }
    }
    for at_once in [1, 64] {
        let start = Instant::now();
        let calls = keys.iter().cycle().take(CALLS).map(|key| call(&replicas, *key));
        let taken: Vec<[Duration; 2]> = futures_util::stream::iter(calls).buffer_unordered(at_once).collect().await;
        let per_second = 2.0 * taken.len() as f64 / start.elapsed().as_secs_f64();
        println!("{at_once} at once: {per_second:.0} scripts a second");
        for (at, name) in ["admit", "settle"].into_iter().enumerate() {
            let mut times: Vec<Duration> = taken.iter().filter_map(|taken| taken.get(at).copied()).collect();
            times.sort_unstable();
            let percentile = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap();
            println!("  {name}: p50 {:?}, p99 {:?}", percentile(50), percentile(99));
        }
    }
}

/// How long admission and settling of one call take.
async fn call(replicas: &Replicas, key: VirtualKeyId) -> [Duration; 2] {
    let id = Uuid::now_v7();
    let start = Instant::now();
    let admission = replicas.admit(key, LIMITS, WANT, id).await.unwrap();
    let admitted = start.elapsed();
    let Admission::Granted(grant) = admission else { return [admitted, Duration::ZERO] };
    let record = Record { id: UsageRecordId(id), key, cost: Some(NanoUsd(900)), started_at: OffsetDateTime::now_utc() };
    let start = Instant::now();
    replicas.settle(&grant.lease.unwrap(), &[record], Keeps::Nothing).await.unwrap();
    [admitted, start.elapsed()]
}
