"""An installation that looks like one in use, for pictures and measurements of the dashboard.

    with stage(folder) as (site, told): ...

`told` has the ids that pages are found by. What is there is the same at each run but for times, which end now.
"""

import contextlib
import datetime
import math
import pathlib
import random
import signal
import sqlite3
import subprocess
import types
import urllib.request
import uuid

import conftest
from browser import CONFIG, Site
from realtime import until

DAYS, RECORDS = 62, 12_000
TENANTS = ["acme", "northwind-health", "contoso-media"]
# Provider's kind, name, whether it stays enabled.
PROVIDERS = [("openai", "openai"), ("elevenlabs", "elevenlabs"), ("deepgram", "deepgram"), ("groq", "groq")]
MODELS = {
    "dictation": ("priority", [("openai", "gpt-4o-transcribe"), ("groq", "whisper-large-v3-turbo"), ("deepgram", "nova-3")]),
    "narrator": ("weighted", [("elevenlabs", "eleven_flash_v2_5"), ("openai", "gpt-4o-mini-tts")]),
    "concierge": ("priority", [("openai", "gpt-realtime")]),
    "summaries": ("priority", [("openai", "gpt-4o-mini")]),
}
KEYS = [
    ("acme", "support-agent", "30.00", "monthly"), ("acme", "mobile-app", "25.00", "monthly"),
    ("acme", "nightly-batch", "1.00", "daily"), ("northwind-health", "dictation", "60.00", "monthly"),
    ("northwind-health", "triage-line", None, None), ("contoso-media", "podcast-studio", "12.00", "monthly"),
    ("contoso-media", "subtitles", "4.00", "monthly"), ("contoso-media", "trial", "1.00", "total"),
]
# What was asked for, who served it, how often, milliseconds of audio in and out, characters, nano-dollars, first byte.
CALLS = [
    ("transcription", "dictation", "openai", "gpt-4o-transcribe", 30, 48_000, 0, 0, 4_800_000, 620),
    ("transcription", "dictation", "groq", "whisper-large-v3-turbo", 9, 51_000, 0, 0, 566_000, 240),
    ("transcription", "dictation", "deepgram", "nova-3", 4, 46_000, 0, 0, 3_296_000, 310),
    ("speech", "narrator", "elevenlabs", "eleven_flash_v2_5", 22, 0, 9_000, 140, 7_000_000, 190),
    ("speech", "narrator", "openai", "gpt-4o-mini-tts", 12, 0, 8_500, 135, 2_125_000, 430),
    ("realtime", "concierge", "openai", "gpt-realtime", 14, 5_200, 7_400, 0, 31_000_000, 540),
    ("chat", "summaries", "openai", "gpt-4o-mini", 9, 0, 0, 0, 210_000, 380),
]


@contextlib.contextmanager
def stage(folder, keys=0):
    """An installation with data; `keys` is how many more keys it has."""
    folder = pathlib.Path(folder)
    upstreams, site = {}, None
    try:
        for kind in conftest.SCRIPTED:
            upstreams[kind] = conftest.Upstream(kind, folder)
        site = Site(folder, upstreams, CONFIG)
        told = furnish(site, keys)
        with contextlib.ExitStack() as sessions:
            for name in ("support-agent", "triage-line", "mobile-app"):
                client = site.client(told.keys[name]["secret"])
                converse(sessions.enter_context(client.realtime.connect(model="concierge")))
            told.session = conftest.wait_for(lambda: site.ask("GET", "sessions")["data"] or None)[0]["id"]
            yield site, told
    finally:
        if site is not None:
            site.stop(signal.SIGTERM)
        for upstream in upstreams.values():
            upstream.stop(signal.SIGINT)


def furnish(site, more_keys):
    """Everything that an operator makes, and two months of calls."""
    tenants = {name: site.tenant(name)["id"] for name in TENANTS}
    providers = {name: site.provider(kind, name)["id"] for kind, name in PROVIDERS}
    models = {}
    for name, (strategy, targets) in MODELS.items():
        targets = [
            {"provider": provider, "model": model, "priority": place + 1, "weight": 3 if place == 0 else 1}
            for place, (provider, model) in enumerate(targets)
        ]
        models[name] = site.ask("POST", "models", {"name": name, "strategy": strategy, "targets": targets})["id"]
    keys = {}
    for tenant, name, usd, window in KEYS:
        body = {"tenant_id": tenants[tenant], "name": name}
        if usd:
            body |= {"budget": {"usd": usd, "window": window}, "requests_per_minute": 600}
        keys[name] = site.ask("POST", "keys", body)
    site.ask("POST", f"keys/{keys['trial']['id']}/revoke", {"reason": "The trial is over."})
    for role, tenant, email in [
        ("tenant_admin", "acme", "ada@acme.example"), ("tenant_viewer", "acme", "tom@acme.example"),
        ("tenant_admin", "northwind-health", "grace@northwind.example"), ("platform_admin", None, "linus@example.com"),
    ]:
        site.person(role, tenant, email)
    site.ask("PUT", "voices/narrator", {"map": {"openai": "marin", "elevenlabs": "Rachel", "local": "slt"}})
    channel = site.ask("POST", "alerts/channels", {
        "name": "On call", "settings": {"kind": "slack", "url": "https://hooks.slack.com/services/T000/B000/example"},
    })
    for name, condition in [
        ("Budgets near their end", {"kind": "budget_share", "percent": 90}),
        ("Providers that fail", {"kind": "error_rate", "percent": 5, "window_minutes": 10}),
        ("Slow first bytes", {"kind": "latency", "p95_ms": 2000, "window_minutes": 15}),
        ("Models without a price", {"kind": "unpriced"}),
    ]:
        site.ask("POST", "alerts/rules", {"name": name, "condition": condition, "channel_ids": [channel["id"]]})
    # Real calls first: their records are what the others are made of.
    site.speak(keys["support-agent"]["secret"], model="narrator")
    # Somebody tries out what has no price yet.
    site.ask("POST", "models", {"name": "prototype", "targets": [{"provider": "openai", "model": "tts-preview"}]})
    site.speak(keys["mobile-app"]["secret"], model="prototype")
    site.records(2)
    add_calls(site, tenants, {name: key["id"] for name, key in keys.items()})
    if more_keys:
        add_keys(site, more_keys)
    record = site.ask("GET", "usage/records?limit=1")["data"][0]["id"]
    return types.SimpleNamespace(
        tenant=tenants["acme"], provider=providers["openai"], model=models["dictation"], record=record,
        key=keys["support-agent"]["id"], tenants=tenants, keys=keys,
    )


