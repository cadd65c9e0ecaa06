use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{PriceId, ProviderId, VirtualKeyId};
use domain::pricing::{Price, Unit};
use domain::routing::Strategy;
use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;
use uuid::Uuid;

use super::*;
use crate::clock::simulated::Stopped;
use crate::pipeline::route::{of_account, route};
use crate::snapshot::{ListedPrice, PriceList, ProviderAccount, Route};

const ACME: TenantId = TenantId(Uuid::from_u128(1));
const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);
const OPERATIONS: [Operation; 6] = [
    Operation::Transcription,
    Operation::Translation,
    Operation::Speech,
    Operation::Realtime,
    Operation::Chat,
    Operation::Embeddings,
];
const KINDS: [ProviderKind; 9] = [
    ProviderKind::Openai,
    ProviderKind::Azure,
    ProviderKind::Groq,
    ProviderKind::Deepgram,
    ProviderKind::Elevenlabs,
    ProviderKind::Google,
    ProviderKind::Ultravox,
    ProviderKind::OpenaiCompatible,
    ProviderKind::Local,
];
const MODELS: [&str; 8] = [
    "whisper-1",
    "whisper-large-v3-turbo",
    "tts-1",
    "gpt-4o-mini",
    "gpt-realtime",
    "nova-3",
    "pocketsphinx",
    "never-heard-of",
];

fn target(provider: &str, model: &str) -> Target {
    Target {
        provider: provider.to_owned(),
        model: model.to_owned(),
        weight: 1,
        priority: 0,
        quality: None,
        region: None,
        options: BTreeMap::new(),
    }
}

fn account(name: &str, kind: ProviderKind) -> ProviderAccount {
    ProviderAccount {
        id: ProviderId(Uuid::now_v7()),
        tenant: None,
        name: name.to_owned(),
        kind,
        base_url: "https://provider.example".to_owned(),
        api_key: None,
        credential: None,
        region: Some("eu".to_owned()),
        allow_insecure: false,
    }
}

fn price(kind: ProviderKind, model: &str, operation: Operation, usd: u32) -> ListedPrice {
    let price =
        Price { id: PriceId(Uuid::now_v7()), unit: Unit::Request, usd: usd.into(), minimum_ms: 0, rounding_ms: 0 };
    let effective_from = OffsetDateTime::UNIX_EPOCH;
    ListedPrice { tenant: None, kind, model: model.to_owned(), operation, price, effective_from }
}

fn snapshot(accounts: &[(&str, ProviderKind)], strategy: impl Into<Strategies>, targets: Vec<Target>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, kind) in accounts {
        snapshot.insert_provider(account(name, *kind));
    }
    let (name, strategy) = ("asked".to_owned(), strategy.into());
    snapshot.insert_route(Arc::new(Route { name, tenant: None, strategy, targets, hedge: None }));
    snapshot
}

fn health() -> Health {
    Health::new(Duration::from_secs(3600))
}

/// A target as its health is kept.
fn candidate(snapshot: &Snapshot, target: &Target) -> Option<Candidate> {
    let account = snapshot.providers.get(&target.provider)?.account();
    let mut candidate = of_account(account, dialects::registry::provider(account.kind)?);
    candidate.target.model.clone_from(&target.model);
    Some(candidate)
}

fn explained(snapshot: &Snapshot, health: &Health, key: Option<&Key>, operation: Operation) -> Explanation {
    let scenario = Scenario { model: "asked".to_owned(), ..Scenario::default() };
    explain(snapshot, health, Asker { tenant: ACME, key }, operation, &scenario, NOW).unwrap()
}

/// Code of each target of the route, by provider; the kept ones have their place.
fn codes(explanation: &Explanation) -> Vec<(String, String)> {
    let told = |verdict: &Verdict| match &verdict.outcome {
        Outcome::Kept(kept) => kept.place.to_string(),
        Outcome::Dropped(reason) => reason.code.to_owned(),
    };
    explanation.targets.iter().map(|verdict| (verdict.target.provider.clone(), told(verdict))).collect()
}

fn pairs(told: &[(&str, &str)]) -> Vec<(String, String)> {
    told.iter().map(|(provider, code)| ((*provider).to_owned(), (*code).to_owned())).collect()
}

