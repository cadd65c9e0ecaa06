//! Realtime sessions: 20 ms of audio every 20 ms, and how long its echo takes.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::MissedTickBehavior};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, Utf8Bytes, client::IntoClientRequest, protocol::WebSocketConfig},
};

use super::{Options, Scenario, Seen, micros};

/// 20 ms of PCM16 at 24 kHz.
const FRAME_BYTES: usize = 960;
pub(crate) const FRAME: Duration = Duration::from_millis(20);
/// How long the last echoes may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Holds one session from `delay` on until `end`.
pub(crate) async fn session(options: &Options, delay: Duration, end: Instant) -> anyhow::Result<Seen> {
    tokio::time::sleep(delay).await;
    let mut seen = Seen::new()?;
    if let Err(error) = hold(options, end, &mut seen).await {
        seen.fail(&error);
    }
    Ok(seen)
}

async fn hold(options: &Options, end: Instant, seen: &mut Seen) -> anyhow::Result<()> {
    let mut socket = open(options.target, "/v1", &options.key, &options.model).await?;
    let created = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.context("no first event")?;
    let Some(Ok(Message::Text(text))) = created else { bail!("the session ended before its first event") };
    anyhow::ensure!(text.contains("session.created"), "the first event is {}", text.as_str());
    match options.scenario {
        Scenario::Conversation => configure(&mut socket, "You echo what you hear.").await?,
        Scenario::Silence => configure(&mut socket, "You answer.").await?,
        _ => {}
    }
    if matches!(options.scenario, Scenario::Idle | Scenario::Silence) {
        return idle(&mut socket, end).await;
    }
    talk(options, &mut socket, end, seen).await
}

/// Tells an agent what it is to do, and waits until it is there to do it.
async fn configure(socket: &mut WebSocketStream<TcpStream>, instructions: &str) -> anyhow::Result<()> {
    let update = serde_json::json!({
        "type": "session.update", "session": {"type": "realtime", "instructions": instructions},
    });
    socket.send(Message::text(update.to_string())).await?;
    let updated = async {
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            anyhow::ensure!(!text.contains("\"type\":\"error\""), "{}", text.as_str());
            if text.contains("session.updated") {
                return Ok(());
            }
        }
        bail!("the session ended before it was configured")
    };
    tokio::time::timeout(Duration::from_secs(10), updated).await.context("no configuration")?
}

/// Opens a session.
pub(crate) async fn open(
    target: SocketAddr,
    prefix: &str,
    key: &str,
    model: &str,
) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let mut request = format!("ws://{target}{prefix}/realtime?model={model}").into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse()?);
    let stream = TcpStream::connect(target).await.context("connect")?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(8 * 1024).write_buffer_size(0);
    Ok(client_async_with_config(request, stream, Some(config)).await.context("handshake")?.0)
}

async fn idle(socket: &mut WebSocketStream<TcpStream>, end: Instant) -> anyhow::Result<()> {
    loop {
        match tokio::time::timeout_at(end.into(), socket.next()).await {
            Err(_) => {
                drop(socket.close(None).await);
                return Ok(());
            }
            Ok(Some(Ok(Message::Close(frame)))) => bail!("closed: {frame:?}"),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return Err(error.into()),
            Ok(None) => bail!("ended"),
        }
    }
}

/// The event that appends 20 ms of audio.
pub(crate) fn frame() -> Utf8Bytes {
    let audio = STANDARD.encode([0x11_u8; FRAME_BYTES]);
    Utf8Bytes::from(format!("{{\"type\":\"input_audio_buffer.append\",\"audio\":\"{audio}\"}}"))
}

async fn talk(
    options: &Options,
    socket: &mut WebSocketStream<TcpStream>,
    end: Instant,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let frame = frame();
    let mut ticks = tokio::time::interval(FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    let mut sent = 0_u32;
    loop {
        tokio::select! {
            due = ticks.tick(), if Instant::now() < end => {
                sent = sent.wrapping_add(1);
                if options.echo_every > 0 && sent.is_multiple_of(options.echo_every) {
                    // From when the frame was due: a generator that falls behind does not flatter the gateway.
                    waiting.push_back(due.into_std());
                }
                seen.units += 1;
                socket.send(Message::Text(frame.clone())).await?;
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) if text.contains("response.output_audio.delta") => {
                    seen.units += 1;
                    match waiting.pop_front() {
                        Some(due) => seen.total.saturating_record(micros(due).max(1)),
                        // Silence stands in for a client that is late, and has an echo as well.
                        None if options.scenario == Scenario::Conversation => {}
                        None => bail!("an echo of nothing"),
                    }
                }
                Some(Ok(Message::Text(text))) if text.contains("\"type\":\"error\"") => bail!("{}", text.as_str()),
                Some(Ok(Message::Close(frame))) => bail!("closed: {frame:?}"),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("ended"),
            },
            () = tokio::time::sleep_until((end + PATIENCE).into()) => bail!("{} echoes never came", waiting.len()),
        }
        if Instant::now() >= end && waiting.is_empty() {
            drop(socket.close(None).await);
            return Ok(());
        }
    }
}
