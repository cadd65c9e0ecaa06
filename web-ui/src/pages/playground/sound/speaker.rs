//! Samples that are played while they come.

use js_sys::Array;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AudioWorkletNode, MessageEvent, MessagePort};

use super::{NO_SOUND, Sounds, field, number, object};

/// What the speaker tells.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::pages::playground) enum Heard {
    /// The first sample of an item can be heard.
    Began(String),
    /// So much was heard altogether, and how loud it is now, from 0 to 1.
    Progress { heard_ms: f64, level: f64 },
    /// Everything was heard.
    Idle,
    /// What was queued is thrown away; so much of the item was heard.
    Flushed { item: Option<String>, played_ms: f64 },
}

/// Plays what it is given, after a small buffer, until it is dropped.
#[derive(Debug)]
pub(in crate::pages::playground) struct Speaker {
    node: AudioWorkletNode,
    port: MessagePort,
    _told: Closure<dyn FnMut(MessageEvent)>,
}

impl Speaker {
    /// # Errors
    /// In words for people.
    pub(in crate::pages::playground) fn open(
        sounds: &Sounds,
        rate: u32,
        buffer_ms: u32,
        mut told: impl FnMut(Heard) + 'static,
    ) -> Result<Self, String> {
        let node = sounds.node("antiphon-playback", &[("rate", rate.into()), ("bufferMs", buffer_ms.into())])?;
        let port = node.port().map_err(|_| NO_SOUND.to_owned())?;
        let told = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if let Some(heard) = read(&event.data()) {
                told(heard);
            }
        });
        port.set_onmessage(Some(told.as_ref().unchecked_ref()));
        Ok(Self { node, port, _told: told })
    }

    /// Plays 16-bit samples after what is queued.
    pub(in crate::pages::playground) fn push(&self, item: &str, pcm: &[u8]) {
        let buffer = js_sys::Uint8Array::from(pcm).buffer();
        let message = [("kind", "audio".into()), ("item", item.into()), ("pcm", buffer.clone().into())];
        // The buffer goes to the audio thread and is not copied.
        self.port.post_message_with_transferable(&object(message.into_iter()), &Array::of1(&buffer)).ok();
    }

    /// Nothing more comes for now: what is queued need not wait for it.
    pub(in crate::pages::playground) fn whole(&self) {
        self.tell([("kind", "whole".into())]);
    }

    /// What comes has this rate.
    pub(in crate::pages::playground) fn rate(&self, rate: u32) {
        self.tell([("kind", "rate".into()), ("rate", rate.into())]);
    }

    /// Throws away what is queued; it answers with `Flushed`.
    pub(in crate::pages::playground) fn flush(&self) {
        self.tell([("kind", "flush".into())]);
    }

    fn tell<const N: usize>(&self, fields: [(&str, JsValue); N]) {
        // It fails only for what cannot be copied.
        self.port.post_message(&object(fields.into_iter())).ok();
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.port.set_onmessage(None);
        self.tell([("kind", "close".into())]);
        // It fails only where nothing is connected.
        self.node.disconnect().ok();
    }
}

fn read(data: &JsValue) -> Option<Heard> {
    let item = field(data, "item").and_then(|item| item.as_string());
    Some(match field(data, "kind")?.as_string()?.as_str() {
        "began" => Heard::Began(item?),
        "progress" => Heard::Progress { heard_ms: number(data, "heardMs"), level: number(data, "level") },
        "idle" => Heard::Idle,
        "flushed" => Heard::Flushed { item, played_ms: number(data, "playedMs") },
        _ => return None,
    })
}