fn key(change: impl FnOnce(&mut Key)) -> Key {
    let mut key = Key {
        id: VirtualKeyId(Uuid::from_u128(9)),
        tenant: ACME,
        name: "test".to_owned(),
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
    };
    change(&mut key);
    key
}

#[test]
fn each_target_is_told_why_it_is_left_out() {
    let accounts = [
        ("openai", ProviderKind::Openai),
        ("broken", ProviderKind::Openai),
        ("deepgram", ProviderKind::Deepgram),
        ("ultravox", ProviderKind::Ultravox),
        ("groq", ProviderKind::Groq),
    ];
    let targets = ["gone", "broken", "ultravox", "groq", "deepgram", "openai"].map(|name| target(name, "whisper-1"));
    let mut snapshot = snapshot(&accounts, Strategy::Latency, targets.to_vec());
    snapshot.prices = PriceList::new([price(ProviderKind::Openai, "whisper-1", Operation::Transcription, 2)]);
    let health = health();
    let broken = candidate(&snapshot, &targets[1]).unwrap();
    for _ in 0..5 {
        health.failed(&broken, Operation::Transcription, Duration::ZERO);
    }
    let openai = candidate(&snapshot, &targets[5]).unwrap();
    health.succeeded(&openai, Operation::Transcription, Duration::from_millis(250));

    let scenario = Scenario {
        model: "asked".to_owned(),
        format: Some("vtt".to_owned()),
        streaming: false,
        region: Some("eu".to_owned()),
        ..Scenario::default()
    };
    let asker = Asker { tenant: ACME, key: None };
    let told = explain(&snapshot, &health, asker, Operation::Transcription, &scenario, NOW).unwrap();
    assert_eq!(told.strategy, Some(Strategy::Latency.into()));
    let left_out = [("gone", "provider_missing"), ("broken", "breaker_open"), ("ultravox", "operation_unsupported")];
    let order = [("groq", "1"), ("openai", "2"), ("deepgram", "3")];
    assert_eq!(codes(&told), pairs(&[order, left_out].concat()), "one that is unmeasured goes first to be measured");
    let Outcome::Kept(kept) = told.targets[1].outcome else { panic!("{:?}", told.targets[1]) };
    assert!(!kept.measures && !kept.ejected);
    assert_eq!((kept.ttfb_ms, kept.cost, kept.in_region), (Some(250.0), Some(NanoUsd(2_000_000_000)), true));
    let Outcome::Kept(kept) = told.targets[0].outcome else { panic!("{:?}", told.targets[0]) };
    assert_eq!((kept.ttfb_ms, kept.cost, kept.measures), (None, None, true), "what is unknown is not zero");
    assert_eq!((told.targets[0].kind, told.targets[3].kind), (Some(ProviderKind::Groq), None));
}

#[test]
fn what_a_target_cannot_say_is_named_by_its_field() {
    let accounts = [("local", ProviderKind::Local), ("openai", ProviderKind::Openai)];
    let snapshot = snapshot(&accounts, Strategy::Priority, vec![target("local", "flite"), target("openai", "tts-1")]);
    let asker = Asker { tenant: ACME, key: None };
    for (format, characters, expected) in [
        (None, None, [("local", "1"), ("openai", "2")]),
        (Some("mp3"), None, [("openai", "1"), ("local", "format_unsupported")]),
        (Some("wav"), Some(90_000), [("local", "text_unsupported"), ("openai", "text_unsupported")]),
    ] {
        let format = format.map(str::to_owned);
        let scenario = Scenario { model: "asked".to_owned(), format, characters, ..Scenario::default() };
        let told = explain(&snapshot, &health(), asker, Operation::Speech, &scenario, NOW).unwrap();
        assert_eq!(codes(&told), pairs(&expected), "{scenario:?}: {told:?}");
        let refused = told.refused.map(|refused| (refused.status, refused.code));
        assert_eq!(refused, characters.map(|_| (400, "invalid_request")));
    }
    let session = Scenario { model: "local/pocketsphinx".to_owned(), ..Scenario::default() };
    let told = explain(&snapshot, &health(), asker, Operation::Realtime, &session, NOW).unwrap();
    assert_eq!(codes(&told), pairs(&[("local", "session_unsupported")]));
    let session = Scenario { transcription_session: true, ..session };
    let told = explain(&snapshot, &health(), asker, Operation::Realtime, &session, NOW).unwrap();
    assert_eq!(codes(&told), pairs(&[("local", "1")]));
}

