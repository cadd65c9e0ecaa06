//! What a world consists of: keys, providers, models and prices, as a seed draws them.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ids::{PriceId, ProviderId, TenantId, VirtualKeyId};
use domain::key::KeyHash;
use domain::money::NanoUsd;
use domain::price_list::{ListedPrice, PriceList};
use domain::pricing::{Price, Unit};
use domain::provider::{Operation, ProviderKind};
use domain::routing::{Strategies, Strategy};
use rust_decimal::Decimal;
use time::OffsetDateTime;
use uuid::Uuid;

use super::book::Tariff;
use super::rng::Rng;
use crate::pipeline::route::plain_target;
use crate::snapshot::{Budget, BudgetWindow, Key, ProviderAccount, Route, Snapshot};

pub(super) const TENANT: TenantId = TenantId(Uuid::from_u128(1));
pub(super) const PROVIDERS: usize = 3;

/// A name that clients ask for, what is done under it, and how it is billed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) operation: Operation,
    tariff: Tariff,
    providers: &'static [usize],
}

const NOTHING: Tariff = Tariff { character: 0, text_in: 0, text_out: 0, audio_in: 0, audio_out: 0 };
pub(super) const MODELS: [Model; 5] = [
    Model {
        name: "voice",
        operation: Operation::Speech,
        tariff: Tariff { character: 15_000, ..NOTHING },
        providers: &[0, 1, 2],
    },
    Model {
        name: "chat",
        operation: Operation::Chat,
        tariff: Tariff { text_in: 1_000, text_out: 4_000, ..NOTHING },
        providers: &[1, 2],
    },
    Model {
        name: "lone",
        operation: Operation::Speech,
        tariff: Tariff { character: 30_000, ..NOTHING },
        providers: &[2],
    },
    Model { name: "unpriced", operation: Operation::Speech, tariff: NOTHING, providers: &[0, 1] },
    Model {
        name: "talk",
        operation: Operation::Realtime,
        tariff: Tariff { text_in: 1_000, text_out: 2_000, audio_in: 10_000, audio_out: 20_000, ..NOTHING },
        providers: &[0, 2],
    },
];

/// The model of a target: each provider has a price of its own.
fn target_model(model: &Model, provider: usize) -> String {
    format!("{}-{provider}", model.name)
}

/// What the target's model costs.
pub(super) fn tariff(target: &str) -> Tariff {
    let (name, provider) = target.rsplit_once('-').unwrap();
    let factor = provider.parse::<i64>().unwrap() + 1;
    let of = MODELS.iter().find(|model| model.name == name).unwrap().tariff;
    Tariff {
        character: of.character * factor,
        text_in: of.text_in * factor,
        text_out: of.text_out * factor,
        audio_in: of.audio_in * factor,
        audio_out: of.audio_out * factor,
    }
}

pub(super) fn provider_name(provider: usize) -> String {
    format!("provider{provider}")
}

/// The policies in force, from which a view is made.
#[derive(Debug, Clone)]
pub(super) struct Policies {
    /// `None` once it is revoked.
    pub(super) keys: Vec<Option<Key>>,
    strategies: Vec<Strategies>,
    /// The largest budget that each key has had; `None` for one that was ever without.
    largest: Vec<Option<i64>>,
}

impl Policies {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let keys: Vec<Option<Key>> = (0..4).map(|index| Some(draw_key(rng, index))).collect();
        let budget = |key: &Option<Key>| key.as_ref().and_then(|key| key.budget).map(|budget| budget.amount.0);
        let largest = keys.iter().map(budget).collect();
        let strategies = MODELS
            .iter()
            .map(|_| match rng.below(5) {
                0 => Strategies::only(Strategy::Latency),
                1 => Strategies::only(Strategy::Cost),
                2 => Strategies::only(Strategy::Weighted),
                3 => Strategies::new([Strategy::Geographic, Strategy::Cost]).unwrap(),
                _ => Strategies::default(),
            })
            .collect();
        Self { keys, strategies, largest }
    }

    /// Keeps the largest budgets, after a change.
    pub(super) fn note_budgets(&mut self) {
        for (key, largest) in self.keys.iter().zip(&mut self.largest) {
            let budget = key.as_ref().and_then(|key| key.budget);
            if let (Some(budget), Some(largest)) = (budget, largest) {
                *largest = budget.amount.0.max(*largest);
            }
        }
    }

    pub(super) fn largest_budget(&self, key: usize) -> Option<i64> {
        self.largest[key]
    }

    /// The view that a gateway takes.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { prices: PriceList::new(prices()), ..Snapshot::default() };
        for (index, key) in self.keys.iter().enumerate() {
            if let Some(key) = key {
                snapshot.insert_key(KeyHash([u8::try_from(index).unwrap(); 32]), key.clone());
            }
        }
        for provider in 0..PROVIDERS {
            snapshot.insert_provider(account(provider));
        }
        for (model, strategy) in MODELS.iter().zip(&self.strategies) {
            let targets = model.providers.iter();
            let targets = targets.map(|index| plain_target(&provider_name(*index), &target_model(model, *index)));
            snapshot.insert_route(Arc::new(Route {
                name: model.name.to_owned(),
                tenant: None,
                strategy: *strategy,
                targets: targets.collect(),
                hedge: None,
            }));
        }
        snapshot
    }
}

