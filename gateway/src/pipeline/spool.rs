//! An uploaded file as it arrives: kept, so that it can be sent again to the next target; in memory
//! up to a bound, in an unlinked temporary file beyond it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::upstream::client::Body;

/// Bytes kept in memory; a bigger file moves to disk.
const IN_MEMORY: u64 = 1024 * 1024;
/// Bytes of a file in memory that is known to be bigger than that anyway: enough to be probed and to
/// be sent while the rest arrives.
const IN_MEMORY_OF_BIG: u64 = 256 * 1024;
/// Bytes of the beginning that stay in memory when a file moves to disk, for probing.
const HEAD: usize = 64 * 1024;
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
    waiting: BytesMut,
    disk: Option<File>,
    len: u64,
}

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
            self.memory.push(chunk);
            if self.len <= self.memory_limit {
                return Ok(());
            }
            self.disk = Some(tempfile::tempfile_in(&self.folder)?);
            self.head = self.head(HEAD);
            for part in std::mem::take(&mut self.memory) {
                self.waiting.extend_from_slice(&part);
            }
        } else {
            self.waiting.extend_from_slice(&chunk);
        }
        if self.waiting.len() >= DISK_CHUNK { self.write_out().await } else { Ok(()) }
    }

    /// Writes what waits, off the worker's thread: a busy disk must not stop other calls.
    async fn write_out(&mut self) -> io::Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let mut file = disk.try_clone()?;
        let bytes = std::mem::take(&mut self.waiting);
        let write = move || (file.write_all(&bytes), bytes);
        // The buffer comes back and is filled again: one a file, whichever thread wrote it.
        let (written, mut bytes) = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?;
        bytes.clear();
        self.waiting = bytes;
        written
    }

    /// The first bytes, up to `limit` and at most 64 KiB of a large file, for probing.
    #[must_use]
    pub fn head(&self, limit: usize) -> Bytes {
        match self.memory.as_slice() {
            [] => self.head.slice(..self.head.len().min(limit)),
            [only] => only.slice(..only.len().min(limit)),
            parts => {
                let mut head = BytesMut::new();
                for part in parts {
                    let room = limit.saturating_sub(head.len());
                    head.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
                }
                head.freeze()
            }
        }
    }

    /// What is in memory, for sending the beginning while the rest still arrives.
    #[must_use]
    pub fn in_memory(&self) -> Vec<Bytes> {
        self.memory.clone()
    }

    /// The whole file between `before` and `after`, as a request body, and its length.
    ///
    /// # Errors
    /// The temporary file cannot be read back.
    pub async fn body(&mut self, before: Vec<u8>, after: Vec<u8>) -> io::Result<(Body, u64)> {
        let total = before.len() as u64 + self.len + after.len() as u64;
        if self.disk.is_none() {
            // Piece by piece: the socket takes them in one call, and the file is not copied.
            let parts = std::iter::once(before.into()).chain(self.memory.iter().cloned()).chain([after.into()]);
            let frames: Vec<_> =
                parts.filter(|part: &Bytes| !part.is_empty()).map(|part| Ok(Frame::data(part))).collect();
            return Ok((StreamBody::new(stream::iter(frames)).boxed_unsync(), total));
        }
        self.write_out().await?;
        let file = self.reopen()?;
        let state = Replay { before: Some(before), file, after: Some(after) };
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
            self.write_out().await?;
            return Ok(SpoolReader::Disk(self.reopen()?));
        }
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

    fn reopen(&self) -> io::Result<File> {
        let Some(disk) = &self.disk else { return Err(io::Error::other("the spool is in memory")) };
        // A clone shares its position, so a second replay must wait for the first: they never overlap.
        let mut file = disk.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

/// Reads a spooled file from its start.
#[derive(Debug)]
pub enum SpoolReader {
    /// A small file.
    Memory(io::Cursor<Vec<u8>>),
    /// A big one.
    Disk(File),
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(memory) => memory.read(buffer),
            Self::Disk(file) => file.read(buffer),
        }
    }
}

impl Seek for SpoolReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Memory(memory) => memory.seek(to),
            Self::Disk(file) => file.seek(to),
        }
    }
}

struct Replay {
    before: Option<Vec<u8>>,
    file: File,
    after: Option<Vec<u8>>,
}

impl Replay {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(before) = self.before.take() {
            return Ok(Some(before.into()));
        }
        let mut file = self.file.try_clone()?;
        let read = move || {
            let mut chunk = vec![0; DISK_CHUNK];
            let count = file.read(&mut chunk)?;
            chunk.truncate(count);
            Ok::<_, io::Error>(chunk)
        };
        let chunk = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        if !chunk.is_empty() {
            return Ok(Some(chunk.into()));
        }
        Ok(self.after.take().map(Bytes::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_and_big_files_come_back_whole_and_twice() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0_usize, 10, 3 * 1024 * 1024 + 17] {
            let content: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
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
}
