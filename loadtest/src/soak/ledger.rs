//! What was billed by the provider's own count, and what the gateway's database says was.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

use super::judge::Bill;
use crate::upstream::{Amounts, Counts};

/// Nano-dollars for one character, millisecond or token, out of OpenAI's list prices as the product ships them. They
/// stand here once more, so that the product does not judge itself.
mod price {
    /// tts-1: 15 dollars for a million characters.
    pub(super) const CHARACTER: i64 = 15_000;
    /// whisper-1: 0.6 cents a minute.
    pub(super) const AUDIO_MS: i64 = 100;
    /// gpt-4o-mini-tts: 60 cents and 12 dollars for a million tokens.
    pub(super) const SPEECH_TEXT_IN: i64 = 600;
    pub(super) const SPEECH_AUDIO_OUT: i64 = 12_000;
    /// gpt-realtime: 4, 32, 16 and 64 dollars for a million tokens.
    pub(super) const TEXT_IN: i64 = 4_000;
    pub(super) const AUDIO_IN: i64 = 32_000;
    pub(super) const TEXT_OUT: i64 = 16_000;
    pub(super) const AUDIO_OUT: i64 = 64_000;
}

/// A turn of the scripted upstream hears 12 tokens of text beside the audio, and says 6 beside its own.
const TURN_TEXT_IN: i64 = 12;
const TURN_TEXT_OUT: i64 = 6;

/// What the provider bills, by model: what arrived whole and was not refused.
///
/// # Errors
/// When a model was asked for that the soak does not know the price of.
pub fn billed(counts: &Counts) -> anyhow::Result<BTreeMap<String, Bill>> {
    let mut bills = BTreeMap::new();
    for count in counts.by.iter().filter(|count| count.accepted.answers > 0) {
        let cost = cost(&count.model, &count.accepted).with_context(|| format!("{} has no price", count.model))?;
        let bill: &mut Bill = bills.entry(count.model.clone()).or_default();
        bill.records += count.accepted.answers;
        bill.cost_nano_usd += cost;
    }
    Ok(bills)
}

fn cost(model: &str, accepted: &Amounts) -> Option<i64> {
    let whole = |amount: u64| i64::try_from(amount).ok();
    let (answers, tokens_in) = (whole(accepted.answers)?, whole(accepted.tokens_in)?);
    let tokens_out = whole(accepted.tokens_out)?;
    Some(match model {
        "tts-1" => whole(accepted.characters)? * price::CHARACTER,
        // Recordings are of whole seconds, to which they would be rounded.
        "whisper-1" => whole(accepted.audio_in_ms)? * price::AUDIO_MS,
        "gpt-4o-mini-tts" => tokens_in * price::SPEECH_TEXT_IN + tokens_out * price::SPEECH_AUDIO_OUT,
        "gpt-realtime" => {
            let (text_in, text_out) = (answers * TURN_TEXT_IN, answers * TURN_TEXT_OUT);
            text_in * price::TEXT_IN
                + (tokens_in - text_in) * price::AUDIO_IN
                + text_out * price::TEXT_OUT
                + (tokens_out - text_out) * price::AUDIO_OUT
        }
        _ => return None,
    })
}

/// The gateway's records in its SQLite file, read beside it.
#[derive(Debug)]
pub struct Ledger(DatabaseConnection);

impl Ledger {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(path: &Path) -> anyhow::Result<Self> {
        let url = format!("sqlite://{}?mode=ro", path.display());
        Ok(Self(Database::connect(url).await.with_context(|| format!("{} cannot be read", path.display()))?))
    }

    /// All records, by the provider's model.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn bills(&self) -> anyhow::Result<BTreeMap<String, Bill>> {
        let query = "SELECT model_served, COUNT(*) AS records, COALESCE(SUM(cost_nano_usd), 0) AS cost, \
                     SUM(cost_nano_usd IS NULL) AS unpriced FROM usage_records GROUP BY model_served";
        let rows = self.0.query_all_raw(Statement::from_string(DbBackend::Sqlite, query)).await?;
        let mut bills = BTreeMap::new();
        for row in rows {
            let number = |name: &str| -> anyhow::Result<i64> { Ok(row.try_get("", name)?) };
            let bill = Bill {
                records: u64::try_from(number("records")?)?,
                cost_nano_usd: number("cost")?,
                unpriced: u64::try_from(number("unpriced")?)?,
            };
            bills.insert(row.try_get("", "model_served")?, bill);
        }
        Ok(bills)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Count;

    fn count(model: &str, accepted: Amounts) -> Count {
        Count { path: "any".to_owned(), model: model.to_owned(), accepted, ..Count::default() }
    }

    #[test]
    fn what_arrived_whole_is_billed_to_the_nano_dollar() {
        let one = Amounts { answers: 1, ..Amounts::default() };
        let turns = Amounts { answers: 2, tokens_in: 34, tokens_out: 52, ..one };
        let counts = Counts {
            by: vec![
                count("tts-1", Amounts { characters: 40, ..one }),
                count("whisper-1", Amounts { audio_in_ms: 4_000, answers: 2, ..one }),
                count("gpt-4o-mini-tts", Amounts { tokens_in: 10, tokens_out: 20, ..one }),
                count("gpt-realtime", turns),
                count("gpt-realtime-2.1", Amounts::default()),
            ],
            ..Counts::default()
        };
        let bills = billed(&counts).unwrap();
        let of = |model: &str| (bills[model].records, bills[model].cost_nano_usd);
        assert_eq!(of("tts-1"), (1, 600_000));
        assert_eq!(of("whisper-1"), (2, 400_000));
        assert_eq!(of("gpt-4o-mini-tts"), (1, 246_000));
        assert_eq!(of("gpt-realtime"), (2, 24 * 4_000 + 10 * 32_000 + 12 * 16_000 + 40 * 64_000));
        assert!(!bills.contains_key("gpt-realtime-2.1"), "a session that is only held is billed nothing");
        let unknown = Counts { by: vec![count("other", one)], ..Counts::default() };
        assert!(billed(&unknown).is_err());
    }
}
