//! Who is put under load.

use std::net::SocketAddr;

use anyhow::{Context, ensure};

use crate::{load, sides::Side};

/// A gateway that speaks OpenAI's dialect, or the upstream itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name in the report.
    pub name: String,
    /// Where it listens; on this machine.
    pub addr: SocketAddr,
    /// What its paths begin with, such as `/v1`.
    pub prefix: String,
    /// Bearer credential.
    pub key: String,
    /// The process that is measured.
    pub pid: Option<u32>,
}

impl Target {
    /// Reads `NAME=URL,KEY` or `NAME=URL,KEY,PID`. A URL without a path means `/v1`.
    ///
    /// # Errors
    /// When it is written otherwise, or is not on this machine.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let shape = "a target is NAME=URL,KEY or NAME=URL,KEY,PID";
        let (name, rest) = text.split_once('=').context(shape)?;
        let mut parts = rest.split(',');
        let (url, key) = (parts.next().context(shape)?, parts.next().context(shape)?);
        let pid = parts.next().map(|pid| pid.parse::<u32>().context("the PID of a target is a number")).transpose()?;
        ensure!(parts.next().is_none() && !name.is_empty() && !key.is_empty(), shape);
        Self::new(name, url, key, pid)
    }

    /// A program that the suite has started.
    pub(crate) fn of(side: &Side) -> Self {
        let (name, key) = (side.name.to_owned(), side.key.to_owned());
        Self { name, addr: side.addr, prefix: "/v1".to_owned(), key, pid: side.pid }
    }

    /// A target at a URL.
    ///
    /// # Errors
    /// When it is not on this machine.
    pub fn new(name: &str, url: &str, key: &str, pid: Option<u32>) -> anyhow::Result<Self> {
        let path = url.strip_prefix("http://").unwrap_or(url).split_once('/').map_or("", |(_, path)| path);
        let path = path.trim_end_matches('/');
        let prefix = if path.is_empty() { "/v1".to_owned() } else { format!("/{path}") };
        Ok(Self { name: name.to_owned(), addr: load::loopback(url)?, prefix, key: key.to_owned(), pid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_name_an_address_and_a_key() {
        let target = Target::parse("other=http://127.0.0.1:4000,sk-1").unwrap();
        assert_eq!((target.name.as_str(), target.prefix.as_str(), target.key.as_str()), ("other", "/v1", "sk-1"));
        let target = Target::parse("other=http://127.0.0.1:4000/openai/v1/,sk-1,77").unwrap();
        assert_eq!((target.prefix.as_str(), target.pid), ("/openai/v1", Some(77)));
        for wrong in
            ["http://127.0.0.1:1,k", "a=http://127.0.0.1:1", "a=http://192.0.2.7:1,k", "a=http://127.0.0.1:1,k,x"]
        {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