#[test]
fn the_policy_of_a_key_is_a_reason() {
    let accounts = [("openai", ProviderKind::Openai), ("azure", ProviderKind::Azure)];
    let mut snapshot =
        snapshot(&accounts, Strategy::Priority, vec![target("openai", "gpt-4o-mini"), target("azure", "gpt-4o-mini")]);
    snapshot.prices = PriceList::new([price(ProviderKind::Openai, "gpt-4o-mini", Operation::Chat, 1)]);
    let strict = key(|key| key.refuse_unpriced = true);
    let told = explained(&snapshot, &health(), Some(&strict), Operation::Chat);
    let expected = [("openai", "other_target_unpriced"), ("azure", "unpriced_refused")];
    assert_eq!(codes(&told), pairs(&expected));
    assert_eq!(told.refused.map(|refused| (refused.status, refused.code)), Some((403, "model_unpriced")));

    for (narrow, code) in [
        (key(|key| key.models = vec!["other-*".to_owned()]), "model_not_allowed"),
        (key(|key| key.operations = vec![Operation::Speech]), "operation_not_allowed"),
    ] {
        let told = explained(&snapshot, &health(), Some(&narrow), Operation::Chat);
        assert_eq!(codes(&told), pairs(&[("openai", "key_not_allowed"), ("azure", "key_not_allowed")]));
        assert_eq!(told.refused.map(|refused| (refused.status, refused.code)), Some((403, code)));
    }
    let ordered = |key| {
        let asked =
            Scenario { strategy: Some(Strategy::Quality.into()), model: "asked".to_owned(), ..Scenario::default() };
        explain(&snapshot, &health(), Asker { tenant: ACME, key: Some(&key) }, Operation::Chat, &asked, NOW).unwrap()
    };
    assert_eq!(ordered(key(|_| {})).refused.map(|refused| refused.code), Some("strategy_not_allowed"));
    assert_eq!(ordered(key(|key| key.allow_strategy = true)).strategy, Some(Strategy::Quality.into()));
    let unknown = Scenario { model: "nothing".to_owned(), ..Scenario::default() };
    let asker = Asker { tenant: ACME, key: None };
    let told = explain(&snapshot, &health(), asker, Operation::Chat, &unknown, NOW).unwrap();
    assert_eq!((told.strategy, told.targets.len()), (None, 0));
    assert_eq!(told.refused.map(|refused| (refused.status, refused.code)), Some((404, "model_not_found")));
}

