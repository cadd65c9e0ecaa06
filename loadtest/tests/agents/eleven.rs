//! Conversations of `ElevenLabs`' translator with the scripted agent, over real sockets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dialects::conversation::agent::{Agent, AgentOpener, Incoming, Order, Said, Way};
use dialects::conversation::setup::{Medium, Setup, Tool, ToolChoice};
use dialects::live::{Frame, LiveFault};
use dialects::registry::provider;
use domain::audio::{PCM_24K, RealtimeFormat};
use domain::provider::ProviderKind;
use futures_util::{SinkExt, StreamExt};
use loadtest::live::hearing::word_audio;
use loadtest::live::mind::{COMMANDS, NAMES};
use loadtest::live::{self, Handle};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const KEY: &str = "sk-upstream";

fn setup(agent: &str) -> Setup {
    Setup {
        model: agent.to_owned(),
        options: BTreeMap::new(),
        instructions: "Be brief.".to_owned(),
        voice: None,
        speed: 1.0,
        temperature: None,
        max_output_tokens: None,
        output: Medium::Audio,
        tools: vec![Tool { name: "get_weather".to_owned(), description: String::new(), parameters: json!({}) }],
        tool_choice: ToolChoice::Auto,
        input_format: RealtimeFormat::Pcm16(PCM_24K),
        output_format: RealtimeFormat::Pcm16(PCM_24K),
        turns: None,
        create_response: true,
        interrupt_response: true,
        transcription: None,
        history: Vec::new(),
    }
}

/// One conversation.
struct Call {
    agent: Box<dyn Agent>,
    socket: WebSocketStream<TcpStream>,
    began: Instant,
    said: Vec<Said>,
    fault: Option<LiveFault>,
}

impl Call {
    async fn open(vendors: &Handle, setup: &Setup) -> Self {
        let opener: &'static dyn AgentOpener = provider(ProviderKind::Elevenlabs).unwrap().agent.unwrap();
        let mut agent = opener.agent(setup);
        let (address, key) = match opener.plan(setup).unwrap().way {
            Way::Socket(endpoint) => (format!("ws://{}{}", vendors.addr, endpoint.path), Some(KEY)),
            Way::Asked { endpoint, .. } => {
                let mut stream = TcpStream::connect(vendors.addr).await.unwrap();
                let request = format!("GET {} HTTP/1.1\r\nhost: x\r\nxi-api-key: {KEY}\r\n\r\n", endpoint.path);
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                (agent.invited(answer.split("\r\n\r\n").nth(1).unwrap().as_bytes()).unwrap(), None)
            }
        };
        let mut request = address.into_client_request().unwrap();
        if let Some(key) = key {
            request.headers_mut().insert("xi-api-key", key.parse().unwrap());
        }
        let stream = TcpStream::connect(vendors.addr).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        let mut call = Self { agent, socket, began: Instant::now(), said: Vec::new(), fault: None };
        let mut out = Vec::new();
        call.agent.opened(0, &mut out);
        call.send(out).await;
        call
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis().try_into().unwrap()
    }

    async fn send(&mut self, out: Vec<Frame>) {
        for frame in out {
            let Frame::Text(text) = frame else { panic!("{frame:?}") };
            self.socket.send(Message::text(text)).await.unwrap();
        }
    }

    async fn order(&mut self, order: Order<'_>) {
        let mut out = Vec::new();
        self.agent.order(order, self.now(), &mut out).unwrap();
        self.send(out).await;
    }

    async fn ask(&mut self, text: &str) {
        self.order(Order::UserText(text)).await;
        self.order(Order::Respond { instructions: None }).await;
    }

    /// Words and the silence behind them.
    async fn speak(&mut self, words: &[u32]) {
        let mut audio: Vec<u8> = words.iter().flat_map(|word| word_audio(*word, 200, 16_000)).collect();
        audio.resize(audio.len() + 16_000, 0);
        for piece in audio.chunks(3_200) {
            let mut out = Vec::new();
            self.agent.audio(piece, &mut out);
            self.send(out).await;
        }
    }

