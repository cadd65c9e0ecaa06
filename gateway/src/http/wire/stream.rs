//! A client's connection whose heads are checked as they pass and whose waits have an end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::wire::chunks::Chunks;
use crate::http::wire::head::{Framing, HeadFault, Target, has_end, read};
use crate::settings::InForce;

/// Bytes taken from the socket at once while a head is gathered.
const GATHER: usize = 4096;
/// What the server writes before a body that waits for it.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// How long a client that is still sending may take to read why it was refused.
const LINGER: Duration = Duration::from_secs(1);

/// What every connection of a listener is held to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Bytes of a request's head.
    pub max_head: usize,
    /// From a head's first byte to its last; for the first head, from the start of the connection.
    pub header_read: Duration,
    /// Window in which a body must make progress; the handlers hold it to a rate besides.
    pub body_idle: Duration,
    /// Longest time in which a client takes not one byte of its answer.
    pub write: Duration,
}

impl Rules {
    /// As the settings in force say.
    #[must_use]
    pub fn of(now: &InForce) -> Self {
        let InForce { bounds, timeouts } = now;
        Self {
            max_head: bounds.max_header_bytes,
            header_read: timeouts.header_read,
            body_idle: timeouts.body_idle,
            write: timeouts.write,
        }
    }
}

/// What the next byte from the client belongs to.
#[derive(Debug)]
enum Phase {
    Head,
    Body(u64),
    Chunked(Chunks),
    /// Upgraded: the bytes are no requests any more.
    Raw,
    /// Nothing of what still comes is passed on. An open end, so that the server answers the refusal
    /// in its turn, or the end of the stream.
    Refused {
        end: bool,
    },
}

/// How far bytes can be passed on.
enum Followed {
    All,
    /// From here on there is a head whose end has not come.
    Gather(usize),
    /// From here on there is a head that is refused.
    Refuse(usize, HeadFault),
    /// From here on the body's framing is broken.
    Break(usize),
}

/// A clock that is made when it is first needed, and kept.
#[derive(Debug, Default)]
struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Deadline {
    fn start(&mut self, after: Duration) {
        if self.running {
            return;
        }
        self.running = true;
        let at = Instant::now() + after;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(sleep_until(at))),
        }
    }

    fn stop(&mut self) {
        self.running = false;
    }

    /// Whether the time is over; the task is woken when it is.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let Some(sleep) = self.sleep.as_mut().filter(|_| self.running) else { return false };
        let over = sleep.as_mut().poll(context).is_ready();
        self.running = !over;
        over
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct GuardedStream {
    io: TcpStream,
    rules: Arc<Rules>,
    /// Opened while the gateway stops: only its health is told.
    refuses_work: bool,
    phase: Phase,
    /// A head whose end has not come, and how much of it was searched for its end.
    held: BytesMut,
    searched: usize,
    /// Checked bytes that had no room in the reader's buffer.
    checked: BytesMut,
    reading: Deadline,
    writing: Deadline,
    is_first: bool,
    /// Whether no request waits for an answer to begin.
    answered: bool,
    /// The client will send no more. The server knows once the last request is being answered.
    ended: bool,
    reader: Option<Waker>,
}

impl GuardedStream {
    /// Guards a connection.
    #[must_use]
    pub fn new(io: TcpStream, rules: Arc<Rules>, refuses_work: bool) -> Self {
        Self {
            io,
            rules,
            refuses_work,
            phase: Phase::Head,
            held: BytesMut::new(),
            searched: 0,
            checked: BytesMut::new(),
            reading: Deadline::default(),
            writing: Deadline::default(),
            is_first: true,
            answered: true,
            ended: false,
            reader: None,
        }
    }

