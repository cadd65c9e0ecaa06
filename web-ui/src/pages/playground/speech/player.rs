//! Speech that is heard while it comes.

use leptos::prelude::*;

use super::super::sound::{Heard, RATE, Sounds, Speaker, WavReader};
use crate::clock;

/// So much is there before it begins to sound.
const BUFFER_MS: u32 = 120;

struct Open {
    speaker: Speaker,
    /// Of PCM there is no head.
    reader: Option<WavReader>,
    _sounds: Sounds,
}

/// Plays one piece of speech at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Player {
    open: StoredValue<Option<Open>, LocalStorage>,
    sounding: RwSignal<bool>,
    /// On the stopwatch.
    first_sound: StoredValue<ArcRwSignal<Option<f64>>>,
}

impl Player {
    pub(super) fn new() -> Self {
        Self {
            open: StoredValue::new_local(None),
            sounding: RwSignal::new(false),
            first_sound: StoredValue::new(ArcRwSignal::new(None)),
        }
    }

    /// Whether something can be heard. Reactive.
    pub(super) fn is_sounding(self) -> bool {
        self.sounding.get()
    }

    /// When the first sound of the present piece was heard, once it was.
    pub(super) fn first_sound(self) -> ArcRwSignal<Option<f64>> {
        self.first_sound.try_get_value().unwrap_or_else(|| ArcRwSignal::new(None))
    }

    /// Makes ready for a piece. Where there is no sound it is only not heard.
    pub(super) async fn begin(self, is_pcm: bool) {
        let first_sound = ArcRwSignal::new(None);
        self.first_sound.try_set_value(first_sound.clone());
        let Ok(sounds) = Sounds::open().await else { return };
        let speaker = Speaker::open(&sounds, RATE, BUFFER_MS, move |heard| match heard {
            Heard::Began(_) => {
                first_sound.set(Some(clock::stopwatch_ms()));
                self.sounding.try_set(true);
            }
            Heard::Idle => self.silence(),
            Heard::Progress { .. } | Heard::Flushed { .. } => {}
        });
        if let Ok(speaker) = speaker {
            let reader = (!is_pcm).then(WavReader::default);
            self.open.try_set_value(Some(Open { speaker, reader, _sounds: sounds }));
        }
    }

    /// Plays these bytes of it.
    pub(super) fn push(self, bytes: &[u8]) {
        self.open.try_update_value(|open| {
            let Some(open) = open else { return };
            let Some(reader) = &mut open.reader else { return open.speaker.push("speech", bytes) };
            let was_known = reader.rate().is_some();
            let samples = reader.push(bytes);
            if let Some(rate) = reader.rate().filter(|_| !was_known) {
                open.speaker.rate(rate);
            }
            open.speaker.push("speech", &samples);
        });
    }

    /// It has all come.
    pub(super) fn whole(self) {
        self.open.try_with_value(|open| open.iter().for_each(|open| open.speaker.whole()));
    }

    /// Ends it.
    pub(super) fn silence(self) {
        self.sounding.try_set(false);
        // Not dropped within the speaker's own call to this page.
        if let Some(Some(open)) = self.open.try_update_value(Option::take) {
            set_timeout(move || drop(open), std::time::Duration::ZERO);
        }
    }
}
