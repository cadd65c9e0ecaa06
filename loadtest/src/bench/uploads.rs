//! Memory under uploads: a few that are slow, and a crowd of big ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::sides::Side;
use crate::{load, process, wav};

const MIB: usize = 1024 * 1024;
/// Pieces of a slow upload: 64 over about four seconds.
const PIECES: usize = 64;
const PAUSE: Duration = Duration::from_millis(60);

/// Highest growth of the side's memory, in KiB, while 8 uploads of 20 MiB trickle in.
pub(super) async fn slow(side: &Side) -> anyhow::Result<u64> {
    let form = load::form("whisper-1", &wav::sample(20 * MIB));
    let before = rss(side);
    let peak = Peak::watch(side);
    let uploads = (0..8).map(|_| {
        let piece_bytes = form.len().div_ceil(PIECES);
        let rest = form.clone();
        let pieces = futures_util::stream::unfold(rest, move |mut rest: Bytes| async move {
            if rest.is_empty() {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
            let piece = rest.split_to(piece_bytes.min(rest.len()));
            Some((Ok::<_, std::io::Error>(Frame::data(piece)), rest))
        });
        upload(side, StreamBody::new(pieces.boxed()).boxed_unsync())
    });
    for outcome in futures_util::future::join_all(uploads).await {
        outcome?;
    }
    Ok(peak.end().saturating_sub(before))
}

/// Highest memory of the side, in KiB, and how many failed, while 100 uploads of 25 MiB arrive as fast as they can.
pub(super) async fn crowd(side: &Side) -> anyhow::Result<(u64, u32)> {
    // The form's own few hundred bytes stay within the limit of 25 MiB too.
    let form = load::form("whisper-1", &wav::sample(25 * MIB - 4096));
    let peak = Peak::watch(side);
    let uploads = (0..100).map(|_| upload(side, load::one_piece(form.clone())));
    let outcomes = futures_util::future::join_all(uploads).await;
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    Ok((peak.end(), u32::try_from(failed)?))
}

async fn upload(side: &Side, body: load::Upload) -> anyhow::Result<()> {
    let mut connection = load::Connection::open(side.addr).await?;
    let bearer = format!("Bearer {}", side.key);
    let kind = load::form_type();
    let headers = [("authorization", bearer.as_str()), ("content-type", kind.as_str())];
    let (status, ..) = connection.call(Method::POST, "/v1/audio/transcriptions", &headers, body).await?;
    anyhow::ensure!(status == 200, "an upload through {} was answered {status}", side.name);
    Ok(())
}

fn rss(side: &Side) -> u64 {
    side.pid.map(process::usage).unwrap_or_default().rss_kib
}

/// The highest memory seen, looked at every 20 ms on a thread of its own.
#[derive(Debug)]
struct Peak {
    highest: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Peak {
    fn watch(side: &Side) -> Self {
        let peak = Self { highest: Arc::default(), ended: Arc::default() };
        let (highest, ended, pid) = (Arc::clone(&peak.highest), Arc::clone(&peak.ended), side.pid);
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let now = pid.map(process::usage).unwrap_or_default().rss_kib;
                highest.fetch_max(now, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        peak
    }

    fn end(&self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        self.highest.load(Ordering::Relaxed)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
