//! A connection of one thread to one Redis server, for the question that every call waits for.
//!
//! The client library hands a command to a task, which hands it to another; between calls that come a few
//! milliseconds apart each step is a good deal slower than the same in a loop. Here whoever asks writes, and one task
//! reads the answers, in the order of the questions. It is for a single server without TLS; clusters, sentinels and
//! TLS are the client library's business, and so is everything while no such connection stands
//! (`docs/decisions/redis-connection.md`).

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use fred::types::config::{Config, ServerConfig};
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::encode::extend_encode_borrowed;
use redis_protocol::resp2::types::{BorrowedFrame, BytesFrame};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::ReplicasError;

/// What may wait to be written; more is refused, and the caller uses another connection.
const MOST_UNSENT: usize = 1024 * 1024;
/// Answers that may be waited for.
const MOST_WAITING: usize = 16_384;
/// What is read at once.
const READ_BYTES: usize = 16 * 1024;
/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often whoever waits for a connection looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Errors by which a server says that it is not the one to ask: another may have its name by now.
const LEAVE: [&[u8]; 4] = [b"READONLY", b"MASTERDOWN", b"CLUSTERDOWN", b"LOADING"];

/// The connection, which is made again in the background for as long as this lives.
#[derive(Debug)]
pub(crate) struct Direct {
    line: Arc<Line>,
    task: JoinHandle<()>,
}

/// Where it leads.
#[derive(Clone)]
struct Server {
    host: String,
    port: u16,
    username: Option<String>,
    password: Option<String>,
    database: Option<u8>,
    /// How long an attempt to connect, and an answer, may take.
    patience: Duration,
}

#[derive(Debug, Default)]
struct Line {
    open: Mutex<Option<Open>>,
    /// Something could not be written at once.
    unsent: Notify,
}

#[derive(Debug)]
struct Open {
    socket: Arc<TcpStream>,
    /// Who waits, in the order of the questions, and since when.
    waiting: VecDeque<(Instant, oneshot::Sender<BytesFrame>)>,
    unsent: BytesMut,
}

impl Direct {
    /// Begins to connect; `None` where this is no single server without TLS. Must be called inside a tokio runtime,
    /// which is the one that reads.
    pub(crate) fn connect(config: &Config, patience: Duration) -> Option<Self> {
        let ServerConfig::Centralized { server } = &config.server else { return None };
        if config.tls.is_some() {
            return None;
        }
        let server = Server {
            host: server.host.to_string(),
            port: server.port,
            username: config.username.clone(),
            password: config.password.clone(),
            database: config.database,
            patience,
        };
        let line = Arc::new(Line::default());
        let task = tokio::spawn(keep_open(server, Arc::clone(&line)));
        Some(Self { line, task })
    }

