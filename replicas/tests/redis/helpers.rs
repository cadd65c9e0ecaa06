//! Gateways on a real Redis, and a database that is a map.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::ids::{UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value};
use replicas::{
    Admission, Budget, Grant, KeyLimits, Lease, Past, Reading, Record, Refusal, Replicas, Settings, Want, Window,
};
use time::OffsetDateTime;
use uuid::Uuid;

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The Redis that all tests share, each under a prefix of its own.
pub(crate) fn shared_url() -> String {
    std::env::var("ANTIPHON_TEST_REDIS_URL")
        .expect("ANTIPHON_TEST_REDIS_URL is not set: `make test` sets it, as does `scripts/redis-for-tests.sh start`")
}

pub(crate) fn settings(url: &str) -> Settings {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut settings = Settings::new(url.to_owned().into());
    settings.prefix = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    // A machine that compiles beside the tests is slow, and says nothing about the crate.
    settings.call_timeout = Duration::from_secs(20);
    settings
}

/// One gateway's connections.
pub(crate) async fn gateway(settings: &Settings) -> Replicas {
    let replicas = Replicas::connect(settings.clone()).unwrap().with_own_connection();
    assert!(replicas.wait_until_up(PATIENCE).await, "Redis does not answer");
    replicas
}

/// A gateway on the shared Redis.
pub(crate) async fn any_gateway() -> Replicas {
    gateway(&settings(&shared_url())).await
}

pub(crate) fn any_key() -> VirtualKeyId {
    VirtualKeyId(Uuid::now_v7())
}

pub(crate) fn budget(amount: i64, window: Window) -> KeyLimits {
    KeyLimits { budget: Some(Budget { amount: NanoUsd(amount), window }), ..KeyLimits::default() }
}

pub(crate) fn costs(amount: i64) -> Want {
    Want { cost: Some(NanoUsd(amount)), session: false }
}

pub(crate) const SESSION: Want = Want { cost: None, session: true };

/// A `UUIDv7` of a call that began so long ago.
pub(crate) fn id_from(ago: Duration) -> Uuid {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - ago;
    let (fresh, ms) = (Uuid::now_v7().as_u128(), at.as_millis());
    Uuid::from_u128((ms << 80) | (fresh & ((1 << 80) - 1)))
}

pub(crate) fn record(key: VirtualKeyId, id: Uuid, cost: i64) -> Record {
    let ms = i128::from(u64::try_from(id.as_u128() >> 80).unwrap());
    let started_at = OffsetDateTime::from_unix_timestamp_nanos(ms * 1_000_000).unwrap();
    Record { id: UsageRecordId(id), key, cost: Some(NanoUsd(cost)), started_at }
}

