"""What holds for keys with limits while Redis is away, by what the configuration says."""

import signal

import httpx2
import pytest
from conftest import PATIENCE_S, Upstream, wait_for
from test_replicas import Admin, Database
from test_shared_limits import Redis, Sharing

CALL = {"model": "openai/tts-1-hd", "input": "Hello", "voice": "alloy", "response_format": "pcm"}


class Alone(Sharing):
    """A gateway with its Redis and a key for two requests a minute, and one without limits."""

    def __init__(self, folder, when_away):
        self.database, self.redis = Database(), Redis()
        self.upstream = Upstream("openai", folder)
        super().__init__(folder, "gateway", self.database, self.upstream, self.redis, when_away)
        self.admin = Admin(self)
        tenant = self.admin.post("/tenants", {"name": "acme"})["id"]
        self.limited, self.free = self.key(tenant, requests_per_minute=2), self.key(tenant)

    def key(self, tenant, **limits):
        made = self.admin.post("/keys", {"tenant_id": tenant, "name": "made", **limits})
        headers = {"authorization": f"Bearer {made['secret']}"}
        wait_for(lambda: httpx2.get(self.url + "/v1/models", headers=headers, timeout=PATIENCE_S).is_success or None)
        return headers

    def call(self, headers):
        return httpx2.post(self.url + "/v1/audio/speech", headers=headers, json=CALL, timeout=PATIENCE_S)

    def is_now(self, status):
        wait_for(lambda: self.readiness()["redis"]["status"] == status)

    def end(self):
        assert self.stop(signal.SIGTERM) == 0
        assert "panicked" not in self.log.read_text()
        self.upstream.stop(signal.SIGINT)
        self.redis.stop()
        self.database.stop()


@pytest.fixture
def alone(tmp_path, request):
    alone = Alone(tmp_path, request.param)
    yield alone
    alone.end()


@pytest.mark.parametrize("alone", ["open"], indirect=True)
def test_open_limits_nothing_until_redis_is_back(alone):
    assert [alone.call(alone.limited).status_code for _ in range(3)] == [200, 200, 429]
    alone.redis.shut_down()
    alone.is_now("unreachable")
    assert {alone.call(alone.limited).status_code for _ in range(5)} == {200}
    assert httpx2.get(alone.url + "/readyz", timeout=PATIENCE_S).status_code == 200
    alone.redis.start_again()
    alone.is_now("ok")
    assert 429 in {alone.call(alone.limited).status_code for _ in range(3)}


@pytest.mark.parametrize("alone", ["closed"], indirect=True)
def test_closed_admits_nothing_with_a_limit_until_redis_is_back(alone):
    alone.redis.shut_down()
    alone.is_now("unreachable")
    refused = alone.call(alone.limited)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) > 0
    assert alone.call(alone.free).status_code == 200, "what has no limit is served"
    assert httpx2.get(alone.url + "/readyz", timeout=PATIENCE_S).status_code == 503
    # One tenant would rather be served.
    other = alone.admin.post("/tenants", {"name": "other", "when_away": "open"})["id"]
    its_key = alone.key(other, requests_per_minute=1)
    assert [alone.call(its_key).status_code for _ in range(3)] == [200] * 3
    assert alone.call(alone.limited).status_code == 503, "others are not concerned"
    alone.redis.start_again()
    alone.is_now("ok")
    assert alone.call(alone.limited).status_code == 200
    assert httpx2.get(alone.url + "/readyz", timeout=PATIENCE_S).status_code == 200
