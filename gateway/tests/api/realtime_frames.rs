//! Frames that a well-behaved library never sends: each earns its close code, and none costs a slot.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::helpers::{KEY, Setup, TestApp, soon};
use crate::realtime_parts::{close_code, closing, frame, read_frame};

const MIB: usize = 1024 * 1024;
const TEXT: u8 = 0x81;
/// A text frame that is not the last of its message.
const FIRST: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;

/// A gateway on which the key may have one session: the next one opens only where the last is over.
async fn one_session_at_a_time() -> TestApp {
    let mut setup = Setup::new().await;
    setup.key(KEY, |key| key.max_concurrent_sessions = Some(1));
    setup.start().await
}

/// What a new session is closed with after these bytes.
async fn earns(app: &TestApp, bytes: &[u8]) -> u16 {
    let mut stream = app.raw_realtime().await;
    // The gateway may close before it has taken the last byte.
    drop(stream.write_all(bytes).await);
    let code = close_code(&mut stream).await;
    app.no_session_left().await;
    code
}

#[tokio::test]
async fn frames_that_break_the_protocol_are_1002() {
    let app = one_session_at_a_time().await;
    for (what, bytes) in [
        ("unmasked", frame(TEXT, false, b"{}")),
        ("a reserved bit", frame(0xC1, true, b"{}")),
        ("another reserved bit", frame(0xA1, true, b"{}")),
        ("the third reserved bit", frame(0x91, true, b"{}")),
        ("a reserved opcode", frame(0x83, true, b"{}")),
        ("a reserved control opcode", frame(0x8B, true, b"")),
        ("a continuation of nothing", frame(LAST, true, b"{}")),
        ("a message inside a message", [frame(FIRST, true, b"{"), frame(TEXT, true, b"{}")].concat()),
        ("a ping in pieces", frame(0x09, true, b"")),
        ("a long ping", frame(0x89, true, &[b'a'; 126])),
        ("a close code of one byte", frame(0x88, true, &[3])),
        ("a close code that is never sent", closing(1005)),
        ("another one", closing(1006)),
    ] {
        assert_eq!(earns(&app, &bytes).await, 1002, "{what}");
    }
}

#[tokio::test]
async fn a_goodbye_is_answered_with_its_own_code() {
    let app = one_session_at_a_time().await;
    for (bytes, code) in
        [(closing(1000), 1000), (closing(1001), 1001), (closing(4321), 4321), (frame(0x88, true, b""), 1000)]
    {
        assert_eq!(earns(&app, &bytes).await, code);
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_1007() {
    let app = one_session_at_a_time().await;
    assert_eq!(earns(&app, &frame(TEXT, true, b"\xff\xfe")).await, 1007);
    let pieces = [frame(FIRST, true, b"{\xe2\x82"), frame(LAST, true, b"}")].concat();
    assert_eq!(earns(&app, &pieces).await, 1007, "a character that its last piece breaks off");
}

#[tokio::test]
async fn a_character_may_be_torn_between_two_pieces() {
    let app = one_session_at_a_time().await;
    let mut stream = app.raw_realtime().await;
    let event = "{\"type\":\"input_audio_buffer.clear\",\"event_id\":\"5 €\"}".as_bytes();
    let torn = event.iter().position(|byte| *byte == 0xE2).unwrap() + 1;
    let pieces = [frame(FIRST, true, &event[..torn]), frame(LAST, true, &event[torn..])].concat();
    stream.write_all(&pieces).await.unwrap();
    until(&mut stream, "input_audio_buffer.cleared").await;
}

#[tokio::test]
async fn a_message_over_the_bound_is_1009_however_it_comes() {
    let app = one_session_at_a_time().await;
    let claimed = [[TEXT, 0xFF].as_slice(), &(17 * MIB as u64).to_be_bytes()].concat();
    assert_eq!(earns(&app, &claimed).await, 1009, "by the length that it claims");
    assert_eq!(earns(&app, &frame(TEXT, true, &vec![b'a'; 17 * MIB])).await, 1009, "in one frame");
    let half = vec![b'a'; 9 * MIB];
    let pieces = [frame(FIRST, true, &half), frame(LAST, true, &half)].concat();
    assert_eq!(earns(&app, &pieces).await, 1009, "in two pieces that are each within the bound");
}

#[tokio::test]
async fn a_message_in_endless_pieces_is_1009() {
    let app = one_session_at_a_time().await;
    let mut stream = app.raw_realtime().await;
    stream.write_all(&frame(FIRST, true, b"{")).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let many = frame(MIDDLE, true, b" ").repeat(1000);
    let writer = tokio::spawn(async move { while writing.write_all(&many).await.is_ok() {} });
    assert_eq!(close_code(&mut reading).await, 1009);
    app.no_session_left().await;
    // The gateway reads on for a moment, so that its goodbye is not lost, and then hangs up.
    soon(writer).await.unwrap();
}

async fn until(stream: &mut TcpStream, kind: &str) {
    while !String::from_utf8_lossy(&read_frame(stream).await.1).contains(&format!("\"type\":\"{kind}\"")) {}
}
