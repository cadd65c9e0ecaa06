//! The command line of the load suite.

mod commands;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use loadtest::{
    bench, live,
    load::{self, Options, Scenario},
    process,
    upstream::{self, Config, Fault, Kind},
};

/// Scripted upstream and load generator for a voice-API gateway.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as a provider that speaks OpenAI's dialect, until interrupted.
    Upstream(UpstreamArgs),
    /// Serve as vendors of live transcription, until interrupted.
    LiveUpstream(LiveArgs),
    /// Put load on a gateway on this machine and report latencies, errors, CPU time and memory.
    Run(RunArgs),
    /// Compare direct, nginx and the gateway in one table.
    Bench(BenchArgs),
    /// Play a scenario against the gateway, and write results and a report.
    Load(commands::LoadArgs),
    /// Play a scenario against several gateways in rounds, and report what each adds over none.
    Compare(commands::CompareArgs),
    /// Play a scenario with faults for long, and judge memory, descriptors and usage records.
    Soak(commands::SoakArgs),
    /// Make the page of results that were written before.
    Report(commands::ReportArgs),
}

#[derive(Debug, Args)]
struct UpstreamArgs {
    /// Loopback address and port; port 0 chooses a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    bind: SocketAddr,
    /// Whose habits to have.
    #[arg(long, value_enum, default_value = "openai")]
    kind: Kind,
    /// The one credential to accept; `any` accepts all.
    #[arg(long, default_value = "sk-upstream")]
    api_key: String,
    /// Realtime: send every n-th appended frame back as an output audio delta.
    #[arg(long)]
    echo_every: Option<u32>,
    /// Pause between the pieces of an answer, in milliseconds.
    #[arg(long)]
    chunk_ms: Option<u64>,
}

#[derive(Debug, Args)]
struct LiveArgs {
    /// Loopback address and port; port 0 chooses a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    bind: SocketAddr,
    /// The one credential to accept.
    #[arg(long, default_value = "sk-upstream")]
    api_key: String,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// `http://HOST:PORT` of the gateway; loopback addresses only.
    #[arg(long)]
    target: String,
    /// Bearer credential.
    #[arg(long)]
    key: String,
    /// What to do.
    #[arg(long, value_enum)]
    scenario: Scenario,
    /// Connections or sessions.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Seconds.
    #[arg(long, default_value_t = 10)]
    duration: u64,
    /// Operations per second over all connections; as fast as possible without it.
    #[arg(long)]
    rate: Option<f64>,
    /// Bytes to upload or to have spoken: 32 KiB or 64 KiB without it.
    #[arg(long)]
    bytes: Option<usize>,
    /// Model to ask for; one that fits the scenario without it.
    #[arg(long)]
    model: Option<String>,
    /// Realtime: every how many frames the upstream (started with the same value) sends one back; 0 for none.
    #[arg(long, default_value_t = 1)]
    echo_every: u32,
    /// Process to measure.
    #[arg(long)]
    pid: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct BenchArgs {
    /// The gateway's binary.
    #[arg(long)]
    antiphon: PathBuf,
    /// How often each figure is taken, alternating between the sides.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Only what translated conversations cost beside sessions that are passed through.
    #[arg(long)]
    conversations: bool,
    /// Only what limits in Redis add.
    #[arg(long, conflicts_with = "conversations")]
    shared: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    process::raise_open_files()?;
    // One thread: what load and upstream take of the machine's cores is taken from what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match cli.command {
        Command::Upstream(args) => runtime.block_on(serve(args)),
        Command::LiveUpstream(args) => runtime.block_on(serve_live(args)),
        Command::Run(args) => runtime.block_on(Box::pin(run(args))),
        Command::Bench(args) => runtime.block_on(Box::pin(bench(args))),
        Command::Load(args) => runtime.block_on(Box::pin(commands::load(args))),
        Command::Compare(args) => runtime.block_on(Box::pin(commands::compare(args))),
        Command::Soak(args) => runtime.block_on(Box::pin(commands::soak(args))),
        Command::Report(args) => commands::report(&args),
    }
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    let (model, bytes) = match args.scenario {
        Scenario::Transcription => ("whisper-1", 32 * 1024),
        Scenario::Speech => ("tts-1", 64 * 1024),
        Scenario::Realtime | Scenario::Idle => ("gpt-realtime-2.1", 0),
        Scenario::Conversation | Scenario::Silence => ("deepgram/voice-agent", 0),
    };
    let report = load::run(&Options {
        target: load::loopback(&args.target)?,
        key: args.key,
        scenario: args.scenario,
        concurrency: args.concurrency,
        duration: Duration::from_secs(args.duration),
        bytes: args.bytes.unwrap_or(bytes),
        rate: args.rate,
        model: args.model.unwrap_or_else(|| model.to_owned()),
        echo_every: args.echo_every,
        pid: args.pid,
    })
    .await?;
    if args.json {
        say(&serde_json::to_string(&report)?);
    } else {
        say(&format!("{report:#?}"));
    }
    anyhow::ensure!(report.errors == 0, "{} failed", report.errors);
    Ok(())
}

async fn bench(args: BenchArgs) -> anyhow::Result<()> {
    let mut tables = Vec::new();
    if args.conversations {
        tables.push(bench::conversations(&args.antiphon, args.rounds).await?);
    } else if !args.shared {
        tables.push(bench::run(&args.antiphon, args.rounds).await?);
    }
    if !args.conversations {
        match bench::shared(&args.antiphon, args.rounds).await? {
            Some(table) => tables.push(table),
            None => complain("redis-server is not installed: what limits in Redis cost is left out"),
        }
    }
    if args.json {
        say(&serde_json::to_string(&tables)?);
    } else {
        for table in &tables {
            say(&table.text());
        }
    }
    Ok(())
}

async fn serve(args: UpstreamArgs) -> anyhow::Result<()> {
    let config = Config {
        bind: args.bind,
        kind: args.kind,
        api_key: (args.api_key != "any").then_some(args.api_key),
        default_fault: Fault { echo: args.echo_every, chunk_ms: args.chunk_ms, ..Fault::default() },
    };
    let handle = upstream::start(config).await?;
    say(&format!("upstream listening on http://{}", handle.addr));
    tokio::signal::ctrl_c().await?;
    Ok(())
}

async fn serve_live(args: LiveArgs) -> anyhow::Result<()> {
    let handle = live::start(live::Config { bind: args.bind, api_key: args.api_key, drops: Vec::new() }).await?;
    say(&format!("live upstream listening on http://{}", handle.addr));
    tokio::signal::ctrl_c().await?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a command line program tells on its standard error what it leaves out")]
fn complain(line: &str) {
    eprintln!("{line}");
}

#[expect(clippy::print_stdout, reason = "a command line program answers on its standard output")]
fn say(line: &str) {
    println!("{line}");
}