def converse(session):
    """One turn of a conversation, which stays open after it."""
    session.conversation.item.create(
        item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where is my parcel?"}]})
    session.response.create()
    until(session, "response.done")


def add_calls(site, tenants, keys):
    """Records of two months, put into the database beside the running server, which then sums them."""
    chance = random.Random(7)
    now = datetime.datetime.now(datetime.timezone.utc)
    with contextlib.closing(sqlite3.connect(site.folder / "data" / "antiphon.db", timeout=30)) as database, database:
        database.row_factory = sqlite3.Row
        template = dict(database.execute("SELECT * FROM usage_records ORDER BY started_at LIMIT 1").fetchone())
        fit = lambda text: uuid.UUID(text).bytes if isinstance(template["id"], bytes) else str(uuid.UUID(text))
        as_time = time_like(template["started_at"])
        rows = []
        for _ in range(RECORDS):
            at = moment(chance, now)
            operation, asked, provider, served, _, heard, spoken, characters, nano, first = chance.choices(
                CALLS, [call[4] for call in CALLS])[0]
            tenant, name, *_ = chance.choices(KEYS, [30, 18, 6, 24, 8, 9, 5, 0])[0]
            size = math.exp(chance.gauss(0, 0.6))
            failed = chance.random() < 0.012
            first = round(first * math.exp(chance.gauss(0, 0.35)))
            latency = first + round(chance.uniform(0.2, 1.4) * (spoken or 900) * size / 3)
            rows.append(template | {
                "id": fit(new_id(chance, at)), "request_id": fit(new_id(chance, at)), "session_id": None, "sequence": 0,
                "tenant_id": fit(tenants[tenant]), "key_id": fit(keys[name]), "operation": operation,
                "model_asked": asked, "provider": provider, "model_served": served,
                "audio_in_ms": 0 if failed else round(heard * size), "audio_out_ms": 0 if failed else round(spoken * size),
                "text_tokens_in": round(420 * size) if operation == "chat" else 0, "audio_tokens_out": 0,
                "text_tokens_out": round(90 * size) if operation == "chat" else 0, "routing": None,
                "characters": 0 if failed else round(characters * size), "cost_nano_usd": 0 if failed else round(nano * size),
                "status": "upstream_error" if failed else "ok", "attempts": 2 if chance.random() < 0.03 else 1,
                "ttfb_ms": first, "latency_ms": latency, "user_tag": f"user-{chance.randrange(40)}",
                "tags": chance.choice([None, "team=support", "team=research", "team=media"]),
                "started_at": as_time(at), "ended_at": as_time(at + datetime.timedelta(milliseconds=latency)),
            })
        names = list(template)
        marks = ", ".join("?" for _ in names)
        database.executemany(
            f"INSERT INTO usage_records ({', '.join(names)}) VALUES ({marks})", ([row[name] for name in names] for row in rows))
    command = [conftest.binary("antiphon"), "usage", "rebuild-rollups", "--config", "antiphon.yaml"]
    subprocess.run(command, cwd=site.folder, check=True, capture_output=True, timeout=300)


def moment(chance, now):
    """More by day than by night, fewer at weekends, and a little more each week."""
    while True:
        at = now - datetime.timedelta(seconds=chance.triangular(0, DAYS * 86_400, 0))
        by_day = 0.25 + 0.75 * max(0.0, math.sin((at.hour - 6) / 14 * math.pi))
        if chance.random() < by_day * (0.45 if at.weekday() >= 5 else 1.0):
            return at


def new_id(chance, at):
    """A UUIDv7 of that moment."""
    value = int(at.timestamp() * 1000) << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62)
    return str(uuid.UUID(int=value))


def time_like(sample):
    """Writes moments as the database has them."""
    if "T" in sample:
        return lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%f") + sample[sample.index("T") + 1:].lstrip("0123456789:.")
    return lambda at: at.strftime("%Y-%m-%d %H:%M:%S.%f") + sample[11:].lstrip("0123456789:.")


def add_keys(site, count):
    """Keys by the thousand, from a file."""
    rows = "name,tenant,rpm\n" + "".join(f"device-{at:05},acme,60\n" for at in range(count))
    headers = {"Authorization": f"Bearer {site.token(site.admin)}", "Content-Type": "text/csv"}
    request = urllib.request.Request(f"{site.admin_url}/api/v1/keys/bulk", rows.encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert answer.status in (200, 201), answer.read()
