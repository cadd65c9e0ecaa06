//! The command line of the load suite.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use loadtest::upstream::{self, Config, Fault, Kind};

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

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match cli.command {
        Command::Upstream(args) => runtime.block_on(serve(args)),
    }
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

#[expect(clippy::print_stdout, reason = "a command line program answers on its standard output")]
fn say(line: &str) {
    println!("{line}");
}
