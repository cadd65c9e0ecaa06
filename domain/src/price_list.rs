//! The price list as a call asks it: what is in force for a tenant, a model and an operation at a
//! moment.
//!
//! A list is worked out once, when a view is loaded: for each model and operation the moments at
//! which its prices change, and what is in force from each of them on. A call then finds its prices
//! by one look at a map and a few comparisons, and borrows them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::ids::TenantId;
use crate::pricing::{Basis, Price, Unit};
use crate::provider::{Operation, ProviderKind};
use time::OffsetDateTime;

/// A row of the price list.
#[derive(Debug, Clone)]
pub struct ListedPrice {
    /// Whose price; `None` for the platform's, which holds for every tenant that has none of its own.
    pub tenant: Option<TenantId>,
    /// Kind of the provider.
    pub kind: ProviderKind,
    /// The provider's model.
    pub model: String,
    /// For which operation.
    pub operation: Operation,
    /// The price.
    pub price: Price,
    /// From this moment on, until the next row of the same unit.
    pub effective_from: OffsetDateTime,
}

/// Prices by tenant, provider kind, model and operation, at any time.
#[derive(Debug, Default)]
pub struct PriceList {
    platform: Book,
    /// Only what a tenant has rows for, the platform's rows beside them included.
    tenants: HashMap<TenantId, Book>,
    nothing: Arc<[Price]>,
}

/// By model; few kinds and operations share a model's name.
type Book = HashMap<String, Vec<(ProviderKind, Operation, Vec<Period>)>>;

/// What is in force from a moment until the next period.
#[derive(Debug)]
struct Period {
    from: OffsetDateTime,
    prices: Arc<[Price]>,
}

impl PriceList {
    /// The list of these rows: every one in force at any moment that is asked for.
    #[must_use]
    pub fn new(rows: impl IntoIterator<Item = ListedPrice>) -> Self {
        let mut platform: BTreeMap<Subject, Vec<ListedPrice>> = BTreeMap::new();
        let mut tenants: BTreeMap<(TenantId, Subject), Vec<ListedPrice>> = BTreeMap::new();
        for row in rows {
            let subject = (row.model.clone(), row.kind, row.operation);
            match row.tenant {
                None => platform.entry(subject).or_default().push(row),
                Some(tenant) => tenants.entry((tenant, subject)).or_default().push(row),
            }
        }
        let mut list = Self::default();
        for ((tenant, subject), own) in &tenants {
            let general = platform.get(subject).map_or(&[][..], Vec::as_slice);
            enter(list.tenants.entry(*tenant).or_default(), subject, periods(own, general));
        }
        for (subject, rows) in &platform {
            enter(&mut list.platform, subject, periods(&[], rows));
        }
        list
    }

    /// The prices in force at `now`, one of each unit; none where the model is unpriced. A tenant's
    /// own row goes before the platform's of the same unit, whichever is newer. Of time or characters and
    /// tokens the one with the newest row is in force, a tenant's own before the platform's here too.
    #[must_use]
    pub fn at(
        &self,
        tenant: TenantId,
        kind: ProviderKind,
        model: &str,
        operation: Operation,
        now: OffsetDateTime,
    ) -> &Arc<[Price]> {
        let own = self.tenants.get(&tenant).and_then(|book| find(book, kind, model, operation));
        let periods = own.or_else(|| find(&self.platform, kind, model, operation)).unwrap_or_default();
        let begun = periods.partition_point(|period| period.from <= now);
        let current = begun.checked_sub(1).and_then(|index| periods.get(index));
        current.map_or(&self.nothing, |period| &period.prices)
    }

    /// The prices that a use at `now` is billed by. A model without a price of its own has its family's; a
    /// translation, and a model of no family inside a realtime session, then has its price as transcription.
    #[must_use]
    pub fn billed_at(
        &self,
        tenant: TenantId,
        kind: ProviderKind,
        names: Names<'_>,
        operation: Operation,
        now: OffsetDateTime,
    ) -> &Arc<[Price]> {
        let of = |model: &str, operation| self.at(tenant, kind, model, operation, now);
        let mut found = of(names.model, operation);
        if let (true, Some(family)) = (found.is_empty(), names.family) {
            found = of(family, operation);
        }
        match (operation, names.family) {
            (Operation::Translation, _) | (Operation::Realtime, None) if found.is_empty() => {
                of(names.model, Operation::Transcription)
            }
            _ => found,
        }
    }
}

/// Under which names a model is priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names<'a> {
    /// Its own.
    pub model: &'a str,
    /// That of its family, where its vendor prices by families, as agents are.
    pub family: Option<&'a str>,
}

type Subject = (String, ProviderKind, Operation);

fn enter(book: &mut Book, (model, kind, operation): &Subject, periods: Vec<Period>) {
    book.entry(model.clone()).or_default().push((*kind, *operation, periods));
}

