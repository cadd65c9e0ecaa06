//! A server that takes messages: it answers as it is told, and passes on what it was sent.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// One request.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    answers: Arc<Mutex<VecDeque<String>>>,
    requests: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    /// Answers each request with the next of `answers`, which are a status with whatever headers, and 200
    /// when they are used up.
    pub(crate) async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/T0/B0/xyzzy-canary", listener.local_addr().unwrap());
        let answers: VecDeque<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let answers = Arc::new(Mutex::new(answers));
        let (sender, requests) = mpsc::unbounded_channel();
        let waiting = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mut socket = BufReader::new(socket);
                let received = read(&mut socket).await;
                let status = waiting.lock().unwrap().pop_front().unwrap_or_else(|| "200 OK".to_owned());
                let body = "a".repeat(5_000);
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 5000\r\n\r\n{body}");
                // A peer that has read enough may be gone.
                drop(socket.write_all(head.as_bytes()).await);
                if sender.send(received).is_err() {
                    break;
                }
            }
        });
        Self { url, answers, requests }
    }

    pub(crate) fn answers_left(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    /// The next request, which must have come already or be on its way.
    pub(crate) async fn next(&mut self) -> Received {
        self.requests.recv().await.unwrap()
    }

    pub(crate) fn nothing_more(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }
}

async fn read(socket: &mut BufReader<tokio::net::TcpStream>) -> Received {
    let mut headers = HashMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        socket.read_line(&mut line).await.unwrap();
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    socket.read_exact(&mut body).await.unwrap();
    Received { headers, body: String::from_utf8(body).unwrap() }
}
