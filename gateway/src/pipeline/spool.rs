//! An uploaded file as it arrives: kept, so that it can be sent again to the next target; in memory
//! up to a bound, in an unlinked temporary file beyond it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::task::JoinHandle;

use crate::upstream::client::Body;

/// Bytes kept in memory; a bigger file moves to disk.
const IN_MEMORY: u64 = 1024 * 1024;
/// Bytes of a file in memory that is known to be bigger than that anyway: enough to be probed and to
/// be sent while the rest arrives.
const IN_MEMORY_OF_BIG: u64 = 256 * 1024;
/// Bytes of the beginning that stay in memory when a file moves to disk, for probing.
const HEAD: usize = 64 * 1024;
/// A piece that is smaller is not kept by itself: what describes it would outweigh it.
const SMALL: usize = 1024;
/// Bytes of small pieces that become one piece.
const GATHERED: usize = 16 * 1024;
/// Bytes gathered for one write to disk, and read back at once.
const DISK_CHUNK: usize = 128 * 1024;

/// A file that is being received or has been.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    memory_limit: u64,
    memory: Vec<Bytes>,
    /// The beginning of a file that is on disk.
    head: Bytes,
    /// What came last, and is neither in `memory` nor on its way to the disk yet.
    waiting: BytesMut,
    disk: Option<Arc<File>>,
    /// Bytes that are on disk or on their way there.
    sent_to_disk: u64,
    /// A write that is under way: who began it may have stopped waiting for it.
    writing: Option<JoinHandle<Written>>,
    len: u64,
}

/// What came of a write, and its buffer.
type Written = (io::Result<()>, BytesMut);

impl Spool {
    /// An empty spool that overflows into `folder`. `announced` is how many bytes are to come, where
    /// that is known.
    #[must_use]
    pub fn new(folder: &Path, announced: Option<u64>) -> Self {
        let memory_limit = if announced.is_some_and(|bytes| bytes > IN_MEMORY) { IN_MEMORY_OF_BIG } else { IN_MEMORY };
        Self {
            folder: folder.to_owned(),
            memory_limit,
            memory: Vec::new(),
            head: Bytes::new(),
            waiting: BytesMut::new(),
            disk: None,
            sent_to_disk: 0,
            writing: None,
            len: 0,
        }
    }

    /// Bytes received so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps a chunk.
    ///
    /// # Errors
    /// The temporary file cannot be made or written.
    pub async fn push(&mut self, chunk: Bytes) -> io::Result<()> {
        self.len += chunk.len() as u64;
        if self.disk.is_none() {
            self.keep(chunk);
            if self.len <= self.memory_limit {
                return Ok(());
            }
            let disk = tempfile::tempfile_in(&self.folder)?;
            self.head = self.head(HEAD);
            self.disk = Some(Arc::new(disk));
            let mut all = BytesMut::with_capacity(usize::try_from(self.len).unwrap_or_default());
            for part in std::mem::take(&mut self.memory) {
                all.extend_from_slice(&part);
            }
            all.extend_from_slice(&self.waiting);
            self.waiting = all;
        } else {
            self.waiting.extend_from_slice(&chunk);
        }
        if self.waiting.len() >= DISK_CHUNK { self.write_out().await } else { Ok(()) }
    }

    /// Keeps a chunk in memory: as it is, or small ones together.
    fn keep(&mut self, chunk: Bytes) {
        let small = chunk.len() < SMALL;
        if small {
            self.waiting.extend_from_slice(&chunk);
        }
        if !small || self.waiting.len() >= GATHERED {
            self.gather();
        }
        if !small {
            self.memory.push(chunk);
        }
    }

    /// Makes one piece of the small ones that came last.
    fn gather(&mut self) {
        if !self.waiting.is_empty() {
            self.memory.push(self.waiting.split().freeze());
        }
    }

    /// Writes what waits, off the worker's thread: a busy disk must not stop other calls.
    async fn write_out(&mut self) -> io::Result<()> {
        self.written().await?;
        let Some(disk) = self.disk.as_ref().filter(|_| !self.waiting.is_empty()) else { return Ok(()) };
        let (disk, bytes, at) = (Arc::clone(disk), std::mem::take(&mut self.waiting), self.sent_to_disk);
        self.sent_to_disk += bytes.len() as u64;
        self.writing = Some(tokio::task::spawn_blocking(move || (disk.write_all_at(&bytes, at), bytes)));
        self.written().await
    }

