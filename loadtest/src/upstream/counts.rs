//! Exact counts of what was asked for and delivered, per path and model, for the checks that compare them with usage records.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

/// Amounts of one answer, or the sum over many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Amounts {
    /// Answers (realtime: turns).
    pub answers: u64,
    /// Milliseconds of audio received and answered for.
    pub audio_in_ms: u64,
    /// Milliseconds of audio sent.
    pub audio_out_ms: u64,
    /// Characters to be spoken, of the answers begun.
    pub characters: u64,
    /// Input tokens reported in `usage`.
    pub tokens_in: u64,
    /// Output tokens reported in `usage`.
    pub tokens_out: u64,
    /// Bytes of answers' bodies handed to the connection.
    pub bytes_out: u64,
}

impl Amounts {
    fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.audio_in_ms += other.audio_in_ms;
        self.audio_out_ms += other.audio_out_ms;
        self.characters += other.characters;
        self.tokens_in += other.tokens_in;
        self.tokens_out += other.tokens_out;
        self.bytes_out += other.bytes_out;
    }
}

/// The counts of one path and model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Count {
    /// Path below the version, such as `audio/speech`.
    pub path: String,
    /// Model asked for.
    pub model: String,
    /// Requests that reached the point where path and model are known.
    pub requests: u64,
    /// Requests answered with an error status, scripted or not.
    pub refused: u64,
    /// Requests (realtime: turns) that arrived whole and were not refused. Providers bill these: the work
    /// is done whether or not somebody still listens. Audio to be sent in a raw answer is not counted here.
    #[serde(default)]
    pub accepted: Amounts,
    /// Answers whose last byte was handed to the connection.
    pub whole: Amounts,
    /// Answers that were begun and not finished, by script or because the peer left.
    pub cut: Amounts,
    /// Realtime: frames received.
    pub frames_in: u64,
    /// Realtime: frames sent.
    pub frames_out: u64,
    /// Realtime: decoded bytes of appended audio.
    pub appended_bytes: u64,
    /// Realtime: sessions open now.
    pub open_sessions: u64,
}

/// What became of the requests with one serial number: the word `serial:…` in what is to be spoken, in the
/// prompt of a transcription, or in a response's instructions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Fate {
    /// Path below the version, such as `audio/speech`.
    pub path: String,
    /// Requests (realtime: `response.create`, and utterances to transcribe) that arrived whole, and their
    /// sums as far as they are known then.
    pub accepted: Amounts,
    /// The answers to them whose last byte was handed to the connection, and their sums.
    pub whole: Amounts,
}

/// All counts of an upstream and everything it found wrong with what it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes of request bodies received.
    pub bytes_in: u64,
    /// One entry per path and model.
    pub by: Vec<Count>,
    /// What became of each serial number, of the first 100,000.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub serials: BTreeMap<String, Fate>,
    /// What no well-behaved gateway sends: the client's key, unknown headers or fields.
    pub violations: Vec<String>,
}

impl Counts {
    /// The counts of one path, over all models.
    #[must_use]
    pub fn of(&self, path: &str) -> Count {
        let mut sum = Count { path: path.to_owned(), ..Count::default() };
        for count in self.by.iter().filter(|count| count.path == path) {
            sum.requests += count.requests;
            sum.refused += count.refused;
            sum.accepted.add(&count.accepted);
            sum.whole.add(&count.whole);
            sum.cut.add(&count.cut);
            sum.frames_in += count.frames_in;
            sum.frames_out += count.frames_out;
            sum.appended_bytes += count.appended_bytes;
            sum.open_sessions += count.open_sessions;
        }
        sum
    }
}

/// Serial numbers that are followed; those that come later are not.
const MAX_SERIALS: usize = 100_000;

/// The live fates.
#[derive(Debug, Default)]
pub(super) struct Fates(Mutex<BTreeMap<String, Fate>>);

impl Fates {
    /// Books a request that arrived whole and gives its serial number, if there is one in its text.
    pub(super) fn accepted(&self, path: &str, text: &str, amounts: &Amounts) -> Option<String> {
        let serial = text.split_whitespace().find_map(|word| word.strip_prefix("serial:"))?;
        let mut fates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fates.len() >= MAX_SERIALS && !fates.contains_key(serial) {
            return None;
        }
        let fate = fates.entry(serial.to_owned()).or_default();
        path.clone_into(&mut fate.path);
        fate.accepted.add(&Amounts { answers: 1, ..*amounts });
        Some(serial.to_owned())
    }

