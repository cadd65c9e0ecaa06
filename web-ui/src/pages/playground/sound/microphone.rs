//! The microphone, as 16-bit samples.

use js_sys::Reflect;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AudioWorkletNode, MediaDevices, MediaStream, MediaStreamConstraints, MediaStreamTrack, MessageEvent, MessagePort,
};

use super::{Sounds, bytes, field, number, object};

/// A piece of what the microphone hears.
#[derive(Debug)]
pub(in crate::pages::playground) struct Piece {
    /// 16-bit little-endian samples.
    pub(in crate::pages::playground) pcm: Vec<u8>,
    /// From 0 to 1.
    pub(in crate::pages::playground) level: f64,
}

/// The microphone while it is on. It is switched off with this.
#[derive(Debug)]
pub(in crate::pages::playground) struct Microphone {
    stream: MediaStream,
    node: Option<(AudioWorkletNode, MessagePort)>,
    _heard: Closure<dyn FnMut(MessageEvent)>,
}

impl Microphone {
    /// Switches it on; `heard` gets a piece every `piece_ms`.
    ///
    /// # Errors
    /// There is none, or the page may not use it: in words for people.
    pub(in crate::pages::playground) async fn open(
        sounds: &Sounds,
        rate: u32,
        piece_ms: u32,
        mut heard: impl FnMut(Piece) + 'static,
    ) -> Result<Self, String> {
        let asked = devices().and_then(|devices| devices.get_user_media_with_constraints(&constraints()).ok());
        let asked = asked.ok_or("This page may not use the microphone: browsers allow it over HTTPS alone.")?;
        let given = JsFuture::from(asked).await.map_err(|error| refusal(&error))?;
        let stream: MediaStream = given.dyn_into().map_err(|error| refusal(&error))?;
        let heard = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let data = event.data();
            if let Some(pcm) = bytes(&data, "pcm") {
                heard(Piece { pcm, level: number(&data, "level") });
            }
        });
        // From here on dropping it switches the microphone off.
        let mut microphone = Self { stream, node: None, _heard: heard };
        let node = sounds.node("antiphon-capture", &[("rate", rate.into()), ("pieceMs", piece_ms.into())])?;
        let port = node.port().map_err(|error| refusal(&error))?;
        port.set_onmessage(Some(microphone._heard.as_ref().unchecked_ref()));
        let source = sounds.context.create_media_stream_source(&microphone.stream).map_err(|error| refusal(&error))?;
        source.connect_with_audio_node(&node).map_err(|error| refusal(&error))?;
        microphone.node = Some((node, port));
        Ok(microphone)
    }
}

impl Drop for Microphone {
    fn drop(&mut self) {
        for track in self.stream.get_tracks().iter() {
            if let Some(track) = track.dyn_ref::<MediaStreamTrack>() {
                track.stop();
            }
        }
        if let Some((node, port)) = &self.node {
            port.set_onmessage(None);
            // Neither fails for a node that is connected.
            port.post_message(&JsValue::NULL).ok();
            node.disconnect().ok();
        }
    }
}

/// Absent on pages without TLS.
fn devices() -> Option<MediaDevices> {
    let navigator = leptos::prelude::window().navigator();
    let found = Reflect::get(&navigator, &JsValue::from_str("mediaDevices")).ok()?;
    (!found.is_undefined()).then(|| found.unchecked_into())
}

fn constraints() -> MediaStreamConstraints {
    let wanted = ["echoCancellation", "noiseSuppression", "autoGainControl"];
    let constraints = MediaStreamConstraints::new();
    constraints.set_audio(&object(wanted.into_iter().map(|name| (name, JsValue::TRUE))));
    constraints
}

/// Why the microphone is not to be had.
fn refusal(error: &JsValue) -> String {
    let name = field(error, "name").and_then(|name| name.as_string()).unwrap_or_default();
    match name.as_str() {
        "NotAllowedError" => {
            "The browser does not let this page use the microphone. Allow it beside the address, and try again."
        }
        "NotFoundError" => "There is no microphone. Plug one in, and try again.",
        "NotReadableError" => "Another program uses the microphone. Close it there, and try again.",
        _ => "The microphone cannot be used. Check it in the system's settings, and try again.",
    }
    .to_owned()
}