    /// Follows bytes through heads and bodies.
    fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return Followed::All;
            }
            match &mut self.phase {
                Phase::Raw | Phase::Refused { .. } => return Followed::All,
                Phase::Body(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    at += taken;
                    if *left == 0 {
                        self.phase = Phase::Head;
                    }
                }
                Phase::Chunked(chunks) => match chunks.follow(rest) {
                    Err(_) => return Followed::Break(at),
                    Ok((taken, ended)) => {
                        at += taken;
                        if ended {
                            self.phase = Phase::Head;
                        }
                    }
                },
                Phase::Head => match self.follow_head(rest) {
                    Err(fault) => return Followed::Refuse(at, fault),
                    Ok(None) => return Followed::Gather(at),
                    Ok(Some(end)) => at += end,
                },
            }
        }
    }

    /// Checks the head at the start of `bytes`, if it is whole; gives its length.
    fn follow_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadFault> {
        // A head that comes in pieces is read when it is whole.
        let head = if self.searched == 0 || has_end(bytes, self.searched)? { read(bytes)? } else { None };
        if head.map_or(bytes.len(), |head| head.length) > self.rules.max_head {
            return Err(HeadFault::TooLong);
        }
        let Some(head) = head else {
            self.searched = bytes.len();
            return Ok(None);
        };
        if self.refuses_work && head.target == Target::Work {
            return Err(HeadFault::Draining);
        }
        self.searched = 0;
        self.is_first = false;
        self.answered = false;
        self.reading.stop();
        self.phase = match head.framing {
            Framing::None => Phase::Head,
            Framing::Length(length) => Phase::Body(length),
            Framing::Chunked => Phase::Chunked(Chunks::default()),
            Framing::Upgrade => Phase::Raw,
        };
        Ok(Some(head.length))
    }

    /// Puts a request that the server answers with the refusal in the place of a head.
    fn refuse(&mut self, fault: HeadFault) {
        self.phase = Phase::Refused { end: false };
        self.reading.stop();
        self.answered = false;
        self.held = BytesMut::new();
        let stand_in = format!("GET /.refused/{} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n", fault.name());
        self.checked.extend_from_slice(stand_in.as_bytes());
    }

    fn settle(&mut self, followed: &Followed) {
        match followed {
            Followed::All | Followed::Gather(_) => {}
            Followed::Refuse(_, fault) => self.refuse(*fault),
            Followed::Break(_) => self.phase = Phase::Refused { end: true },
        }
    }

    /// Reads into the reader's own buffer: the usual way, without a copy. Gives whether there is
    /// something for the reader.
    fn poll_straight(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.io).poll_read(context, buffer)?.is_pending() {
            return self.poll_patience(context);
        }
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return self.poll_end(context);
        }
        let followed = self.follow(fresh);
        let passed = match followed {
            Followed::All => fresh.len(),
            Followed::Gather(at) | Followed::Refuse(at, _) | Followed::Break(at) => at,
        };
        if matches!(followed, Followed::Gather(_)) {
            self.held.extend_from_slice(fresh.get(passed..).unwrap_or_default());
        }
        if passed > 0 {
            self.reading.stop();
        }
        self.settle(&followed);
        buffer.set_filled(before + passed);
        Poll::Ready(Ok(passed > 0))
    }

    /// Reads more of a head that came in pieces. Gives whether there is something for the reader.
    fn poll_gather(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [0; GATHER];
        let mut more = ReadBuf::new(&mut room);
        if Pin::new(&mut self.io).poll_read(context, &mut more)?.is_pending() {
            return self.poll_patience(context);
        }
        if more.filled().is_empty() {
            return self.poll_end(context);
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(more.filled());
        let followed = self.follow(&held);
        match followed {
            Followed::All => self.checked = held,
            Followed::Gather(at) => {
                self.checked = held.split_to(at);
                self.held = held;
            }
            Followed::Refuse(at, _) | Followed::Break(at) => self.checked = held.split_to(at),
        }
        self.settle(&followed);
        Poll::Ready(Ok(!self.checked.is_empty()))
    }

    /// Nothing has come: how much longer is that borne?
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self.phase {
            // A connection between two requests may be quiet as long as the server keeps it.
            Phase::Head if self.held.is_empty() && !self.is_first => return Poll::Pending,
            Phase::Raw | Phase::Refused { .. } => return Poll::Pending,
            Phase::Head => self.reading.start(self.rules.header_read),
            Phase::Body(_) | Phase::Chunked(_) => self.reading.start(self.rules.body_idle * 2),
        }
        if !self.reading.is_over(context) {
            return Poll::Pending;
        }
        if matches!(self.phase, Phase::Head) {
            self.refuse(HeadFault::TooSlow);
        } else {
            self.phase = Phase::Refused { end: true };
        }
        Poll::Ready(Ok(false))
    }

    /// The client will send no more. The server takes that for the end of a body that it has not read
    /// to its end yet, so that a client which closes its half after its request would get no answer:
    /// it learns of it when it has begun to answer.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.held = BytesMut::new();
        self.ended = true;
        if matches!(self.phase, Phase::Head) && !self.answered {
            return self.wait_for_answer(context);
        }
        self.answered = true;
        Poll::Ready(Ok(false))
    }

    fn wait_for_answer<T>(&mut self, context: &mut Context<'_>) -> Poll<T> {
        if !self.reader.as_ref().is_some_and(|reader| reader.will_wake(context.waker())) {
            self.reader = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// A client that takes nothing for too long is left.
    fn poll_stalled(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // A session says by itself that its reader is too slow; this ends what it cannot.
        let patience = if matches!(self.phase, Phase::Raw) { 2 } else { 1 };
        self.writing.start(self.rules.write * patience);
        if !self.writing.is_over(context) {
            return Poll::Pending;
        }
        // The kernel reports room only when a third of its buffer is free. Whoever plays what it hears
        // may need longer for that, so it is asked whether it has room for anything at all.
        match SockRef::from(&self.io).send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tracing::info!("a client takes nothing of its answer");
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            sent => Poll::Ready(sent),
        }
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.checked.is_empty() {
                let room = this.checked.len().min(buffer.remaining());
                buffer.put_slice(this.checked.get(..room).unwrap_or_default());
                this.checked.advance(room);
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return if this.answered { Poll::Ready(Ok(())) } else { this.wait_for_answer(context) };
            }
            if let Phase::Refused { end } = this.phase {
                return if end { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            let something =
                if this.held.is_empty() { this.poll_straight(context, buffer) } else { this.poll_gather(context) };
            if ready!(something)? && this.checked.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match Pin::new(&mut this.io).poll_write(context, bytes) {
            Poll::Pending => ready!(this.poll_stalled(context, bytes)),
            Poll::Ready(written) => written,
        };
        this.writing.stop();
        // What invites the body is no answer to it.
        this.answered |= bytes != CONTINUE;
        if let Some(reader) = this.reader.take() {
            reader.wake();
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
        if !matches!(this.phase, Phase::Refused { .. }) || this.ended {
            return Poll::Ready(Ok(()));
        }
        // Closed with bytes unread, the connection would be reset, and the client might lose the
        // answer that tells it why.
        this.reading.start(LINGER);
        let mut room = [0; GATHER];
        loop {
            let mut unwanted = ReadBuf::new(&mut room);
            if this.reading.is_over(context) {
                return Poll::Ready(Ok(()));
            }
            match Pin::new(&mut this.io).poll_read(context, &mut unwanted) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !unwanted.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, GuardedStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let second = Duration::from_secs(1);
        let rules = Rules { max_head: 1024, header_read: second, body_idle: second, write: second };
        (client, GuardedStream::new(listener.accept().await.unwrap().0, Arc::new(rules), false))
    }

    #[tokio::test]
    async fn the_end_of_the_requests_is_told_once_the_answer_has_begun() {
        let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";
        let (mut client, mut server) = pair().await;
        client.write_all(request).await.unwrap();
        client.shutdown().await.unwrap();
        let mut seen = vec![0; request.len()];
        server.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, request);
        assert_eq!(server.io.peek(&mut [0]).await.unwrap(), 0, "the end is here");
        assert!(poll!(pin!(server.read_u8())).is_pending(), "and not told, since the body may not be used up");
        server.write_all(CONTINUE).await.unwrap();
        assert!(poll!(pin!(server.read_u8())).is_pending(), "nor when the body is asked for");
        server.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        assert_eq!(server.read(&mut seen).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn an_end_within_a_body_or_between_requests_is_told_at_once() {
        for request in [&b""[..], b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhel", b"GET / HT"] {
            let (mut client, mut server) = pair().await;
            client.write_all(request).await.unwrap();
            drop(client);
            let mut seen = Vec::new();
            server.read_to_end(&mut seen).await.unwrap();
            assert!(request.starts_with(&seen));
        }
    }
}
