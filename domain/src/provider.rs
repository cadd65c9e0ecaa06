//! Provider kinds and the operations that are asked of them.

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name used on the wire, in tables, logs and configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::error::UnknownName;
            fn from_str(text: &str) -> Result<Self, $crate::error::UnknownName> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err($crate::error::UnknownName { what: $what, name: text.to_owned() }) }
            }
        }
    };
}
pub(crate) use named;

named! {
    /// What a client asks for.
    Operation, "operation", {
        /// Speech to text in the language spoken.
        Transcription = "transcription",
        /// Speech to English text.
        Translation = "translation",
        /// Text to speech.
        Speech = "speech",
        /// A realtime session over a WebSocket.
        Realtime = "realtime",
        /// Chat completions.
        Chat = "chat",
        /// Embeddings.
        Embeddings = "embeddings",
        /// A path of a vendor that is not known here, for keys that may call such.
        Passthrough = "passthrough",
    }
}

named! {
    /// A kind of provider: whose wire language an account speaks.
    ProviderKind, "provider kind", {
        /// OpenAI itself.
        Openai = "openai",
        /// Azure OpenAI (Foundry).
        Azure = "azure",
        /// Groq.
        Groq = "groq",
        /// `ElevenLabs`.
        Elevenlabs = "elevenlabs",
        /// Deepgram.
        Deepgram = "deepgram",
        /// Google: Cloud Speech and Gemini.
        Google = "google",
        /// Ultravox.
        Ultravox = "ultravox",
        /// Any self-hosted server that speaks OpenAI's dialect.
        OpenaiCompatible = "openai-compatible",
        /// flite and `PocketSphinx` on this machine.
        Local = "local",
    }
}

/// What a request carries beside the fields of `OpenAI`'s reference, by name. An object under the name of
/// a provider kind is for targets of that kind alone; everything else is ignored.
pub type Extensions = std::collections::BTreeMap<String, serde_json::Value>;
