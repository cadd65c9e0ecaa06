//! With which model an account is tried out: for each kind and operation one that costs little and needs
//! nothing declared. What is missing here has models under names of their own, such as a deployment.

use domain::provider::{Operation, ProviderKind};

use crate::registry::provider;

/// A model for a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// The provider's name of it.
    pub model: &'static str,
    /// Sessions with it transcribe; others hold a conversation.
    pub transcribes: bool,
}

/// The model by which an account of this kind is tried out, where there is one that all of them have.
#[must_use]
pub fn trial(kind: ProviderKind, operation: Operation) -> Option<Trial> {
    let model = model(kind, operation)?;
    Some(Trial { model, transcribes: operation != Operation::Realtime || transcribes(kind, model) })
}

/// Whether sessions with a model are ones that transcribe, as far as is known: it transcribes files as well, or
/// is tried out so.
#[must_use]
pub fn transcribes(kind: ProviderKind, model: &str) -> bool {
    let known = provider(kind).into_iter().flat_map(|row| row.models).find(|known| known.name == model);
    LISTENERS.contains(&model) || known.is_some_and(|known| known.operations.contains(&Operation::Transcription))
}

/// Models of sessions alone that transcribe.
const LISTENERS: &[&str] = &[
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
    "gemini-3.5-transcribe-live",
    "scribe_v2_realtime",
    "scribe_v3_live",
    "flux-general-en",
    "flux-general-multi",
];

fn model(kind: ProviderKind, operation: Operation) -> Option<&'static str> {
    let found = TRIALS.iter().find(|(of, ..)| *of == kind)?;
    found.1.iter().find(|(of, _)| *of == operation).map(|(_, model)| *model)
}

type Models = &'static [(Operation, &'static str)];

static TRIALS: &[(ProviderKind, Models)] = &[
    (
        ProviderKind::Openai,
        &[
            (Operation::Transcription, "gpt-4o-mini-transcribe"),
            (Operation::Translation, "whisper-1"),
            (Operation::Speech, "tts-1"),
            (Operation::Realtime, "gpt-realtime-mini"),
            (Operation::Chat, "gpt-4o-mini"),
            (Operation::Embeddings, "text-embedding-3-small"),
        ],
    ),
    (
        ProviderKind::Azure,
        &[
            (Operation::Transcription, "whisper"),
            (Operation::Translation, "whisper"),
            (Operation::Speech, "tts"),
            (Operation::Realtime, "gpt-realtime-mini"),
            (Operation::Embeddings, "text-embedding-3-small"),
        ],
    ),
    (
        ProviderKind::Groq,
        &[
            (Operation::Transcription, "whisper-large-v3-turbo"),
            (Operation::Translation, "whisper-large-v3"),
            (Operation::Speech, "canopylabs/orpheus-v1-english"),
            (Operation::Realtime, "whisper-large-v3-turbo"),
            (Operation::Chat, "openai/gpt-oss-20b"),
        ],
    ),
    (
        ProviderKind::Deepgram,
        &[(Operation::Transcription, "nova-3"), (Operation::Speech, "aura-2"), (Operation::Realtime, "nova-3")],
    ),
    (
        ProviderKind::Elevenlabs,
        &[
            (Operation::Transcription, "scribe_v2"),
            (Operation::Speech, "eleven_flash_v2_5"),
            (Operation::Realtime, "scribe_v2_realtime"),
        ],
    ),
    (
        ProviderKind::Google,
        &[
            (Operation::Transcription, "gemini-3.5-transcribe"),
            (Operation::Speech, "gemini-3.8-flash-lite-tts"),
            (Operation::Realtime, "gemini-3.8-live"),
        ],
    ),
    (ProviderKind::Ultravox, &[(Operation::Realtime, "ultravox-v0.7")]),
    (
        ProviderKind::Local,
        &[
            (Operation::Transcription, "pocketsphinx"),
            (Operation::Speech, "flite"),
            (Operation::Realtime, "pocketsphinx"),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_is_of_a_model_that_its_provider_is_known_to_have() {
        for (kind, models) in TRIALS {
            let row = provider(*kind).unwrap();
            for (operation, name) in *models {
                assert!(row.has(*operation), "{kind} {operation}");
                let known = row.models.iter().filter(|known| known.name == *name);
                assert!(known.clone().any(|known| known.operations.contains(operation)), "{kind} {operation} {name}");
                assert_eq!(trial(*kind, *operation).map(|trial| trial.model), Some(*name));
            }
        }
        assert_eq!(trial(ProviderKind::OpenaiCompatible, Operation::Chat), None);
    }

    #[test]
    fn a_session_is_tried_out_as_what_its_model_holds() {
        let sessions = |kind| trial(kind, Operation::Realtime).map(|trial| trial.transcribes);
        assert_eq!(sessions(ProviderKind::Openai), Some(false));
        assert_eq!(sessions(ProviderKind::Deepgram), Some(true));
        assert_eq!(sessions(ProviderKind::Elevenlabs), Some(true));
        assert!(LISTENERS.iter().all(|name| {
            let known = crate::registry::PROVIDERS.iter().flat_map(|row| row.models);
            known.clone().any(|known| known.name == *name && known.operations.contains(&Operation::Realtime))
        }));
    }
}
