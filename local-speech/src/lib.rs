//! local-speech