    /// Waits for the write that is under way. Its handle stays until then, so that a caller who stops
    /// waiting loses neither its place in the file nor its failure.
    async fn written(&mut self) -> io::Result<()> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let joined = writing.await;
        self.writing = None;
        let (written, mut bytes) = joined.map_err(io::Error::other)?;
        if self.waiting.is_empty() {
            // The buffer is filled again: one a file, whichever thread wrote it.
            bytes.clear();
            self.waiting = bytes;
        }
        written
    }

    /// The first bytes, up to `limit` and at most 64 KiB of a large file, for probing.
    #[must_use]
    pub fn head(&self, limit: usize) -> Bytes {
        if self.disk.is_some() {
            return self.head.slice(..self.head.len().min(limit));
        }
        if let ([only], true) = (self.memory.as_slice(), self.waiting.is_empty()) {
            return only.slice(..only.len().min(limit));
        }
        let mut head = BytesMut::new();
        for part in self.memory.iter().map(AsRef::as_ref).chain([self.waiting.as_ref()]) {
            let room = limit.saturating_sub(head.len());
            head.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
        }
        head.freeze()
    }

    /// What is in memory, for sending the beginning while the rest still arrives; nothing of a file
    /// that is on disk.
    pub fn in_memory(&mut self) -> Vec<Bytes> {
        if self.disk.is_none() {
            self.gather();
        }
        self.memory.clone()
    }

    /// The whole file between `before` and `after`, as a request body, and its length.
    ///
    /// # Errors
    /// The temporary file cannot be read back.
    pub async fn body(&mut self, before: Vec<u8>, after: Vec<u8>) -> io::Result<(Body, u64)> {
        let total = before.len() as u64 + self.len + after.len() as u64;
        if self.disk.is_none() {
            self.gather();
            // Piece by piece: the socket takes them in one call, and the file is not copied.
            let parts = std::iter::once(before.into()).chain(self.memory.iter().cloned()).chain([after.into()]);
            let frames: Vec<_> =
                parts.filter(|part: &Bytes| !part.is_empty()).map(|part| Ok(Frame::data(part))).collect();
            return Ok((StreamBody::new(stream::iter(frames)).boxed_unsync(), total));
        }
        let file = self.on_disk().await?;
        let state = Replay { before: Some(before), file, at: 0, after: Some(after) };
        let chunks = stream::try_unfold(state, |mut state| async move {
            Ok::<_, io::Error>(state.next().await?.map(|chunk| (Frame::data(chunk), state)))
        });
        Ok((StreamBody::new(chunks).boxed_unsync(), total))
    }

    /// A reader over the whole file, for measuring it.
    ///
    /// # Errors
    /// The temporary file cannot be read back.
    pub async fn reader(&mut self) -> io::Result<SpoolReader> {
        if self.disk.is_some() {
            return Ok(SpoolReader::Disk { file: self.on_disk().await?, at: 0, len: self.len });
        }
        self.gather();
        let mut whole = Vec::with_capacity(usize::try_from(self.len).unwrap_or_default());
        for part in &self.memory {
            whole.extend_from_slice(part);
        }
        Ok(SpoolReader::Memory(io::Cursor::new(whole)))
    }

    /// Writes the whole file under a random name, for a program that wants a path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn to_named_file(&mut self) -> io::Result<tempfile::NamedTempFile> {
        let mut reader = self.reader().await?;
        let folder = self.folder.clone();
        let copy = move || {
            let mut named = tempfile::NamedTempFile::new_in(folder)?;
            io::copy(&mut reader, named.as_file_mut())?;
            Ok(named)
        };
        tokio::task::spawn_blocking(copy).await.map_err(io::Error::other)?
    }

    /// The temporary file with everything in it.
    async fn on_disk(&mut self) -> io::Result<Arc<File>> {
        self.write_out().await?;
        let disk = self.disk.as_ref().map(Arc::clone);
        disk.ok_or_else(|| io::Error::other("the spool is in memory"))
    }
}

/// Reads a spooled file from its start. Each reader of a file on disk has a position of its own: a
/// target that answered early may still be sent the file when the next one is.
#[derive(Debug)]
pub enum SpoolReader {
    /// A small file.
    Memory(io::Cursor<Vec<u8>>),
    /// A big one.
    Disk {
        /// The file, which others read too.
        file: Arc<File>,
        /// Where this reader is in it.
        at: u64,
        /// Where it ends.
        len: u64,
    },
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(memory) => memory.read(buffer),
            Self::Disk { file, at, .. } => {
                let count = file.read_at(buffer, *at)?;
                *at += count as u64;
                Ok(count)
            }
        }
    }
}

impl Seek for SpoolReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Memory(memory) => memory.seek(to),
            Self::Disk { at, len, .. } => {
                let sought = match to {
                    SeekFrom::Start(from_start) => Some(from_start),
                    SeekFrom::Current(by) => at.checked_add_signed(by),
                    SeekFrom::End(by) => len.checked_add_signed(by),
                };
                *at = sought.ok_or(io::ErrorKind::InvalidInput)?;
                Ok(*at)
            }
        }
    }
}