    /// Books an answer that was delivered.
    pub(super) fn whole(&self, serial: &str, amounts: &Amounts) {
        let mut fates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fate) = fates.get_mut(serial) {
            fate.whole.add(&Amounts { answers: 1, ..*amounts });
        }
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn read(&self) -> BTreeMap<String, Fate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The live counters of one path and model. What changes with every frame is atomic, the rest behind one lock.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) requests: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) frames_in: AtomicU64,
    pub(super) frames_out: AtomicU64,
    pub(super) appended_bytes: AtomicU64,
    pub(super) open_sessions: AtomicU64,
    sums: Mutex<Sums>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    accepted: Amounts,
    whole: Amounts,
    cut: Amounts,
}

impl Line {
    /// Books one request or turn that arrived whole.
    pub(super) fn accepted(&self, amounts: &Amounts) {
        self.sums().accepted.add(&Amounts { answers: 1, ..*amounts });
    }

    /// Books one finished answer or turn.
    pub(super) fn whole(&self, amounts: &Amounts) {
        self.sums().whole.add(&Amounts { answers: 1, ..*amounts });
    }

    /// Books one answer or turn that was begun and not finished.
    pub(super) fn cut(&self, amounts: &Amounts) {
        self.sums().cut.add(&Amounts { answers: 1, ..*amounts });
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table of lines.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<BTreeMap<(String, String), Arc<Line>>>);

impl Table {
    pub(super) fn line(&self, path: &str, model: &str) -> Arc<Line> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lines.entry((path.to_owned(), model.to_owned())).or_default())
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn read(&self) -> Vec<Count> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|((path, model), line)| read_line(path, model, line)).collect()
    }
}

fn read_line(path: &str, model: &str, line: &Line) -> Count {
    let Sums { accepted, whole, cut } = *line.sums();
    Count {
        path: path.to_owned(),
        model: model.to_owned(),
        requests: line.requests.load(Ordering::Relaxed),
        refused: line.refused.load(Ordering::Relaxed),
        accepted,
        whole,
        cut,
        frames_in: line.frames_in.load(Ordering::Relaxed),
        frames_out: line.frames_out.load(Ordering::Relaxed),
        appended_bytes: line.appended_bytes.load(Ordering::Relaxed),
        open_sessions: line.open_sessions.load(Ordering::Relaxed),
    }
}

/// Follows one answer to its end, from the moment that its request was there whole: finished it counts as
/// whole, dropped before that as cut.
#[derive(Debug)]
pub(super) struct Receipt {
    line: Arc<Line>,
    amounts: Amounts,
    /// Bytes of the body per millisecond of audio, where the body is audio.
    audio_bytes_per_ms: u64,
    serial: Option<(Arc<Fates>, String)>,
    finished: bool,
}

impl Receipt {
    pub(super) fn new(line: Arc<Line>, amounts: Amounts) -> Self {
        Self::audio(line, amounts, 0)
    }

    pub(super) fn audio(line: Arc<Line>, amounts: Amounts, bytes_per_ms: u64) -> Self {
        line.accepted(&amounts);
        Self { line, amounts, audio_bytes_per_ms: bytes_per_ms, serial: None, finished: false }
    }

    /// The answer is the one to the serial number in the request's text too.
    pub(super) fn for_serial(mut self, fates: &Arc<Fates>, path: &str, text: &str) -> Self {
        self.serial = fates.accepted(path, text, &self.amounts).map(|serial| (Arc::clone(fates), serial));
        self
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.amounts.bytes_out += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(ms) = self.amounts.bytes_out.checked_div(self.audio_bytes_per_ms) {
            self.amounts.audio_out_ms = ms;
        }
        if self.finished {
            self.line.whole(&self.amounts);
            if let Some((fates, serial)) = &self.serial {
                fates.whole(serial, &self.amounts);
            }
        } else {
            self.line.cut(&self.amounts);
        }
    }
}
