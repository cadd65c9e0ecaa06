//! Sound in and out of the page: the microphone, what is played while it comes, and WAV files.

mod microphone;
mod speaker;
mod wav;

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AudioContext, AudioWorkletNode, AudioWorkletNodeOptions};

pub(super) use microphone::{Microphone, Piece};
pub(super) use speaker::{Heard, Speaker};
pub(super) use wav::{WavReader, wav_file};

/// Samples a second of everything that goes over a realtime connection.
pub(super) const RATE: u32 = 24_000;
/// Both processors; the policy of the page has no place for scripts from elsewhere.
const WORKLET: &str = "/audio-worklet.js";

/// The browser's sound, which ends with this.
#[derive(Debug)]
pub(super) struct Sounds {
    context: AudioContext,
}

impl Sounds {
    /// # Errors
    /// The browser has no sound, in words for people.
    pub(super) async fn open() -> Result<Self, String> {
        let sounds = Self { context: AudioContext::new().map_err(|_| NO_SOUND.to_owned())? };
        let context = &sounds.context;
        // Browsers let a page sound once somebody has pressed something in it, which is the case here.
        drop(context.resume());
        let worklet = context.audio_worklet().map_err(|_| NO_SOUND.to_owned())?;
        let added = worklet.add_module(WORKLET).map_err(|_| NO_SOUND.to_owned())?;
        JsFuture::from(added).await.map_err(|_| "A part of the page could not be loaded. Reload it.".to_owned())?;
        Ok(sounds)
    }

    /// A processor of ours, which sounds through the speakers.
    fn node(&self, name: &str, settings: &[(&str, f64)]) -> Result<AudioWorkletNode, String> {
        let options = AudioWorkletNodeOptions::new();
        options.set_output_channel_count(&js_sys::Array::of1(&JsValue::from_f64(1.0)));
        options.set_processor_options(Some(&object(settings.iter().map(|(name, value)| (*name, (*value).into())))));
        let node =
            AudioWorkletNode::new_with_options(&self.context, name, &options).map_err(|_| NO_SOUND.to_owned())?;
        node.connect_with_audio_node(&self.context.destination()).map_err(|_| NO_SOUND.to_owned())?;
        Ok(node)
    }
}

impl Drop for Sounds {
    fn drop(&mut self) {
        // It fails only where it is closed already.
        drop(self.context.close());
    }
}

const NO_SOUND: &str = "This browser cannot play or record sound here. Use a current browser, over HTTPS.";

fn object<'a>(fields: impl Iterator<Item = (&'a str, JsValue)>) -> js_sys::Object {
    let made = js_sys::Object::new();
    for (name, value) in fields {
        // It fails only for objects that are frozen.
        Reflect::set(&made, &JsValue::from_str(name), &value).ok();
    }
    made
}

fn field(value: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(value, &JsValue::from_str(name)).ok().filter(|found| !found.is_undefined() && !found.is_null())
}

fn number(value: &JsValue, name: &str) -> f64 {
    field(value, name).and_then(|found| found.as_f64()).unwrap_or(0.0)
}

fn bytes(value: &JsValue, name: &str) -> Option<Vec<u8>> {
    let buffer = field(value, name)?.dyn_into::<js_sys::ArrayBuffer>().ok()?;
    Some(js_sys::Uint8Array::new(&buffer).to_vec())
}