pub(super) fn key_id(index: usize) -> VirtualKeyId {
    VirtualKeyId(Uuid::from_u128(100 + index as u128))
}

/// A key without limits.
pub(crate) fn bare_key(index: usize) -> Key {
    Key {
        id: key_id(index),
        tenant: TENANT,
        name: format!("key{index}"),
        operations: Vec::new(),
        models: Vec::new(),
        requests_per_minute: None,
        max_concurrent_sessions: None,
        budget: None,
        max_upload_bytes: None,
        expires_at: None,
        refuse_unpriced: false,
        passthrough: false,
        allow_strategy: false,
    }
}

fn draw_key(rng: &mut Rng, index: usize) -> Key {
    Key {
        requests_per_minute: rng.pick(&[None, Some(3), Some(12), Some(300)]),
        max_concurrent_sessions: rng.pick(&[None, Some(1), Some(2)]),
        budget: draw_budget(rng),
        refuse_unpriced: rng.percent(10),
        ..bare_key(index)
    }
}

/// A budget, or none. Amounts hold from a few calls to most of what a run makes.
pub(super) fn draw_budget(rng: &mut Rng) -> Option<Budget> {
    let window = rng.pick(&[
        None,
        Some(BudgetWindow::Total),
        Some(BudgetWindow::Total),
        Some(BudgetWindow::Daily),
        Some(BudgetWindow::Monthly),
    ])?;
    Some(Budget { amount: draw_amount(rng), window })
}

pub(super) fn draw_amount(rng: &mut Rng) -> NanoUsd {
    NanoUsd(rng.pick(&[20_000_000, 150_000_000, 500_000_000, 3_000_000_000, 50_000_000_000]))
}

fn account(provider: usize) -> ProviderAccount {
    ProviderAccount {
        id: ProviderId(Uuid::from_u128(200 + provider as u128)),
        tenant: None,
        name: provider_name(provider),
        kind: ProviderKind::Openai,
        base_url: "https://example.com".to_owned(),
        api_key: None,
        credential: None,
        region: None,
        allow_insecure: false,
    }
}

fn prices() -> Vec<ListedPrice> {
    let mut rows = BTreeMap::new();
    for model in &MODELS {
        for provider in model.providers {
            let name = target_model(model, *provider);
            let tariff = tariff(&name);
            let units = [
                (Unit::MillionCharacters, tariff.character),
                (Unit::TextIn, tariff.text_in),
                (Unit::TextOut, tariff.text_out),
                (Unit::AudioIn, tariff.audio_in),
                (Unit::AudioOut, tariff.audio_out),
            ];
            for (unit, nano) in units.into_iter().filter(|(_, nano)| *nano > 0) {
                let id = PriceId(Uuid::from_u128(1_000 + rows.len() as u128));
                // So many nano-dollars for one are a thousandth of it in dollars for a million.
                let price = Price { id, unit, usd: Decimal::new(nano, 3), minimum_ms: 0, rounding_ms: 0 };
                let listed = ListedPrice {
                    tenant: None,
                    kind: ProviderKind::Openai,
                    model: name.clone(),
                    operation: model.operation,
                    price,
                    effective_from: OffsetDateTime::UNIX_EPOCH,
                };
                rows.insert((name.clone(), unit.as_str()), listed);
            }
        }
    }
    rows.into_values().collect()
}
