//! Metrics of a process: recorded from the start, and told by the gateway's listener where there is one.

use std::net::TcpListener;
use std::time::Duration;

use gateway::telemetry::exporter;
use tokio::task::JoinHandle;

/// How often what was recorded is summed up.
const UPKEEP: Duration = Duration::from_secs(1);

/// Begins to record.
pub(crate) fn start() {
    exporter::start(&admin::telemetry::BUCKETS);
    admin::telemetry::describe();
}

/// Sums up what was recorded, in a process without a gateway: it would pile up where nobody asks for it.
pub(crate) async fn keep_up() {
    let mut turn = tokio::time::interval(UPKEEP);
    loop {
        turn.tick().await;
        exporter::upkeep();
    }
}

/// Tells the metrics of a process without a gateway. On one machine a gateway's process may have the address already:
/// then this one goes without, and says so.
pub(crate) fn tell(bind: &str) -> Option<JoinHandle<()>> {
    let served = TcpListener::bind(bind).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((exporter::serve(listener, None)?, address))
    });
    match served {
        Ok((server, address)) => {
            tracing::info!(url = %format_args!("http://{address}/metrics"), "metrics are listening");
            Some(actix_web::rt::spawn(async { log(server.await) }))
        }
        Err(error) => {
            let address = bind;
            tracing::warn!(%error, address, "metrics are not told: give this process another server.metrics.bind");
            None
        }
    }
}

fn log(served: std::io::Result<()>) {
    if let Err(error) = served {
        tracing::error!(%error, "metrics are told no more");
    }
}