    /// What is said up to something.
    async fn until(&mut self, last: impl Fn(&Said) -> bool) -> Vec<Said> {
        let held = async {
            loop {
                if let Some(at) = self.said.iter().position(&last) {
                    let rest = self.said.split_off(at + 1);
                    return std::mem::replace(&mut self.said, rest);
                }
                assert!(self.step().await, "closed after {:?}", self.said);
            }
        };
        tokio::time::timeout(Duration::from_secs(30), held).await.unwrap()
    }

    async fn response(&mut self) -> Vec<Said> {
        self.until(|said| *said == Said::ResponseEnded).await
    }

    /// What happens next; `false` when the conversation is over.
    async fn step(&mut self) -> bool {
        let due = self
            .agent
            .next_tick()
            .map_or(Duration::from_secs(60), |due| Duration::from_millis(due.saturating_sub(self.now())));
        let came = tokio::time::timeout(due, self.socket.next()).await;
        let (now, mut out) = (self.now(), Vec::new());
        match came {
            Err(_) => self.agent.tick(now.max(self.agent.next_tick().unwrap()), &mut self.said, &mut out),
            Ok(Some(Ok(Message::Text(text)))) => {
                self.agent.read(Incoming::Text(&text), now, &mut self.said, &mut out);
            }
            Ok(Some(Ok(Message::Close(Some(frame))))) => {
                self.fault = self.agent.closed(frame.code.into(), &frame.reason);
                return false;
            }
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(_)) | None) => return false,
        }
        self.send(out).await;
        true
    }
}

