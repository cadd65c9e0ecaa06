//! The programs of a bench: the upstream, nginx and the gateway, each a supervised child with a generated
//! configuration in one temporary directory.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

/// The upstream's credential, which nginx and direct runs send themselves.
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream";
/// The tenant's key at the gateway.
pub(crate) const GATEWAY_KEY: &str = "loadtest-bench-key-0123456789";
/// The gateway's database, in its folder.
pub(crate) const DATABASE: &str = "antiphon.db";
/// The models that the gateway is asked for.
const MODELS: [&str; 5] = ["whisper-1", "tts-1", "gpt-4o-mini-tts", "gpt-realtime", "gpt-realtime-2.1"];

/// One thing that is measured.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    pub(crate) key: &'static str,
    pub(crate) pid: Option<u32>,
    /// Where a gateway tells its metrics.
    pub(crate) metrics: Option<SocketAddr>,
    child: Option<Child>,
    log: PathBuf,
}

impl Side {
    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let Some(child) = self.child.as_mut() else { return };
        // SIGTERM first: nginx's workers would outlive a master that is killed.
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let told = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        if !matches!(told, Some(Ok(()))) {
            return;
        }
        let patience = Instant::now() + Duration::from_secs(3);
        while Instant::now() < patience && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(child.kill());
        drop(child.wait());
    }
}

