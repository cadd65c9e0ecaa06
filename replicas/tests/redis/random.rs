//! Whatever happens in whatever order: no record is counted twice, and in the end each is counted.

use std::time::Duration;

use domain::ids::VirtualKeyId;
use fred::clients::Client;
use replicas::{Keeps, Lease, Reading, Record, Replicas, Settings, Window};
use uuid::Uuid;

use super::helpers::{
    Copied, Database, any_key, budget, costs, empty, forget, gateway, go_back, id_from, needs_past, plain, record,
    settings, shared_url, take_copy,
};

/// As many powers of four as an amount holds.
const MOST_RECORDS: usize = 31;
/// The lower bit of each digit to the base of four.
const ONCE: i64 = 0x1555_5555_5555_5555;

/// Numbers that a seed decides.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

struct World {
    settings: Settings,
    gateways: [Replicas; 3],
    client: Client,
    database: Database,
    key: VirtualKeyId,
    leases: Vec<Lease>,
    /// Every record that there is; those from `journaled` on are not in the database yet.
    records: Vec<Record>,
    journaled: Vec<Record>,
    readings: Vec<(Reading, replicas::Past, Vec<Record>)>,
    copied: Option<Copied>,
}

impl World {
    async fn step(&mut self, numbers: &mut Numbers) {
        let replicas = self.gateways.iter().cycle().nth(numbers.below(3)).unwrap().clone();
        match numbers.below(13) {
            12 => forget(&self.client, &self.settings, self.key, "reading").await,
            0..=2 => self.admit(&replicas, numbers).await,
            3 | 4 => self.settle(&replicas, numbers).await,
            5 | 6 => self.commit(&replicas, numbers).await,
            7 => self.replay(&replicas, numbers).await,
            8 | 9 => self.set_past(&replicas, numbers).await,
            10 if numbers.below(4) == 0 => empty(&self.client, &self.settings.prefix).await,
            10 => self.copied = Some(take_copy(&self.client, &self.settings.prefix).await),
            _ => {
                if let Some(copied) = &self.copied
                    && numbers.below(3) == 0
                {
                    go_back(&self.client, &self.settings.prefix, copied).await;
                }
            }
        }
    }

    async fn admit(&mut self, replicas: &Replicas, numbers: &mut Numbers) {
        let limits = budget(i64::MAX, Window::Total);
        // Calls that began up to an hour ago, as if they were long or their gateway's clock wrong.
        let call = id_from(Duration::from_secs(60 * u64::try_from(numbers.below(60)).unwrap()));
        match replicas.admit(self.key, limits, costs(5), call).await.unwrap() {
            replicas::Admission::Granted(grant) => {
                self.leases.extend(grant.lease);
                self.note(grant.refresh);
            }
            replicas::Admission::NeedsPast(reading) => self.note(Some(reading)),
            replicas::Admission::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    /// The database is read at once and may be told of much later.
    fn note(&mut self, reading: Option<Reading>) {
        if let Some(reading) = reading {
            let (past, present) = self.database.read(&reading);
            self.readings.push((reading, past, present));
        }
    }

    async fn settle(&mut self, replicas: &Replicas, numbers: &mut Numbers) {
        if self.leases.is_empty() || self.records.len() == MOST_RECORDS {
            return;
        }
        let lease = self.leases.swap_remove(numbers.below(self.leases.len()));
        // Powers of four, so that a digit of the sum is how often that record is counted.
        let cost = 1_i64 << (2 * self.records.len());
        let spent = record(self.key, lease.call, cost);
        self.records.push(spent);
        self.journaled.push(spent);
        // Now and then Redis does not hear of it, or twice.
        for _ in 0..numbers.below(3) {
            replicas.settle(&lease, &[spent], Keeps::Nothing).await.unwrap();
        }
    }

    async fn commit(&mut self, replicas: &Replicas, numbers: &mut Numbers) {
        let some = self.journaled.split_off(numbers.below(self.journaled.len() + 1));
        self.database.insert(&some);
        if numbers.below(5) > 0 {
            replicas.committed(&some).await.unwrap();
        }
    }

    async fn replay(&mut self, replicas: &Replicas, numbers: &mut Numbers) {
        if self.records.is_empty() {
            return;
        }
        let some = self.records.iter().skip(numbers.below(self.records.len())).copied().collect::<Vec<_>>();
        self.database.insert(&some);
        self.journaled.retain(|record| !some.contains(record));
        replicas.committed(&some).await.unwrap();
    }

    async fn set_past(&mut self, replicas: &Replicas, numbers: &mut Numbers) {
        if self.readings.is_empty() {
            return;
        }
        let (reading, past, mut present) = self.readings.swap_remove(numbers.below(self.readings.len()));
        present.truncate(numbers.below(present.len() + 1));
        replicas.set_past(&reading, past, &present).await.unwrap();
    }

    async fn spent(&self) -> i64 {
        self.gateways[0].sums(self.key, Window::Total).await.unwrap().spent.0
    }

    fn truth(&self) -> i64 {
        self.records.iter().map(|record| record.cost.unwrap().0).sum()
    }
}

async fn world(lease_ttl: Duration) -> World {
    let url = shared_url();
    let mut settings = settings(&url);
    settings.lag = Duration::from_secs(120);
    settings.lease_ttl = lease_ttl;
    settings.max_lag = Duration::from_secs(1_800);
    let gateways = [gateway(&settings).await, gateway(&settings).await, gateway(&settings).await];
    let client = plain(&url).await;
    World {
        settings,
        gateways,
        client,
        database: Database::default(),
        key: any_key(),
        leases: Vec::new(),
        records: Vec::new(),
        journaled: Vec::new(),
        readings: Vec::new(),
        copied: None,
    }
}

#[tokio::test]
async fn nothing_is_counted_twice_and_a_reading_finds_everything() {
    for seed in 1..=40_u64 {
        // A lease that lives longer than the horizon lags behind holds it back from its beginning.
        let mut world = world(Duration::from_secs(if seed % 2 == 0 { 30 } else { 300 })).await;
        let mut numbers = Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for _ in 0..60 {
            world.step(&mut numbers).await;
            let (spent, truth) = (world.spent().await, world.truth());
            assert!(spent & !ONCE == 0 && spent & !truth == 0, "seed {seed}: {spent:b} of {truth:b}");
        }
        // All that was on its way arrives, and the past is read once more.
        let on_the_way = std::mem::take(&mut world.journaled);
        world.database.insert(&on_the_way);
        world.gateways[1].committed(&on_the_way).await.unwrap();
        // The gateway has seen a fence then; without it the data seems to have gone back, so that a reading is given.
        let ask = || world.gateways[2].admit(world.key, budget(i64::MAX, Window::Total), costs(0), Uuid::now_v7());
        let first = ask().await.unwrap();
        forget(&world.client, &world.settings, world.key, "fence").await;
        let reading = match first {
            replicas::Admission::NeedsPast(reading) => reading,
            _ => needs_past(ask().await.unwrap()),
        };
        let (past, present) = world.database.read(&reading);
        assert!(world.gateways[2].set_past(&reading, past, &present).await.unwrap(), "seed {seed}");
        assert_eq!(world.spent().await, world.truth(), "seed {seed}");
    }
}
