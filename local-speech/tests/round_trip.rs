//! What flite says is what PocketSphinx hears: the real programs, through files.
#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test at its place")]

use std::time::Duration;

use domain::audio::SpeechFormat;
use domain::speech::{SpeechRequest, Voice};
use futures_util::StreamExt;
use local_speech::{LocalError, LocalLimits, LocalSpeech};

const SENTENCES: [&str; 10] = [
    "The weather is very nice in the city today.",
    "She opened the door and walked into the room.",
    "We need to talk about the plan for next week.",
    "The train to the airport leaves at seven o'clock.",
    "Please send me the report before the end of the day.",
    "My brother lives in a small house near the river.",
    "The children played in the garden all afternoon.",
    "I would like a cup of coffee and a piece of cake.",
    "The doctor said that he should take more exercise.",
    "They decided to sell the company last year.",
];

fn speech() -> LocalSpeech {
    let speech = LocalSpeech::detect(LocalLimits::default());
    assert_eq!(speech.missing(), [], "install flite, pocketsphinx and pocketsphinx-en-us");
    speech
}

fn request(input: &str, voice: &str, format: Option<SpeechFormat>) -> SpeechRequest {
    SpeechRequest {
        model: "local".into(),
        input: input.into(),
        voice: Voice::Name(voice.into()),
        instructions: None,
        response_format: format,
        speed: None,
        stream_format: None,
        extensions: Default::default(),
    }
}

async fn say(speech: &LocalSpeech, request: &SpeechRequest) -> Vec<Vec<u8>> {
    let output = speech.speak(request).await.unwrap();
    output.body.map(|part| part.unwrap().to_vec()).collect().await
}

fn words(text: &str) -> Vec<String> {
    let letters = |word: &str| word.trim_matches(['.', ',', '?', '!']).to_lowercase();
    text.split_whitespace().map(letters).collect()
}

/// The edit distance in words.
fn errors(wanted: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, want) in wanted.iter().enumerate() {
        let mut next = vec![i + 1];
        for (pair, got) in row.windows(2).zip(heard) {
            let left = next.last().copied().unwrap_or(0);
            let [diagonal, above] = *pair else { continue };
            next.push((above + 1).min(left + 1).min(diagonal + usize::from(want != got)));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[tokio::test]
async fn at_most_one_word_in_five_is_lost_over_ten_sentences() {
    let speech = speech();
    let bytes = say(&speech, &request(&SENTENCES.join(" "), "slt", None)).await;
    assert_eq!(bytes.len(), SENTENCES.len(), "one part for each sentence");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes.concat()).unwrap();
    let transcript = speech.transcribe(file.path().into(), true).await.unwrap();
    let (wanted, heard) = (words(&SENTENCES.join(" ")), words(&transcript.text));
    let wrong = errors(&wanted, &heard);
    assert!(wrong * 5 <= wanted.len(), "{wrong} of {}: {}", wanted.len(), transcript.text);
    assert_eq!(transcript.words.len(), heard.len());
    assert!(transcript.words.is_sorted_by(|a, b| a.start <= b.start));
    let length = transcript.duration_ms.unwrap() as f64 / 1000.0;
    assert!(transcript.segments.iter().all(|s| s.start <= s.end && s.end <= length + 0.1));
}

#[tokio::test]
async fn voices_differ_speed_shortens_and_options_in_the_text_are_only_spoken() {
    let speech = speech();
    let pcm = Some(SpeechFormat::Pcm);
    let slt = say(&speech, &request("--help -o out.wav is a text", "alloy", pcm)).await.concat();
    let rms = say(&speech, &request("--help -o out.wav is a text", "rms", pcm)).await.concat();
    assert!(slt.len() > 48_000 && slt != rms);
    let mut fast = request("--help -o out.wav is a text", "slt", pcm);
    fast.speed = Some(2.0);
    let fast = say(&speech, &fast).await.concat();
    let ratio = slt.len() as f64 / fast.len() as f64;
    assert!((1.7..2.3).contains(&ratio), "{ratio}");
}

#[tokio::test]
async fn what_cannot_be_done_is_named() {
    let speech = speech();
    let refused = |request: SpeechRequest| {
        let speech = speech.clone();
        async move { speech.speak(&request).await.unwrap_err().to_string() }
    };
    assert!(refused(request("Hello", "bob", None)).await.contains("slt, rms, awb, kal16"));
    let mp3 = refused(request("Hello", "slt", Some(SpeechFormat::Mp3))).await;
    assert!(mp3.contains("wav and pcm"), "{mp3}");
    assert!(refused(request("  ", "slt", None)).await.contains("no text"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "this is not audio").unwrap();
    let error = speech.transcribe(file.path().into(), false).await.unwrap_err();
    assert!(matches!(error, LocalError::BadAudio(_)), "{error:?}");
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_stopped_and_a_full_house_says_so() {
    let limits = LocalLimits { child_time: Duration::ZERO, ..LocalLimits::default() };
    let slow = LocalSpeech::detect(limits);
    let error = slow.speak(&request("Hello there.", "slt", None)).await.unwrap_err();
    assert_eq!(error, LocalError::TimedOut);

    let limits = LocalLimits { concurrency: 1, queue_wait: Duration::ZERO, ..LocalLimits::default() };
    let full = LocalSpeech::detect(limits);
    let hello = request("Hello there.", "slt", None);
    let (first, second) = tokio::join!(full.speak(&hello), full.speak(&hello));
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err(), LocalError::Busy);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "this is not audio").unwrap();
    let (first, second) = tokio::join!(full.speak(&hello), full.transcribe(file.path().into(), false));
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err(), LocalError::Busy, "no file is read before its turn");
}