/// A free port; the child binds it a moment later.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn spawn(name: &'static str, key: &'static str, port: u16, command: &mut Command, dir: &Path) -> anyhow::Result<Side> {
    let log = dir.join(format!("{name}.log"));
    let output = fs::File::create(&log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).current_dir(dir);
    let child = command.spawn().with_context(|| format!("{name} does not start"))?;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let mut side = Side { name, addr, key, pid: Some(child.id()), metrics: None, child: Some(child), log };
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        if std::net::TcpStream::connect(addr).is_ok() {
            return Ok(side);
        }
        let ended = side.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        if ended || Instant::now() > patience {
            let said = side.log();
            bail!("{name} does not listen on {addr}: {}", said.lines().last().unwrap_or("it said nothing"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// This program again, as the upstream: at this address, or anywhere.
pub(crate) fn upstream(dir: &Path, at: Option<SocketAddr>) -> anyhow::Result<Side> {
    if let Some(at) = at {
        ensure!(at.ip() == std::net::Ipv4Addr::LOCALHOST, "--upstream {at}: expected 127.0.0.1:PORT");
        TcpListener::bind(at).with_context(|| format!("--upstream {at}"))?;
    }
    let port = at.map_or_else(free_port, |at| Ok(at.port()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["upstream", "--bind", &format!("127.0.0.1:{port}"), "--api-key", UPSTREAM_KEY]);
    let mut side = spawn("direct", UPSTREAM_KEY, port, &mut command, dir)?;
    side.pid = None;
    Ok(side)
}

/// nginx as a bare reverse proxy; `None` where it is not installed.
pub(crate) fn nginx(dir: &Path, upstream: SocketAddr) -> anyhow::Result<Option<Side>> {
    let found = Command::new("nginx").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let port = free_port()?;
    let cores = std::thread::available_parallelism()?;
    let at = dir.display();
    let conf = format!(
        "daemon off; worker_processes {cores}; pid {at}/nginx.pid; error_log {at}/nginx-error.log; \
         worker_rlimit_nofile 20000;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n  access_log off; tcp_nodelay on; client_max_body_size 0; keepalive_requests 1000000;\n\
         \x20 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;\n\
         \x20 uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
         \x20 map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         \x20 upstream up {{ server {upstream}; keepalive 64; keepalive_requests 1000000; }}\n\
         \x20 server {{\n    listen 127.0.0.1:{port} backlog=4096;\n    location / {{\n\
         \x20     proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Host $host;\n\
         \x20     proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;\n\
         \x20     proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 300s;\n    }}\n  }}\n}}\n"
    );
    let path = dir.join("nginx.conf");
    fs::write(&path, conf)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir).arg("-c").arg(&path);
    spawn("nginx", UPSTREAM_KEY, port, &mut command, dir).map(Some)
}

/// A Redis server that keeps nothing on the disk; `None` where it is not installed.
pub(crate) fn redis(dir: &Path) -> anyhow::Result<Option<Side>> {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let port = free_port()?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
    spawn("redis", "", port, &mut command, dir).map(Some)
}

/// The gateway with everything on but Redis.
pub(crate) fn antiphon(dir: &Path, binary: &Path, upstream: SocketAddr) -> anyhow::Result<Side> {
    gateway("antiphon", dir, binary, upstream, None)
}

/// The gateway with everything on.
pub(crate) fn gateway(
    name: &'static str,
    dir: &Path,
    binary: &Path,
    upstream: SocketAddr,
    redis: Option<SocketAddr>,
) -> anyhow::Result<Side> {
    declared(name, dir, binary, upstream, redis, &["up"])
}

/// The gateway with a second account at the same upstream, to which calls go that fail at the first.
pub(crate) fn with_spare(dir: &Path, binary: &Path, upstream: SocketAddr) -> anyhow::Result<Side> {
    declared("antiphon", dir, binary, upstream, None, &["up", "spare"])
}

/// The providers are declared as OpenAI, so that the seeded prices apply.
fn declared(
    name: &'static str,
    dir: &Path,
    binary: &Path,
    upstream: SocketAddr,
    redis: Option<SocketAddr>,
    accounts: &[&str],
) -> anyhow::Result<Side> {
    let (port, admin, metrics) = (free_port()?, free_port()?, free_port()?);
    let models: String = MODELS
        .iter()
        .map(|model| {
            let targets = accounts
                .iter()
                .zip(1..)
                .map(|(account, priority)| format!("{{ provider: {account}, model: {model}, priority: {priority} }}"));
            let targets = targets.collect::<Vec<_>>().join(", ");
            format!("  - {{ name: {model}, strategy: priority, targets: [{targets}] }}\n")
        })
        .collect();
    let accounts: String = accounts
        .iter()
        .map(|account| {
            format!(
                "  - {{ name: {account}, kind: openai, api_key: {UPSTREAM_KEY}, \
                 base_url: \"http://{upstream}/v1\", allow_insecure: true }}\n"
            )
        })
        .collect();
    let config = format!(
        "server:\n  gateway: {{ bind: \"127.0.0.1:{port}\" }}\n  admin: {{ bind: \"127.0.0.1:{admin}\" }}\n\
         \x20 metrics: {{ bind: \"127.0.0.1:{metrics}\" }}\n\
         database: {{ url: \"sqlite://{DATABASE}\" }}\n\
         providers:\n{accounts}\
         \x20 - {{ name: deepgram, kind: deepgram, api_key: {UPSTREAM_KEY}, \
         base_url: \"http://{upstream}\", allow_insecure: true }}\n\
         \x20 - {{ name: elevenlabs, kind: elevenlabs, api_key: {UPSTREAM_KEY}, \
         base_url: \"http://{upstream}\", allow_insecure: true }}\n\
         models:\n{models}\
         tenants:\n  - name: bench\n    keys:\n      - {{ name: bench, key: \"{GATEWAY_KEY}\", \
         operations: [transcription, speech, realtime], models: [\"*\"], max_concurrent_sessions: 10000, \
         budget: {{ usd: \"1000000.00\", window: monthly }} }}\n\
         limits: {{ max_upload_mib: 25, max_sessions: 10000 }}\n{}",
        redis.map(|redis| format!("redis: {{ url: \"redis://{redis}\" }}\n")).unwrap_or_default()
    );
    let path = dir.join("antiphon.yaml");
    fs::write(&path, config)?;
    let binary = binary.canonicalize().with_context(|| format!("{} is not there", binary.display()))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(&path).env("ANTIPHON_LOG", "warn");
    let mut side = spawn(name, GATEWAY_KEY, port, &mut command, dir)?;
    side.metrics = Some(SocketAddr::from(([127, 0, 0, 1], metrics)));
    Ok(side)
}