pub(crate) fn granted(admission: Admission) -> Grant {
    match admission {
        Admission::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

pub(crate) fn lease(admission: Admission) -> Lease {
    granted(admission).lease.expect("it holds something")
}

pub(crate) fn refused(admission: Admission) -> Refusal {
    match admission {
        Admission::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn needs_past(admission: Admission) -> Reading {
    match admission {
        Admission::NeedsPast(reading) => reading,
        other => panic!("the past is not asked for: {other:?}"),
    }
}

/// The ledger's table, which has each record once.
#[derive(Debug, Default)]
pub(crate) struct Database(Mutex<HashMap<Uuid, Record>>);

impl Database {
    pub(crate) fn insert(&self, records: &[Record]) {
        let mut rows = self.0.lock().unwrap();
        for record in records {
            rows.entry(record.id.0).or_insert(*record);
        }
    }

    /// What a reading gives.
    pub(crate) fn read(&self, reading: &Reading) -> (Past, Vec<Record>) {
        let rows = self.0.lock().unwrap();
        let of_key = || rows.values().filter(|record| record.key == reading.key);
        let below = |since: OffsetDateTime| {
            let all = of_key().filter(|record| record.id.0 < reading.before() && record.started_at >= since);
            NanoUsd(all.filter_map(|record| record.cost).map(|cost| cost.0).sum())
        };
        let past = Past {
            total: below(OffsetDateTime::UNIX_EPOCH),
            month: below(reading.month_start()),
            day: below(reading.day_start()),
        };
        (past, of_key().filter(|record| record.id.0 >= reading.before()).copied().collect())
    }
}

/// Admits as a gateway does: reads the past where it is asked for.
pub(crate) async fn admit(
    replicas: &Replicas,
    database: &Database,
    key: VirtualKeyId,
    limits: KeyLimits,
    want: Want,
) -> Admission {
    let call = Uuid::now_v7();
    loop {
        match replicas.admit(key, limits, want, call).await.unwrap() {
            Admission::NeedsPast(reading) => {
                let (past, present) = database.read(&reading);
                replicas.set_past(&reading, past, &present).await.unwrap();
            }
            admission => return admission,
        }
    }
}

/// What Redis says was spent and is reserved.
pub(crate) async fn sums(replicas: &Replicas, key: VirtualKeyId, window: Window) -> (i64, i64) {
    let sums = replicas.sums(key, window).await.unwrap();
    (sums.spent.0, sums.reserved.0)
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A plain client, to do to Redis what this crate never does.
pub(crate) async fn plain(url: &str) -> Client {
    let client =
        fred::types::Builder::from_config(fred::types::config::Config::from_url(url).unwrap()).build().unwrap();
    client.init().await.unwrap();
    client
}

pub(crate) async fn command(client: &Client, words: Vec<Value>) -> Value {
    let mut words = words.into_iter();
    let name = words.next().unwrap().into_string().unwrap();
    client.custom(CustomCommand::new(name, ClusterHash::FirstKey, false), words.collect()).await.unwrap()
}

/// All that lies under one prefix, as a snapshot on disk would have it.
#[derive(Debug, Clone)]
pub(crate) struct Copied(Vec<(Value, Value)>);

pub(crate) async fn take_copy(client: &Client, prefix: &str) -> Copied {
    let mut copied = Vec::new();
    for name in names(client, prefix).await {
        let dumped = command(client, vec!["DUMP".into(), name.clone()]).await;
        copied.push((name, dumped));
    }
    Copied(copied)
}

pub(crate) async fn empty(client: &Client, prefix: &str) {
    for name in names(client, prefix).await {
        command(client, vec!["DEL".into(), name]).await;
    }
}

/// Puts back exactly what the copy has.
pub(crate) async fn go_back(client: &Client, prefix: &str, copied: &Copied) {
    empty(client, prefix).await;
    for (name, dumped) in &copied.0 {
        command(client, vec!["RESTORE".into(), name.clone(), 0.into(), dumped.clone()]).await;
    }
}

/// Takes one thing that is known of a key away: the fence, or that a reading is under way, as if it took too long.
pub(crate) async fn forget(client: &Client, settings: &Settings, key: VirtualKeyId, field: &str) {
    let mut names = replicas::keys::Keys::new(&settings.prefix).of_key(key);
    for hash in [names.swap_remove(4), names.swap_remove(0)] {
        command(client, vec!["HDEL".into(), hash.into(), field.into()]).await;
    }
}

pub(crate) async fn names(client: &Client, prefix: &str) -> Vec<Value> {
    command(client, vec!["KEYS".into(), format!("{prefix}:*").into()]).await.into_array()
}

pub(crate) fn redis_cli(port: &str, words: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-p", port]).args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A Redis of one test's own, which ends with it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    dir: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::run("start")
    }

    pub(crate) fn cluster() -> Self {
        Self::run("cluster")
    }

    fn run(how: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/redis-for-tests.sh");
        let told = format!(
            "eval \"$({} {how})\"; echo $ANTIPHON_TEST_REDIS_URL; echo $ANTIPHON_TEST_REDIS_DIR",
            script.display()
        );
        let output = Command::new("sh").args(["-c", &told]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines().map(str::to_owned);
        let (Some(url), Some(dir)) = (lines.next(), lines.next()) else { panic!("{output:?}") };
        Self { url, dir }
    }

    /// Ends the one server at once and keeps its place.
    pub(crate) fn kill(&self) {
        let port = self.port();
        let pid = std::fs::read_to_string(format!("{}/{port}/pid", self.dir)).unwrap();
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    }

    /// Starts it again, with nothing in it.
    pub(crate) fn start_again(&self) {
        let port = self.port();
        let dir = format!("{}/{port}", self.dir);
        let (pid, log) = (format!("{dir}/pid"), format!("{dir}/log"));
        let args = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "yes", "--pidfile", &pid];
        let more = ["--dir", &dir, "--logfile", &log];
        assert!(Command::new("redis-server").args(args).args(more).status().unwrap().success());
    }

    /// Of each node.
    pub(crate) fn ports(&self) -> Vec<String> {
        let nodes = std::fs::read_dir(&self.dir).unwrap();
        nodes.map(|node| node.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(crate) fn port(&self) -> String {
        self.url.rsplit(':').next().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/redis-for-tests.sh");
        Command::new(script).args(["stop", &self.dir]).status().ok();
    }
}
