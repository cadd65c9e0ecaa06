//! The body of an answer: pieces at a programmable pace, cut where the script says, followed to its end.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::counts::Receipt;

/// How long a body that is about to be cut waits for its last bytes to leave.
const FLUSH: Duration = Duration::from_millis(5);

/// One answer's body.
#[derive(Debug)]
pub(super) struct ScriptBody {
    chunks: VecDeque<Bytes>,
    /// One block sent over and over: a long answer needs no memory of its own.
    repeat: Option<(Bytes, usize)>,
    exact_bytes: Option<u64>,
    pace: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    bytes_before_cut: Option<usize>,
    receipt: Option<Receipt>,
}

impl ScriptBody {
    /// A body sent as one piece with its length announced.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let exact_bytes = Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Self { exact_bytes, ..Self::pieces(VecDeque::from([bytes])) }
    }

    /// A body sent in pieces, without announcing its length.
    pub(super) fn pieces(chunks: VecDeque<Bytes>) -> Self {
        Self { chunks, repeat: None, exact_bytes: None, pace: None, timer: None, bytes_before_cut: None, receipt: None }
    }

    /// After its pieces, `total_bytes` more made of `block` again and again.
    pub(super) fn then_repeat(mut self, block: Bytes, total_bytes: usize) -> Self {
        self.repeat = (!block.is_empty() && total_bytes > 0).then_some((block, total_bytes));
        self
    }

    /// Waits `pace` before every piece but the first.
    pub(super) fn paced(mut self, pace: Option<Duration>) -> Self {
        self.pace = pace.filter(|pace| !pace.is_zero());
        self
    }

    /// Breaks the connection after `bytes`.
    pub(super) fn cut_after(mut self, bytes: Option<usize>) -> Self {
        self.bytes_before_cut = bytes;
        self
    }

    /// Books the answer when it ends.
    pub(super) fn booked(mut self, receipt: Receipt) -> Self {
        self.receipt = Some(receipt);
        self
    }

    fn next(&mut self) -> Option<Bytes> {
        if let Some(chunk) = self.chunks.pop_front() {
            return Some(chunk);
        }
        let (block, left) = self.repeat.take()?;
        let piece = block.slice(..left.min(block.len()));
        let left = left - piece.len();
        self.repeat = (left > 0).then_some((block, left));
        Some(piece)
    }

    fn is_drained(&self) -> bool {
        self.chunks.is_empty() && self.repeat.is_none()
    }

    fn account(&mut self, chunk: &Bytes) {
        let last = self.is_drained() && self.bytes_before_cut.is_none();
        if let Some(receipt) = self.receipt.as_mut() {
            receipt.sent(chunk.len());
            // The end is booked with the last piece: hyper does not poll again once the announced length is reached.
            if last {
                receipt.finish();
            }
        }
    }
}

impl Body for ScriptBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(timer) = self.timer.as_mut() {
            std::task::ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        if self.bytes_before_cut == Some(0) {
            return Poll::Ready(Some(Err(io::Error::other("cut by the script"))));
        }
        let Some(mut chunk) = self.next() else {
            let intact = self.bytes_before_cut.is_none();
            if let Some(receipt) = self.receipt.as_mut().filter(|_| intact) {
                receipt.finish();
            }
            return Poll::Ready(None);
        };
        if let Some(left) = self.bytes_before_cut {
            chunk.truncate(left);
            self.bytes_before_cut = Some(left - chunk.len());
            if left == chunk.len() {
                // hyper flushes when the body has nothing ready; failing at once would lose what it still buffers.
                self.timer = Some(Box::pin(sleep(FLUSH)));
            }
        }
        self.account(&chunk);
        if let Some(pace) = self.pace.filter(|_| self.timer.is_none() && !self.is_drained()) {
            self.timer = Some(Box::pin(sleep(pace)));
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_drained() && self.bytes_before_cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.exact_bytes.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
