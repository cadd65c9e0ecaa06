//! What a translated conversation costs beside a session that is passed through, with agents that send each
//! frame back at once: Deepgram's takes the client's audio as it is, in binary frames; ElevenLabs' takes JSON
//! with another rate in base64, so that every frame is decoded, resampled and encoded, both ways.

use std::path::Path;

use super::{Samples, Side, echo, mib, ms, options, sides};
use crate::load::{self, Options, Scenario};

/// Deepgram's agent.
pub(super) const DEEPGRAM: &str = "deepgram/voice-agent";
/// One of the account's at `ElevenLabs`.
const ELEVEN: &str = "elevenlabs/agent_talk";
/// Sessions at once, and for how many seconds.
const SESSIONS: usize = 100;
const SECONDS: u64 = 5;
/// Sessions whose memory is measured.
const HELD: usize = 200;

/// The names of a model's lines.
struct Lines {
    model: &'static str,
    cpu: &'static str,
    p50: &'static str,
    p99: &'static str,
}

const PASSED: Lines = Lines {
    model: "gpt-realtime-2.1",
    cpu: "100 sessions passed through: frame, CPU µs",
    p50: "100 sessions passed through: echo p50 ms",
    p99: "100 sessions passed through: echo p99 ms",
};
const TRANSLATED: [Lines; 2] = [
    Lines {
        model: DEEPGRAM,
        cpu: "100 conversations, Deepgram: frame, CPU µs",
        p50: "100 conversations, Deepgram: echo p50 ms",
        p99: "100 conversations, Deepgram: echo p99 ms",
    },
    Lines {
        model: ELEVEN,
        cpu: "100 conversations, ElevenLabs: frame, CPU µs",
        p50: "100 conversations, ElevenLabs: echo p50 ms",
        p99: "100 conversations, ElevenLabs: echo p99 ms",
    },
];

/// CPU and delay of a frame, one kind after the other.
pub(super) async fn frames(samples: &mut Samples, upstream: &Side, side: &Side) -> anyhow::Result<()> {
    echo(upstream, 1, SESSIONS).await?;
    let passed = options(side, Scenario::Realtime, SESSIONS, SECONDS);
    take(samples, side, &PASSED, &passed).await?;
    for lines in &TRANSLATED {
        let translated = options(side, Scenario::Conversation, SESSIONS, SECONDS);
        take(samples, side, lines, &Options { model: lines.model.to_owned(), ..translated }).await?;
    }
    Ok(())
}

async fn take(samples: &mut Samples, side: &Side, lines: &Lines, options: &Options) -> anyhow::Result<()> {
    let report = load::run(options).await?;
    samples.check(side, &report);
    if let Some(cpu) = report.cpu_us_per_unit {
        samples.add(lines.cpu, side, cpu);
    }
    samples.add(lines.p50, side, ms(report.p50_us));
    samples.add(lines.p99, side, ms(report.p99_us));
    Ok(())
}

/// Memory of conversations, silent and in full swing, each in a fresh process: there is nothing to reuse.
pub(super) async fn memory(samples: &mut Samples, antiphon: &Path, dir: &Path, upstream: &Side) -> anyhow::Result<()> {
    for (name, model, scenario) in [
        ("silent conversation, Deepgram, KiB", DEEPGRAM, Scenario::Silence),
        ("silent conversation, ElevenLabs, KiB", ELEVEN, Scenario::Silence),
        ("speaking conversation, Deepgram, KiB", DEEPGRAM, Scenario::Conversation),
        ("speaking conversation, ElevenLabs, KiB", ELEVEN, Scenario::Conversation),
    ] {
        let dir = tempfile::tempdir_in(dir)?;
        let side = sides::antiphon(dir.path(), antiphon, upstream.addr)?;
        let run =
            |sessions, seconds| Options { model: model.to_owned(), ..options(&side, scenario, sessions, seconds) };
        load::run(&run(4, 1)).await?;
        let before = side.pid.map(crate::process::usage).unwrap_or_default().rss_kib;
        let report = load::run(&run(HELD, 3)).await?;
        samples.check(&side, &report);
        let grown = report.rss_kib.unwrap_or(before).saturating_sub(before);
        samples.add(name, &side, mib(grown) * 1024.0 / f64::from(u32::try_from(HELD)?));
    }
    Ok(())
}