fn text(said: &[Said]) -> String {
    said.iter()
        .filter_map(|said| match said {
            Said::Text(text) | Said::TextAll(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn audio(said: &[Said]) -> usize {
    said.iter().map(|said| if let Said::Audio(bytes) = said { bytes.len() } else { 0 }).sum()
}

fn command(name: &str) -> u32 {
    COMMANDS + u32::try_from(NAMES.iter().position(|known| *known == name).unwrap()).unwrap()
}

#[tokio::test]
async fn a_conversation_is_held_and_interrupted() {
    let vendors = live::start(live::Config::default()).await.unwrap();
    let mut setup = setup("agent_1");
    setup.options.insert("first_message".to_owned(), "Welcome.".to_owned());
    let mut call = Call::open(&vendors, &setup).await;
    let greeting = call.response().await;
    assert_eq!((text(&greeting), audio(&greeting)), ("Welcome.".to_owned(), 32_000));
    call.speak(&[7, 8]).await;
    let turn = call.response().await;
    // The end of the greeting was still to be played.
    let apart = |said: &&Said| !matches!(said, Said::Audio(_) | Said::Interrupted | Said::TextCorrected(_));
    let heard: Vec<&Said> = turn.iter().filter(apart).collect();
    let expected = [
        &Said::SpeechStarted,
        &Said::SpeechStopped,
        &Said::HeardAll("w7 w8".to_owned()),
        &Said::ResponseStarted,
        &Said::TextAll("You said w7 w8.".to_owned()),
        &Said::ResponseEnded,
    ];
    assert_eq!(heard, expected);
    call.speak(&[command("story")]).await;
    call.until(|said| matches!(said, Said::Audio(_))).await;
    call.speak(&[9]).await;
    let cut = call.until(|said| matches!(said, Said::TextCorrected(_))).await;
    assert!(cut.contains(&Said::Interrupted) && !cut.contains(&Said::ResponseEnded));
    let Some(Said::TextCorrected(kept)) = cut.last() else { panic!("{cut:?}") };
    let story: String = (1..=40).map(|part| format!("Part {part}. ")).collect();
    assert!(story.starts_with(kept.as_str()) && kept.len() < story.len() / 2, "{kept}");
    let late = cut.iter().skip_while(|said| **said != Said::Interrupted);
    assert_eq!(late.filter(|said| matches!(said, Said::Audio(_))).count(), 0, "what comes late is not heard");
    assert_eq!(text(&call.response().await), "You said w9.");
    let seen = vendors.seen();
    assert_eq!(seen.violations, Vec::<String>::new());
    assert!(seen.messages.iter().any(|message| message.contains("pong")));
    assert_eq!(seen.words, ["w7", "w8", "w2002", "w9"]);
}

#[tokio::test]
async fn functions_are_called_together_and_answered() {
    let vendors = live::start(live::Config::default()).await.unwrap();
    // Its end is not told.
    let mut call = Call::open(&vendors, &setup("agent_plain")).await;
    call.until(|said| matches!(said, Said::Ready { .. })).await;
    call.ask("both").await;
    let calls = call.response().await;
    let ids: Vec<String> = calls
        .iter()
        .filter_map(|said| match said {
            Said::ToolCall { call_id, name, .. } if name == "get_weather" => Some(call_id.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(ids.len(), 2, "{calls:?}");
    for id in &ids {
        call.order(Order::ToolOutput { call_id: id, name: "get_weather", output: "sun" }).await;
    }
    call.order(Order::Respond { instructions: None }).await;
    assert_eq!(text(&call.response().await), "Oslo: sun. Rome: sun.");
    call.ask("trouble").await;
    let failed = call.until(|said| matches!(said, Said::Failed(_))).await;
    assert!(format!("{failed:?}").contains("language model has failed"), "{failed:?}");
    while call.step().await {}
    assert_eq!(call.fault.map(|fault| fault.code), Some("upstream_error"));
    assert_eq!(vendors.seen().violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_private_agent_is_reached_by_its_signed_address_and_writes() {
    let vendors = live::start(live::Config::default()).await.unwrap();
    let mut setup = Setup { output: Medium::Text, ..setup("agent_private") };
    setup.options.insert("access".to_owned(), "signed".to_owned());
    let mut call = Call::open(&vendors, &setup).await;
    call.until(|said| matches!(said, Said::Ready { .. })).await;
    call.ask("hello there").await;
    let said = call.response().await;
    let pieces: Vec<&str> =
        said.iter().filter_map(|said| if let Said::Text(text) = said { Some(text.as_str()) } else { None }).collect();
    assert_eq!(pieces.concat(), "You said hello there.");
    assert!(pieces.len() > 1 && audio(&said) == 0, "{said:?}");
    let seen = vendors.seen();
    assert_eq!(seen.violations, Vec::<String>::new());
    assert!(seen.connections.last().unwrap().contains("conversation_signature="));
}

#[tokio::test]
async fn an_agent_that_allows_no_overrides_says_so() {
    let vendors = live::start(live::Config::default()).await.unwrap();
    let mut call = Call::open(&vendors, &setup("agent_locked")).await;
    while call.step().await {}
    let [Said::Failed(fault)] = &call.said[..] else { panic!("{:?}", call.said) };
    assert!(fault.message.contains("security settings"), "{}", fault.message);
    assert_eq!(call.fault.as_ref(), Some(fault), "the close says the same");
    // With the option it is as it was made: it greets.
    let mut setup = setup("agent_locked_ulaw");
    setup.options.insert("overrides".to_owned(), "none".to_owned());
    let mut call = Call::open(&vendors, &setup).await;
    let ready = call.until(|said| matches!(said, Said::Ready { .. })).await;
    let ulaw = Some(RealtimeFormat::Pcmu);
    assert_eq!(ready.last(), Some(&Said::Ready { input: ulaw, output: ulaw }));
    let greeting = call.response().await;
    assert_eq!((text(&greeting), audio(&greeting)), ("Hello, I am your agent.".to_owned(), 8_000));
    assert_eq!(vendors.seen().violations, Vec::<String>::new());
}
