//! CPU time, memory and descriptors of a process, read from `/proc`; another one with workers (nginx) counts as a whole.

use std::{collections::HashSet, fs};

/// What a process and its children have used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all threads, in microseconds; the kernel counts it in ticks.
    pub cpu_us: u64,
    /// Resident memory, in KiB.
    pub rss_kib: u64,
}

/// Processor time of this process so far, without that of the programs that it has started, in microseconds.
#[must_use]
pub fn own_cpu_us() -> u64 {
    stat(std::process::id()).map_or(0, |stat| stat.ticks * tick_us())
}

fn tick_us() -> u64 {
    1_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// Reads the usage of `pid` and all processes below it; what ended meanwhile counts as nothing.
#[must_use]
pub fn usage(pid: u32) -> Usage {
    let page_kib = u64::try_from(rustix::param::page_size() / 1024).unwrap_or(4);
    family(pid).into_iter().filter_map(stat).fold(Usage::default(), |sum, stat| Usage {
        cpu_us: sum.cpu_us + stat.ticks * tick_us(),
        rss_kib: sum.rss_kib + stat.rss_pages * page_kib,
    })
}

/// What the open descriptors of `pid` and all processes below it lead to, such as a path or `socket:[7]`.
#[must_use]
pub fn descriptors(pid: u32) -> Vec<String> {
    let folders = family(pid).into_iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok());
    // One that is closed meanwhile is none.
    let links = folders.flatten().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}

struct Stat {
    parent: u32,
    ticks: u64,
    rss_pages: u64,
}

/// The fields behind the command's name, which may itself hold spaces and parentheses.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks: number(11)? + number(12)?, rss_pages: number(21)? })
}

fn family(pid: u32) -> HashSet<u32> {
    let mut members = HashSet::from([pid]);
    let Ok(entries) = fs::read_dir("/proc") else { return members };
    let all: Vec<u32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let parents: Vec<(u32, u32)> = all.into_iter().filter_map(|pid| Some((pid, stat(pid)?.parent))).collect();
    loop {
        let before = members.len();
        members.extend(
            parents.iter().filter(|(_, parent)| members.contains(parent)).map(|(pid, _)| *pid).collect::<Vec<_>>(),
        );
        if members.len() == before {
            return members;
        }
    }
}

/// Raises the soft limit on open files to the hard one; a thousand sessions need more than the usual 1,024.
///
/// # Errors
/// When the kernel refuses.
pub fn raise_open_files() -> std::io::Result<()> {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        assert!(usage(std::process::id()).rss_kib > 500);
        assert_eq!(usage(u32::MAX), Usage::default());
    }

    #[test]
    fn what_a_child_uses_is_not_ones_own() {
        let mut child = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let busy = child.id();
        // The kernel counts in ticks of 10 ms.
        while usage(busy).cpu_us < 200_000 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let (own, all) = (own_cpu_us(), usage(std::process::id()).cpu_us);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(all >= own + 200_000, "{own} {all}");
    }

    #[test]
    fn descriptors_say_where_they_lead() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_string_lossy().into_owned();
        assert!(descriptors(std::process::id()).contains(&path));
        drop(file);
        assert!(!descriptors(std::process::id()).contains(&path));
    }
}