#[test]
fn a_scenario_that_is_no_call_is_refused() {
    let snapshot = snapshot(&[("openai", ProviderKind::Openai)], Strategy::Priority, vec![target("openai", "tts-1")]);
    let asker = Asker { tenant: ACME, key: None };
    let of = |scenario: Scenario, operation| explain(&snapshot, &health(), asker, operation, &scenario, NOW);
    let asked = || Scenario { model: "asked".to_owned(), ..Scenario::default() };
    let long = Scenario { characters: Some(u64::MAX), ..asked() };
    let format = Scenario { format: Some("avi".to_owned()), ..asked() };
    for (scenario, operation) in
        [(long, Operation::Speech), (format, Operation::Speech), (asked(), Operation::Passthrough)]
    {
        assert_eq!(of(scenario, operation).unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
}

/// A target with what its health has seen: failures, and a time to first byte.
type Seen = (Target, u32, Option<u32>);

fn a_target() -> impl proptest::strategy::Strategy<Value = Seen> {
    let place = (0..KINDS.len() + 1, prop::sample::select(MODELS.to_vec()));
    let sorting =
        (0..3_u32, -1..3_i32, prop::option::of(0..4_u8), prop::option::of(prop::sample::select(vec!["eu", "us"])));
    let health = (prop_oneof![3 => Just(0_u32), 1 => Just(5)], prop::option::of(1..5_u32));
    (place, sorting, health).prop_map(|((provider, model), (weight, priority, quality, region), (failures, ttfb))| {
        let provider = KINDS.get(provider).map_or("gone", |kind| kind.as_str());
        let quality = quality.map(|quality| f64::from(quality) / 4.0);
        let target = Target { weight, priority, quality, region: region.map(str::to_owned), ..target(provider, model) };
        (target, failures, ttfb)
    })
}

proptest! {
    #[test]
    fn what_is_explained_is_what_is_decided(
        seen in prop::collection::vec(a_target(), 0..7),
        (first, second) in prop::sample::subsequence(Strategy::ALL.to_vec(), 2).prop_map(|two| (two[0], two[1])),
        swapped in any::<bool>(),
        operation in prop::sample::select(OPERATIONS.to_vec()),
        priced in prop::collection::vec(prop::option::of(1..4_u32), KINDS.len() * MODELS.len()),
        transcription_session in any::<bool>(),
        draws in 0..5_u32,
    ) {
        let both = if swapped { [second, first] } else { [first, second] };
        let strategy = Strategies::new(both).unwrap_or(first.into());
        let accounts = KINDS.map(|kind| (kind.as_str(), kind));
        let targets: Vec<Target> = seen.iter().map(|(target, ..)| target.clone()).collect();
        let mut snapshot = snapshot(&accounts, strategy, targets.clone());
        let subjects = KINDS.iter().flat_map(|kind| MODELS.iter().map(move |model| (*kind, *model)));
        let rows = subjects.zip(&priced).filter_map(|((kind, model), usd)| Some(price(kind, model, operation, (*usd)?)));
        snapshot.prices = PriceList::new(rows);
        // Asked twice at one moment; what is known at another may be otherwise.
        let clock = Stopped::now();
        let health = health();
        for (target, failures, ttfb) in &seen {
            let Some(candidate) = candidate(&snapshot, target) else { continue };
            clock.passes(Duration::from_millis(1));
            if let Some(ttfb) = ttfb {
                health.succeeded(&candidate, operation, Duration::from_millis(u64::from(*ttfb)));
            }
            for _ in 0..*failures {
                health.failed(&candidate, operation, Duration::ZERO);
            }
        }
        for _ in 0..draws {
            health.draws();
        }

        let region = Some("eu".to_owned());
        let scenario = Scenario { model: "asked".to_owned(), region, transcription_session, ..Scenario::default() };
        let told = explain(&snapshot, &health, Asker { tenant: ACME, key: None }, operation, &scenario, NOW).unwrap();
        let question = Question {
            snapshot: &snapshot,
            health: &health,
            tenant: ACME,
            operation,
            model: "asked",
            pinned: None,
            region: Some("eu"),
            strategy: None,
            conversation: None,
            at: NOW,
            refuses_unpriced: false,
            handed: None,
        };
        // Every price is for a request, so the amount of use decides nothing.
        let expected = estimate::transcription(1);
        let routed = route(&question, &expected, &mut ());

        prop_assert_eq!(told.targets.len(), targets.len(), "each target once");
        let kept = told.targets.iter().take_while(|verdict| matches!(verdict.outcome, Outcome::Kept(_)));
        let kept: Vec<&Target> = kept.map(|verdict| &verdict.target).collect();
        let rest = &told.targets[kept.len()..];
        let unable: Vec<&Target> = rest
            .iter()
            .filter(|verdict| match &verdict.outcome {
                Outcome::Kept(_) => panic!("a kept target behind one that is left out"),
                Outcome::Dropped(reason) => reason.code == "session_unsupported" || reason.code.ends_with("_unsupported")
                    && !reason.message.ends_with("does not do this."),
            })
            .map(|verdict| &verdict.target)
            .collect();
        match routed {
            Ok(routed) => {
                let able = routed.iter().map(|candidate| &candidate.target).filter(|target| !unable.contains(target));
                prop_assert_eq!(&able.collect::<Vec<_>>(), &kept);
                prop_assert_eq!(routed.len(), kept.len() + unable.len());
                prop_assert_eq!(told.refused.is_some(), kept.is_empty());
            }
            Err(error) => {
                let refused = told.refused.unwrap();
                prop_assert_eq!(refused.message.as_str(), error.message());
                prop_assert!(kept.is_empty() && unable.is_empty());
            }
        }
    }
}