fn find<'a>(book: &'a Book, kind: ProviderKind, model: &str, operation: Operation) -> Option<&'a [Period]> {
    let entries = book.get(model)?.iter();
    let mut matching = entries.filter(|(of_kind, of_operation, _)| *of_kind == kind && *of_operation == operation);
    matching.next().map(|(.., periods)| periods.as_slice())
}

/// What is in force from each moment at which anything changes.
fn periods(own: &[ListedPrice], general: &[ListedPrice]) -> Vec<Period> {
    let moments: BTreeSet<OffsetDateTime> = own.iter().chain(general).map(|row| row.effective_from).collect();
    moments.into_iter().map(|from| Period { from, prices: in_force(own, general, from) }).collect()
}

fn in_force(own: &[ListedPrice], general: &[ListedPrice], now: OffsetDateTime) -> Arc<[Price]> {
    let mut chosen: BTreeMap<&'static str, &ListedPrice> = newest(general, now);
    chosen.extend(newest(own, now));
    let followed = followed(own, now).or_else(|| followed(general, now));
    let stands = |row: &&ListedPrice| followed != Some(row.price.unit.basis());
    chosen.into_values().filter(stands).map(|row| row.price.clone()).collect()
}

/// Of time or characters and tokens the one that the other has followed; none where no row says which counts.
fn followed(rows: &[ListedPrice], now: OffsetDateTime) -> Option<Basis> {
    let newest = |basis: Basis| {
        let begun = rows.iter().filter(|row| row.effective_from <= now && row.price.unit.basis() == basis);
        begun.map(|row| row.effective_from).max()
    };
    match (newest(Basis::Flat), newest(Basis::Tokens)) {
        (None, None) => None,
        // Of one moment, time and characters stand.
        (flat, tokens) => Some(if flat >= tokens { Basis::Tokens } else { Basis::Flat }),
    }
}

/// The newest row of each measure that has begun by `now`. Of two of one moment the later id wins,
/// so that every replica takes the same one.
fn newest(rows: &[ListedPrice], now: OffsetDateTime) -> BTreeMap<&'static str, &ListedPrice> {
    let age = |row: &ListedPrice| (row.effective_from, row.price.id);
    let mut newest: BTreeMap<&'static str, &ListedPrice> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.effective_from <= now) {
        let best = newest.entry(measure(row.price.unit)).or_insert(row);
        if age(row) > age(best) {
            *best = row;
        }
    }
    newest
}