struct Replay {
    before: Option<Vec<u8>>,
    file: Arc<File>,
    at: u64,
    after: Option<Vec<u8>>,
}

impl Replay {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(before) = self.before.take() {
            return Ok(Some(before.into()));
        }
        let (file, at) = (Arc::clone(&self.file), self.at);
        let read = move || {
            let mut chunk = vec![0; DISK_CHUNK];
            let count = file.read_at(&mut chunk, at)?;
            chunk.truncate(count);
            Ok::<_, io::Error>(chunk)
        };
        let chunk = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        if chunk.is_empty() {
            return Ok(self.after.take().map(Bytes::from));
        }
        self.at += chunk.len() as u64;
        Ok(Some(chunk.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_and_big_files_come_back_whole_and_twice() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0_usize, 10, 3 * 1024 * 1024 + 17] {
            let content = content(size);
            let mut spool = Spool::new(folder.path(), Some(size as u64));
            for chunk in content.chunks(70_000) {
                spool.push(Bytes::copy_from_slice(chunk)).await.unwrap();
            }
            for _ in 0..2 {
                let (body, total) = spool.body(b"<".to_vec(), b">".to_vec()).await.unwrap();
                let bytes = body.collect().await.unwrap().to_bytes();
                assert_eq!(bytes.len() as u64, total);
                assert_eq!(bytes[1..=size], content[..]);
                assert_eq!((bytes[0], bytes[size + 1]), (b'<', b'>'));
            }
            assert_eq!(spool.head(HEAD), content[..size.min(HEAD)], "wherever the file is");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "spooled files have no name");
    }

    fn content(size: usize) -> Vec<u8> {
        (0..size).map(|index| (index % 251) as u8).collect()
    }

    #[tokio::test]
    async fn two_targets_can_be_sent_one_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let content = content(2 * 1024 * 1024);
        let mut spool = Spool::new(folder.path(), Some(content.len() as u64));
        spool.push(content.clone().into()).await.unwrap();
        let (mut first, total) = spool.body(Vec::new(), Vec::new()).await.unwrap();
        let mut seen = first.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
        let (mut second, _) = spool.body(Vec::new(), Vec::new()).await.unwrap();
        let mut reader = spool.reader().await.unwrap();
        reader.seek(SeekFrom::End(-7)).unwrap();
        let mut end = Vec::new();
        reader.read_to_end(&mut end).unwrap();
        assert_eq!(end, content[content.len() - 7..]);
        let mut seen_by_second = Vec::new();
        while let Some(frame) = second.frame().await {
            seen_by_second.extend_from_slice(&frame.unwrap().into_data().unwrap());
            if let Some(frame) = first.frame().await {
                seen.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
        }
        seen.extend_from_slice(&first.collect().await.unwrap().to_bytes());
        assert_eq!(seen.len() as u64, total);
        assert!(seen == content && seen_by_second == content, "each is sent every byte in its place");
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_keeps_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let content = content(8 * 1024 * 1024);
        let mut spool = Spool::new(folder.path(), Some(content.len() as u64));
        for chunk in content.chunks(300_000) {
            // Begun and left, as when a provider answers while its form is still being sent.
            let begun = futures_util::poll!(std::pin::pin!(spool.push(Bytes::copy_from_slice(chunk))));
            assert!(!matches!(begun, std::task::Poll::Ready(Err(_))));
        }
        let (body, _) = spool.body(Vec::new(), Vec::new()).await.unwrap();
        assert!(body.collect().await.unwrap().to_bytes() == content, "every byte in its place");
    }

    #[tokio::test]
    async fn a_file_in_single_bytes_is_not_kept_as_single_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let content = content(100_000);
        let mut spool = Spool::new(folder.path(), None);
        for (at, byte) in content.iter().enumerate() {
            spool.push(Bytes::copy_from_slice(&[*byte])).await.unwrap();
            assert!(at != 50 || spool.head(HEAD) == content[..51], "what was gathered is part of the head");
        }
        assert!(spool.memory.len() < 10, "{} pieces", spool.memory.len());
        assert_eq!(spool.head(HEAD), content[..HEAD]);
        spool.push(Bytes::from(content.clone())).await.unwrap();
        let twice = [content.clone(), content].concat();
        assert_eq!(spool.in_memory().concat(), twice);
        let mut read = Vec::new();
        spool.reader().await.unwrap().read_to_end(&mut read).unwrap();
        assert!(read == twice);
        let (body, _) = spool.body(Vec::new(), Vec::new()).await.unwrap();
        assert!(body.collect().await.unwrap().to_bytes() == twice);
    }
}
