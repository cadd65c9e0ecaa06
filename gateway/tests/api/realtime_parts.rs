//! What tests of sessions share beside the helpers of every test.

use domain::ids::RequestId;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_tungstenite::tungstenite::Message;

use crate::helpers::{Realtime, TestApp, soon};

/// A client's frame: its first byte as given, its mask zero, so that the payload stays readable.
pub(crate) fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let mask = if masked { 0x80 } else { 0 };
    match u16::try_from(payload.len()) {
        Ok(short) if short < 126 => frame.push(mask | payload.len() as u8),
        Ok(short) => {
            frame.push(mask | 126);
            frame.extend(short.to_be_bytes());
        }
        Err(_) => {
            frame.push(mask | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if masked {
        frame.extend([0; 4]);
    }
    frame.extend(payload);
    frame
}

/// A client's close frame.
pub(crate) fn closing(code: u16) -> Vec<u8> {
    frame(0x88, true, &code.to_be_bytes())
}

/// A server's frame: its opcode and its payload.
pub(crate) async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let first = soon(stream.read_u8()).await.unwrap();
    let length = match soon(stream.read_u8()).await.unwrap() {
        126 => u64::from(stream.read_u16().await.unwrap()),
        127 => stream.read_u64().await.unwrap(),
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    soon(stream.read_exact(&mut payload)).await.unwrap();
    (first & 0x0F, payload)
}

/// Reads frames of a server until its close frame, and gives the code.
pub(crate) async fn close_code(stream: &mut (impl AsyncRead + Unpin)) -> u16 {
    loop {
        if let (8, payload) = read_frame(stream).await {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

impl TestApp {
    /// How many turns and transcripts of a session would be recorded if the gateway were killed now.
    /// Asked before any of them has ended.
    pub(crate) fn noted(&self, id: RequestId) -> usize {
        let slots = std::fs::read(self.spool().with_file_name("journal").join("open-calls")).unwrap();
        let id = id.to_string();
        let slots = slots.chunks(4096).filter(|slot| slot[..4] != [0; 4]);
        slots.filter(|slot| String::from_utf8_lossy(slot).contains(&id)).count()
    }

    /// Waits until every session has ended.
    pub(crate) async fn no_session_left(&self) {
        soon(async {
            while !self.gateway.sessions.is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Realtime {
    /// The code and the reason with which the gateway closes.
    pub(crate) async fn farewell(&mut self) -> (u16, String) {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Ok(_)) => {}
                other => panic!("no goodbye came, but {other:?}"),
            }
        }
    }

    /// Breaks the connection with a reset: nothing more is read, and nothing said.
    pub(crate) fn vanish(self) {
        let stream = self.socket.into_inner();
        stream.set_zero_linger().unwrap();
        drop(stream);
    }
}