/// What a unit measures. Audio is billed by the hour, the minute or the second, never by two of
/// them, so a price in one replaces a price in another.
const fn measure(unit: Unit) -> &'static str {
    match unit {
        Unit::AudioHour | Unit::AudioMinute | Unit::AudioSecond => "audio",
        _ => unit.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PriceId;
    use time::macros::datetime;
    use uuid::Uuid;

    const ACME: TenantId = TenantId(Uuid::from_u128(1));
    const OTHER: TenantId = TenantId(Uuid::from_u128(2));
    const NOW: OffsetDateTime = datetime!(2026-06-15 12:00 UTC);

    fn row(tenant: Option<TenantId>, unit: Unit, usd: &str, effective_from: OffsetDateTime) -> ListedPrice {
        let id = PriceId(Uuid::now_v7());
        let price = Price { id, unit, usd: usd.parse().unwrap(), minimum_ms: 0, rounding_ms: 0 };
        let (kind, operation) = (ProviderKind::Openai, Operation::Transcription);
        ListedPrice { tenant, kind, model: "whisper-1".to_owned(), operation, price, effective_from }
    }

    fn at(list: &PriceList, tenant: TenantId, now: OffsetDateTime) -> Vec<(Unit, String)> {
        let prices = list.at(tenant, ProviderKind::Openai, "whisper-1", Operation::Transcription, now);
        prices.iter().map(|price| (price.unit, price.usd.to_string())).collect()
    }

    #[test]
    fn the_newest_row_that_has_begun_is_in_force() {
        let (first, second) = (datetime!(2026-01-01 0:00 UTC), datetime!(2026-06-01 0:00 UTC));
        let list = PriceList::new([
            row(None, Unit::AudioMinute, "2", second),
            row(None, Unit::AudioMinute, "1", first),
            row(None, Unit::Request, "7", first),
        ]);
        let minute_and_request = |usd: &str| vec![(Unit::AudioMinute, usd.to_owned()), (Unit::Request, "7".to_owned())];
        assert_eq!(at(&list, ACME, first - time::Duration::NANOSECOND), []);
        assert_eq!(at(&list, ACME, first), minute_and_request("1"));
        assert_eq!(at(&list, ACME, second - time::Duration::NANOSECOND), minute_and_request("1"));
        assert_eq!(at(&list, ACME, second), minute_and_request("2"));
        let unknown = list.at(ACME, ProviderKind::Groq, "whisper-1", Operation::Transcription, second);
        assert!(unknown.is_empty());
    }

    #[test]
    fn a_tenants_row_goes_before_the_platforms_from_its_own_moment_on() {
        let agreed = datetime!(2026-03-01 0:00 UTC);
        let list = PriceList::new([
            row(None, Unit::AudioMinute, "1", datetime!(2026-01-01 0:00 UTC)),
            row(None, Unit::AudioMinute, "2", datetime!(2026-06-01 0:00 UTC)),
            row(None, Unit::Request, "7", datetime!(2026-06-01 0:00 UTC)),
            row(Some(ACME), Unit::AudioMinute, "0.5", agreed),
        ]);
        let minute = |usd: &str| vec![(Unit::AudioMinute, usd.to_owned())];
        assert_eq!(at(&list, ACME, datetime!(2026-02-01 0:00 UTC)), minute("1"));
        assert_eq!(at(&list, ACME, agreed), minute("0.5"));
        let now = at(&list, ACME, NOW);
        assert_eq!(now, [(Unit::AudioMinute, "0.5".to_owned()), (Unit::Request, "7".to_owned())]);
        assert_eq!(at(&list, OTHER, NOW).first(), Some(&(Unit::AudioMinute, "2".to_owned())));
    }

    #[test]
    fn the_newest_row_decides_whether_time_or_tokens_are_billed() {
        let (first, second) = (datetime!(2026-01-01 0:00 UTC), datetime!(2026-06-01 0:00 UTC));
        let minute = |tenant, usd, from| row(tenant, Unit::AudioMinute, usd, from);
        let text = |tenant, usd, from| row(tenant, Unit::TextIn, usd, from);
        let request = || row(None, Unit::Request, "7", first);
        let (by_time, by_tokens) = (Unit::AudioMinute, Unit::TextIn);
        for (rows, of_acme, of_others) in [
            (vec![minute(None, "1", first), text(None, "2", second)], by_tokens, by_tokens),
            (vec![text(None, "2", first), minute(None, "1", second)], by_time, by_time),
            (vec![minute(None, "1", first), text(None, "0", second)], by_tokens, by_tokens),
            (vec![minute(None, "1", first), text(None, "2", first)], by_time, by_time),
            (vec![minute(Some(ACME), "1", first), text(None, "2", second)], by_time, by_tokens),
            (vec![minute(None, "1", second), text(Some(ACME), "2", first)], by_tokens, by_time),
            (vec![minute(None, "1", first), text(None, "2", datetime!(2027-01-01 0:00 UTC))], by_time, by_time),
        ] {
            let told = format!("{rows:?}");
            let list = PriceList::new(rows.into_iter().chain([request()]));
            let units = |tenant| at(&list, tenant, NOW).into_iter().map(|(unit, _)| unit).collect::<BTreeSet<_>>();
            assert_eq!(units(ACME), BTreeSet::from([of_acme, Unit::Request]), "{told}");
            assert_eq!(units(OTHER), BTreeSet::from([of_others, Unit::Request]), "{told}");
        }
        let list = PriceList::new([minute(None, "1", first), text(None, "2", second)]);
        assert_eq!(at(&list, OTHER, first), [(by_time, "1".to_owned())], "and tokens only from their day on");
    }

    #[test]
    fn a_model_without_a_price_has_its_familys_or_that_of_transcription() {
        use Operation::{Chat, Realtime, Speech, Transcription, Translation};
        let of = |model: &str, operation, usd| {
            let row = row(None, Unit::AudioMinute, usd, datetime!(2026-01-01 0:00 UTC));
            ListedPrice { model: model.to_owned(), operation, ..row }
        };
        let list = PriceList::new([
            of("own", Realtime, "1"),
            of("own", Transcription, "2"),
            of("heard", Transcription, "3"),
            of("agents", Realtime, "4"),
            of("voices", Speech, "5"),
        ]);
        for (model, family, operation, usd) in [
            ("own", Some("agents"), Realtime, Some("1")),
            ("own", None, Translation, Some("2")),
            ("heard", None, Realtime, Some("3")),
            ("heard", None, Translation, Some("3")),
            ("heard", None, Chat, None),
            ("mine", Some("agents"), Realtime, Some("4")),
            ("heard", Some("voices"), Realtime, None),
            ("mine", Some("voices"), Speech, Some("5")),
            ("mine", None, Speech, None),
        ] {
            let found = list.billed_at(ACME, ProviderKind::Openai, Names { model, family }, operation, NOW);
            let found = found.first().map(|price| price.usd.to_string());
            assert_eq!(found.as_deref(), usd, "{model} {family:?} {operation}");
        }
    }

    #[test]
    fn audio_is_never_billed_in_two_units_at_once() {
        let first = datetime!(2026-01-01 0:00 UTC);
        let list = PriceList::new([
            row(None, Unit::AudioHour, "6", first),
            row(None, Unit::AudioMinute, "0.2", datetime!(2026-06-01 0:00 UTC)),
            row(Some(ACME), Unit::AudioSecond, "0.001", datetime!(2026-03-01 0:00 UTC)),
        ]);
        assert_eq!(at(&list, OTHER, NOW), [(Unit::AudioMinute, "0.2".to_owned())]);
        assert_eq!(at(&list, ACME, NOW), [(Unit::AudioSecond, "0.001".to_owned())]);
    }
}