    /// Waits until a connection stands.
    pub(crate) async fn wait_until_open(&self) {
        while self.line.lock().is_none() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Sends a command and gives what will be its answer; `None` where no connection stands, or it takes no more.
    pub(crate) fn ask<'a>(&self, words: impl Iterator<Item = &'a [u8]>) -> Option<oneshot::Receiver<BytesFrame>> {
        let mut line = self.line.lock();
        let open = line.as_mut()?;
        if open.unsent.len() > MOST_UNSENT || open.waiting.len() >= MOST_WAITING {
            return None;
        }
        // What waits already is written by the task, in its order.
        let nothing_waits = open.unsent.is_empty();
        let written = encode(words, &mut open.unsent).and_then(|()| if nothing_waits { open.write() } else { Ok(()) });
        if written.is_err() {
            *line = None;
            self.line.unsent.notify_one();
            return None;
        }
        let (answered, answer) = oneshot::channel();
        open.waiting.push_back((Instant::now(), answered));
        if !open.unsent.is_empty() {
            self.line.unsent.notify_one();
        }
        Some(answer)
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Writes as much as the socket takes.
    fn write(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.socket.try_write(&self.unsent) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.unsent.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A command as RESP2 has it: a list of its words.
fn encode<'a>(words: impl Iterator<Item = &'a [u8]>, to: &mut BytesMut) -> io::Result<()> {
    let words: Vec<BorrowedFrame<'a>> = words.map(BorrowedFrame::BulkString).collect();
    extend_encode_borrowed(to, &BorrowedFrame::Array(&words), false)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(())
}

async fn keep_open(server: Server, line: Arc<Line>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match timeout(server.patience, open(&server)).await {
            Ok(Ok((socket, read))) => {
                pause = FIRST_PAUSE;
                let socket = Arc::new(socket);
                *line.lock() =
                    Some(Open { socket: Arc::clone(&socket), waiting: VecDeque::new(), unsent: BytesMut::new() });
                let ended = serve(&socket, &line, read, server.patience).await;
                // Who waits is told by the end of its channel.
                *line.lock() = None;
                tracing::debug!(?ended, "a connection to Redis has ended");
            }
            Ok(Err(error)) => tracing::debug!(%error, "a thread has no connection to Redis of its own"),
            Err(_) => tracing::debug!("a thread has no connection to Redis of its own: it takes too long"),
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// Connects, says who asks, and chooses the database.
async fn open(server: &Server) -> io::Result<(TcpStream, BytesMut)> {
    let socket = TcpStream::connect((server.host.as_str(), server.port)).await?;
    socket.set_nodelay(true)?;
    let mut greeting = BytesMut::new();
    let mut questions = 0;
    if let Some(password) = &server.password {
        let words = [Some("AUTH"), server.username.as_deref(), Some(password)].into_iter().flatten();
        encode(words.map(str::as_bytes), &mut greeting)?;
        questions += 1;
    }
    if let Some(database) = server.database.filter(|database| *database != 0) {
        encode([b"SELECT".as_slice(), database.to_string().as_bytes()].into_iter(), &mut greeting)?;
        questions += 1;
    }
    // A server that loads its data, or is a replica that lost its master, says so here.
    encode([b"PING".as_slice()].into_iter(), &mut greeting)?;
    questions += 1;
    while !greeting.is_empty() {
        socket.writable().await?;
        match socket.try_write(&greeting) {
            Ok(count) => greeting.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let mut read = BytesMut::with_capacity(READ_BYTES);
    while questions > 0 {
        match decode(&mut read)? {
            Some(BytesFrame::Error(error)) => return Err(io::Error::other(error.to_string())),
            Some(_) => questions -= 1,
            None => read_some(&socket, &mut read).await?,
        }
    }
    Ok((socket, read))
}

/// Reads answers and writes what waits, until the connection ends.
async fn serve(socket: &TcpStream, line: &Line, mut read: BytesMut, patience: Duration) -> io::Result<()> {
    let mut looks = tokio::time::interval(patience);
    loop {
        let is_left = line.lock().as_ref().map(|open| !open.unsent.is_empty());
        let Some(is_left) = is_left else { return Ok(()) };
        tokio::select! {
            more = read_some(socket, &mut read) => more?,
            writable = socket.writable(), if is_left => {
                writable?;
                if let Some(open) = line.lock().as_mut() {
                    open.write()?;
                }
            }
            () = line.unsent.notified() => {}
            _ = looks.tick() => {
                let late = |open: &Open| open.waiting.front().is_some_and(|(asked, _)| asked.elapsed() > patience);
                if line.lock().as_ref().is_some_and(late) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
        while let Some(frame) = decode(&mut read)? {
            let leaves = matches!(&frame, BytesFrame::Error(error)
                if LEAVE.iter().any(|word| error.as_bytes().starts_with(word)));
            let next = line.lock().as_mut().and_then(|open| open.waiting.pop_front());
            let Some((_, asked)) = next else {
                return Err(io::Error::other("an answer came that nobody asked for"));
            };
            // Whoever asked may have lost patience.
            asked.send(frame).ok();
            if leaves {
                return Ok(());
            }
        }
    }
}

async fn read_some(socket: &TcpStream, into: &mut BytesMut) -> io::Result<()> {
    loop {
        socket.readable().await?;
        into.reserve(READ_BYTES);
        match socket.try_read_buf(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn decode(read: &mut BytesMut) -> io::Result<Option<BytesFrame>> {
    let decoded = decode_bytes_mut(read).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(decoded.map(|(frame, ..)| frame))
}

/// The texts that a script gives.
pub(crate) fn texts(frame: BytesFrame) -> Result<Vec<String>, ReplicasError> {
    match frame {
        BytesFrame::Array(frames) => frames.into_iter().map(text).collect(),
        BytesFrame::Null => Ok(Vec::new()),
        BytesFrame::Error(error) => Err(ReplicasError::said(&error)),
        frame => Ok(vec![text(frame)?]),
    }
}

fn text(frame: BytesFrame) -> Result<String, ReplicasError> {
    match frame {
        BytesFrame::BulkString(bytes) | BytesFrame::SimpleString(bytes) => {
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        BytesFrame::Integer(number) => Ok(number.to_string()),
        BytesFrame::Null => Ok(String::new()),
        BytesFrame::Error(error) => Err(ReplicasError::said(&error)),
        BytesFrame::Array(_) => Err(ReplicasError::Answer { answer: "lists in a list".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    /// A server that reads what it is sent and writes what it is told, and one that goes to it.
    async fn server(path: &str) -> (TcpListener, Direct) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{path}", path = path.replace("HERE", &listener.local_addr().unwrap().to_string()));
        let direct = Direct::connect(&Config::from_url(&url).unwrap(), SHORT).unwrap();
        (listener, direct)
    }

    async fn reads(socket: &mut TcpStream, wanted: &str) {
        let mut read = vec![0; wanted.len()];
        socket.read_exact(&mut read).await.unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), wanted);
    }

    async fn accept(listener: &TcpListener) -> TcpStream {
        let (mut socket, _) = listener.accept().await.unwrap();
        reads(&mut socket, "*1\r\n$4\r\nPING\r\n").await;
        socket.write_all(b"+PONG\r\n").await.unwrap();
        socket
    }

    fn ask(direct: &Direct, word: &str) -> oneshot::Receiver<BytesFrame> {
        direct.ask([word.as_bytes()].into_iter()).unwrap()
    }

    #[tokio::test]
    async fn answers_in_any_pieces_come_to_who_asked_in_their_order() {
        let (listener, direct) = server("HERE").await;
        let mut socket = accept(&listener).await;
        direct.wait_until_open().await;
        let asked = [ask(&direct, "a"), ask(&direct, "b"), ask(&direct, "c")];
        reads(&mut socket, "*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n*1\r\n$1\r\nc\r\n").await;
        for byte in b"*2\r\n$1\r\nx\r\n:7\r\n-ERR no\r\n$2\r\n\r\n\r\n" {
            socket.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(texts(answer.await.unwrap()));
        }
        assert_eq!(answers[0].as_ref().unwrap(), &["x", "7"]);
        assert!(matches!(&answers[1], Err(ReplicasError::Refused { reason }) if reason == "ERR no"));
        assert_eq!(answers[2].as_ref().unwrap(), &["\r\n"]);
    }

    #[tokio::test]
    async fn more_than_a_socket_takes_at_once_arrives_whole_and_more_than_that_is_refused() {
        let (listener, direct) = server("HERE").await;
        let mut socket = accept(&listener).await;
        direct.wait_until_open().await;
        let much = "m".repeat(300_000);
        let mut asked = Vec::new();
        while let Some(answer) = direct.ask([much.as_bytes()].into_iter()) {
            asked.push(answer);
            assert!(asked.len() < 1_000, "what waits is bounded");
        }
        for answer in asked {
            reads(&mut socket, &format!("*1\r\n$300000\r\n{much}\r\n")).await;
            socket.write_all(b"+ok\r\n").await.unwrap();
            assert_eq!(texts(answer.await.unwrap()).unwrap(), ["ok"]);
        }
        assert!(direct.ask([b"again".as_slice()].into_iter()).is_some());
    }

    #[tokio::test]
    async fn whoever_waits_is_told_that_a_connection_ended_and_another_is_made() {
        let (listener, direct) = server("HERE").await;
        for end in ["$5\r\nhal", "-READONLY You can't write\r\n", "+ok\r\n+nobody asked\r\n", "?\r\n", ""] {
            let mut socket = accept(&listener).await;
            direct.wait_until_open().await;
            let (first, second) = (ask(&direct, "a"), ask(&direct, "b"));
            socket.write_all(end.as_bytes()).await.unwrap();
            // One that says nothing is left after a while.
            let silent = end.is_empty().then_some(socket);
            let first = first.await.map(texts);
            assert_eq!(first.is_ok(), end.starts_with("-R") || end.starts_with("+ok"), "{end}: {first:?}");
            if !end.starts_with("+ok") {
                second.await.unwrap_err();
            }
            drop(silent);
        }
    }

    #[tokio::test]
    async fn a_password_and_a_database_are_told_first_and_a_refusal_makes_no_connection() {
        let (listener, direct) = server("me:secret@HERE/3").await;
        let greeting =
            "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n";
        for (answer, opens) in [("-WRONGPASS no\r\n", false), ("+OK\r\n+OK\r\n+PONG\r\n", true)] {
            let (mut socket, _) = listener.accept().await.unwrap();
            reads(&mut socket, greeting).await;
            socket.write_all(answer.as_bytes()).await.unwrap();
            assert_eq!(timeout(SHORT / 4, direct.wait_until_open()).await.is_ok(), opens, "{answer}");
        }
    }
}
