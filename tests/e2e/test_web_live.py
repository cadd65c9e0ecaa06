"""The playground and the list of sessions: speech, transcription and conversations in a browser with a microphone.

The microphone is a file: a second of silence, a sentence that flite speaks, and silence again, over and over.
"""

import re
import shutil
import subprocess
import types
import wave

import pytest

from playwright.sync_api import TimeoutError

from browser import NARROW, Held, check_axe, check_width, evaluate, wear
from conftest import openai, wait_for

SENTENCE = "This is a test of the speech system."
SILENCE_S = (1, 6)
# Loudness of everything that goes to the speakers, measured beside the page.
LISTEN = """
const connect = AudioNode.prototype.connect;
window.loudest = 0;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode) {
    const analyser = new AnalyserNode(this.context);
    const samples = new Float32Array(analyser.fftSize);
    connect.call(this, analyser);
    setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      window.loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), window.loudest);
    }, 20);
  }
  return connect.call(this, target, ...rest);
};
"""


@pytest.fixture(scope="module")
def microphone(tmp_path_factory):
    """What the microphone of every page hears."""
    assert shutil.which("flite"), "flite is missing: apt-get install flite"
    folder = tmp_path_factory.mktemp("microphone")
    spoken, file = folder / "spoken.wav", folder / "microphone.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", SENTENCE, "-o", str(spoken)], check=True)
    with wave.open(str(spoken)) as read:
        rate, samples = read.getframerate(), read.readframes(read.getnframes())
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(bytes(2 * rate * SILENCE_S[0]) + samples + bytes(2 * rate * SILENCE_S[1]))
    return types.SimpleNamespace(spoken=spoken, file=file)


@pytest.fixture(scope="module")
def chromium_arguments(microphone):
    return [f"--use-file-for-fake-audio-capture={microphone.file}"]


@pytest.fixture(scope="module")
def world(site, vendors):
    """A tenant with people, a key, and a model for conversations at the scripted vendor."""
    site.provider("openai", base_url=f"{vendors.url}/v1")
    site.ask("POST", "models", {"name": "agent", "targets": [{"provider": "openai", "model": "gpt-realtime"}]})
    key = site.ask("POST", "keys", {"name": "app", "tenant_id": site.tenant("acme")["id"]})
    wait_for(lambda: "agent" in models(site, key["secret"]))
    return types.SimpleNamespace(
        secret=key["secret"], boss=site.person("tenant_admin", "acme"), viewer=site.person("tenant_viewer", "acme")
    )


def models(site, secret):
    """The models that a key may use; none before it is in force."""
    try:
        return [model.id for model in site.client(secret).models.list()]
    except openai.AuthenticationError:
        return []


@pytest.fixture
def playground(signed_in_page, world):
    """The playground with a key; `page.loudest()` tells what was heard so far."""

    def make(tab, person=None, **options):
        page = signed_in_page("/account", person or world.boss, **options)
        # Whoever leaves a page while it renews the sign-in may have to sign in again.
        page.get_by_role("heading", level=1, name="Your account").wait_for()
        page.context.add_init_script(LISTEN)
        page.goto(f"/playground?tab={tab}")
        if person:
            page.get_by_label("Virtual key").fill(world.secret)
            page.get_by_role("button", name="Use this key").click()
        else:
            page.get_by_role("button", name="Make a temporary key").click()
        page.get_by_role("tab", name=tab.capitalize(), selected=True).wait_for()
        return page

    return make


def loud(page):
    """Waits until something was heard."""
    wait_for(lambda: evaluate(page, "window.loudest > 0.02") or None)


def value_of(page, label):
    """What stands behind a label of a list of details."""
    return page.locator("dl > div").filter(has=page.locator("dt", has_text=re.compile(f"^{label}$"))).first.locator("dd")


def shows(locator, pattern):
    """Waits until an element has a text like this."""
    try:
        locator.filter(has_text=re.compile(pattern)).first.wait_for()
    except TimeoutError as error:
        raise AssertionError(f"no {pattern!r} in {locator.all_inner_texts()}") from error


def begin_talk(page, model="agent"):
    page.get_by_label("Model", exact=True).select_option(model)
    page.get_by_role("button", name="Start conversation").click()
    page.get_by_label("Message", exact=True).and_(page.locator(":enabled")).wait_for()


def write(page, text):
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def test_whoever_sees_all_tenants_says_whose_the_key_is(site, world, signed_in_page):
    page = signed_in_page("/playground")
    page.get_by_label("Tenant", exact=True).select_option(label="acme")
    check_axe(page)
    page.get_by_role("button", name="Make a temporary key").click()
    page.get_by_role("tab", name="Speech", selected=True).wait_for()
    shows(page.get_by_label("Key in use"), r"ends in \d h.*\$1\.00 of \$1\.00 left")
    made = site.ask("GET", "keys?q=playground")["data"][-1]
    assert float(made["budget"]["usd"]) == 1 and made["budget"]["window"] == "total" and made["expires_at"]
    # It stays with the page while one looks elsewhere, and is written down nowhere.
    page.get_by_role("link", name="Sessions").click()
    page.get_by_role("heading", level=1, name="Sessions").wait_for()
    page.go_back()
    page.get_by_label("Key in use").wait_for()
    assert "sk-" not in evaluate(page, "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")


def test_a_viewer_pastes_a_key_and_a_wrong_one_is_told(world, signed_in_page):
    page = signed_in_page("/playground", world.viewer)
    field = page.get_by_label("Virtual key")
    field.fill("sk-ap-nobody-has-this")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="The key is not accepted").wait_for()
    assert not page.get_by_role("button", name="Make a temporary key").count(), "viewers make no keys"
    assert field.input_value() == "sk-ap-nobody-has-this"
    field.fill(world.secret)
    page.keyboard.press("Enter")
    page.get_by_role("tab", name="Speech", selected=True).wait_for()


def test_speech_is_heard_and_kept_with_what_it_cost(playground):
    page = playground("speech")
    page.get_by_label("Model", exact=True).select_option("local/flite")
    voice = page.get_by_label("Voice", exact=True)
    wait_for(lambda: voice.input_value() in ("slt", "rms", "awb", "kal16") or None)
    page.get_by_role("button", name="Browse voices").click()
    voices = page.get_by_role("dialog", name="Voices")
    voices.get_by_label("Search voices").fill("rms local")
    voices.get_by_text("1 row").wait_for()
    check_axe(page)
    voices.get_by_role("button", name="rms").click()
    assert voice.input_value() == "rms"
    page.get_by_label("Text").fill("Hello from the playground, which has something to say.")
    page.get_by_role("button", name="Speak", exact=True).click()
    loud(page)
    shows(value_of(page, "Served by"), r"^local · flite$")
    shows(value_of(page, "Cost"), r"^\$0")
    for label in ("First byte", "First sound", "Total"):
        shows(value_of(page, label), r"\d m?s")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    with wave.open(str(download.value.path())) as kept:
        assert kept.getnframes() > kept.getframerate()
    # Takes stay when one looks at another tab.
    page.get_by_role("tab", name="Transcription").click()
    page.get_by_role("tab", name="Speech").click()
    page.get_by_text("which has something to say").first.wait_for()


def test_a_format_that_a_model_lacks_is_told_at_its_field(playground):
    page = playground("speech")
    page.get_by_label("Model", exact=True).select_option("local/flite")
    page.get_by_label("Format").select_option("mp3")
    page.get_by_role("button", name="Speak", exact=True).click()
    page.get_by_role("alert").filter(has_text="wav").first.wait_for()
    assert page.get_by_label("Text").input_value()


def test_a_voice_that_is_written_before_the_list_comes_stays(playground):
    page = playground("transcription")
    held = Held(page, "**/v1/audio/voices")
    page.get_by_role("tab", name="Speech").click()
    page.get_by_label("Model", exact=True).select_option("local/flite")
    voice = page.get_by_label("Voice", exact=True)
    voice.fill("a-voice-of-mine")
    held.wait()
    held.end()
    page.locator("datalist option[value=slt]").wait_for(state="attached")
    assert voice.input_value() == "a-voice-of-mine"


def test_a_speed_that_is_no_number_is_told_and_not_sent(playground):
    page = playground("speech")
    page.get_by_label("Model", exact=True).select_option("local/flite")
    page.get_by_label("Speed").press_sequentially("1e")
    page.get_by_role("button", name="Speak", exact=True).click()
    page.locator(".field.invalid", has_text="Speed").get_by_text("This number cannot be used here").wait_for()
    assert not any(request.endswith("/v1/audio/speech") for request in page.watch.requests)


def test_a_cost_is_waited_for_as_long_as_its_record_takes(playground):
    page = playground("speech")
    late = []

    def not_yet(route):
        answer = route.fetch()
        late.append(answer)
        route.fulfill(response=answer, status=404, body='{"error": {"message": "not there yet", "code": "not_found"}}')

    usage = re.compile(r"/v1/usage/.")
    page.route(usage, not_yet)
    page.get_by_label("Model", exact=True).select_option("local/flite")
    wait_for(lambda: page.get_by_label("Voice", exact=True).input_value() or None)
    # Minutes pass in a moment.
    page.clock.install()
    page.get_by_role("button", name="Speak", exact=True).click()
    page.get_by_text("Total", exact=True).wait_for()

    def is_asked(count):
        page.clock.run_for(1000)
        return len(late) >= count

    wait_for(lambda: is_asked(16))
    page.unroute(usage)
    wait_for(lambda: page.clock.run_for(1000) or "$0" in value_of(page, "Cost").inner_text())


def test_what_the_microphone_hears_is_written_down(playground):
    page = playground("transcription")
    page.get_by_label("Model", exact=True).select_option("local/pocketsphinx")
    page.get_by_role("button", name="Record", exact=True).click()
    # Long enough for the sentence; a slow machine may look when it was heard again.
    shows(page.get_by_role("timer"), r"^([4-9]|\d\d)(\.\d)? s")
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("recording.wav").wait_for()
    page.get_by_label("Response format").select_option("verbose_json")
    page.get_by_role("button", name="Transcribe").click()
    shows(page.locator(".transcript"), "test|speech|system")
    page.get_by_role("table", name="Segments").wait_for()
    check_axe(page)
    page.get_by_text("Raw", exact=True).click()
    page.get_by_text('"segments"').wait_for()
    shows(value_of(page, "Served by"), "^local")


def test_what_is_filled_in_is_there_after_another_tab(playground, microphone, world):
    page = playground("speech")
    page.get_by_label("Text").fill("Said by nobody else.")
    page.get_by_label("Model", exact=True).select_option("local/flite")
    page.get_by_label("Voice", exact=True).fill("a-voice-of-mine")
    page.get_by_role("tab", name="Transcription").click()
    page.get_by_label("Drop a recording here").set_input_files(microphone.spoken)
    page.get_by_label("Model", exact=True).select_option(label="Another, by its name")
    page.get_by_label("Name of the model").fill("nobody/nothing")
    page.get_by_label("Response format").select_option("text")
    page.get_by_label("Language").fill("en")
    page.get_by_label("Stream the text").check()
    page.get_by_role("tab", name="Realtime").click()
    page.get_by_label("Instructions").fill("Sing.")
    page.get_by_role("tab", name="Speech").click()
    labels = ("Text", "Model", "Voice")
    told = [page.get_by_label(label, exact=True).input_value() for label in labels]
    assert told == ["Said by nobody else.", "local/flite", "a-voice-of-mine"]
    page.get_by_role("tab", name="Transcription").click()
    page.get_by_text(microphone.spoken.name).wait_for()
    labels = ("Name of the model", "Response format", "Language")
    assert [page.get_by_label(label).input_value() for label in labels] == ["nobody/nothing", "text", "en"]
    assert page.get_by_label("Stream the text").is_checked()
    page.get_by_role("tab", name="Realtime").click()
    assert page.get_by_label("Instructions").input_value() == "Sing."
    # Another key may have other models; what was typed is still there.
    page.get_by_role("button", name="Use another key").click()
    page.get_by_label("Virtual key").fill(world.secret)
    page.get_by_role("button", name="Use this key").click()
    page.get_by_role("tab", name="Transcription").click()
    assert page.get_by_label("Language").input_value() == "en"
    assert page.get_by_label("Name of the model").count() == 0, "the model is one of the key's"


def test_what_was_recorded_until_the_tab_was_left_is_kept(playground):
    page = playground("transcription")
    page.get_by_role("button", name="Record", exact=True).click()
    shows(page.get_by_role("timer"), r"^[1-9]\d*(\.\d)? s")
    page.get_by_role("tab", name="Speech").click()
    page.get_by_role("tab", name="Transcription").click()
    page.get_by_text("recording.wav").wait_for()
    page.get_by_role("button", name="Record", exact=True).wait_for()


def test_a_transcript_that_comes_while_another_tab_is_seen_is_there(playground, microphone):
    page = playground("transcription")
    page.get_by_label("Model", exact=True).select_option("local/pocketsphinx")
    page.get_by_label("Drop a recording here").set_input_files(microphone.spoken)
    # The browser itself sends it when the test lets it: files are not seen beside it.
    calls = []
    page.route("**/v1/audio/transcriptions", lambda route: calls.append(route))
    send = page.get_by_role("button", name="Transcribe", exact=True)
    send.click()
    wait_for(lambda: evaluate(page, "0") == 0 and len(calls) == 1)
    page.get_by_role("tab", name="Realtime").click()
    page.get_by_role("tab", name="Transcription").click()
    assert send.get_attribute("aria-busy") == "true", "it is still under way"
    page.get_by_role("tab", name="Realtime").click()
    with page.expect_response("**/v1/audio/transcriptions") as answered:
        calls[0].continue_()
    answered.value.finished()
    page.get_by_role("tab", name="Transcription").click()
    shows(page.locator(".transcript"), "test|speech|system")
    shows(value_of(page, "Served by"), "^local")


def test_a_file_is_written_down_as_it_comes_and_as_subtitles(playground, microphone):
    page = playground("transcription")
    page.get_by_label("Model", exact=True).select_option("local/pocketsphinx")
    page.get_by_label("Drop a recording here").set_input_files(microphone.spoken)
    page.get_by_label("Stream the text").check()
    page.get_by_role("button", name="Transcribe").click()
    shows(page.locator(".transcript"), "test")
    page.get_by_text("Raw", exact=True).click()
    shows(page.locator("pre"), "transcript.text.done")
    page.get_by_label("Response format").select_option("srt")
    page.get_by_role("button", name="Transcribe").click()
    page.get_by_role("table", name="Segments").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download transcript").click()
    assert download.value.suggested_filename == "transcript.srt"
    assert "-->" in download.value.path().read_text()


def test_a_conversation_is_spoken_written_and_interrupted(playground):
    page = playground("realtime")
    begin_talk(page)
    # The microphone speaks, is understood to have stopped, and is answered with sound.
    log = page.get_by_role("log", name="What was said")
    shows(log, "You said")
    loud(page)
    shows(page.locator(".talk-latency"), r"first sound after \d")
    shows(value_of(page, "Audio played"), r"[1-9]")
    # A long answer to what is written; the microphone speaks again and breaks it off.
    write(page, "story")
    shows(log, "story")
    shows(log, r"Part \d")
    log.get_by_text("Interrupted").first.wait_for()
    page.get_by_label("Search events").fill("truncate")
    # Nothing moves under the pointer, though more is said.
    events = page.get_by_role("region", name="Events")
    wait_for(lambda: all("truncate" in kind for kind in events.locator("code").all_inner_texts() or [""]) or None)
    events.hover()
    page.get_by_text(re.compile(r"waits while you point at it; \d+ more")).wait_for()
    row = page.get_by_role("button", name=re.compile("conversation.item.truncate")).first
    row.click()
    page.get_by_text("audio_end_ms").first.wait_for()
    check_axe(page)
    page.get_by_role("button", name="End conversation").click()
    page.get_by_text("You ended the conversation.").wait_for()
    wait_for(lambda: evaluate(page, "!document.querySelector('.call-level')") or None)


def test_one_interrupts_by_a_button_and_leaving_ends_it(site, world, playground):
    page = playground("realtime")
    page.get_by_label("Use the microphone").uncheck()
    begin_talk(page)
    write(page, "story")
    loud(page)
    page.get_by_role("button", name="Interrupt").click()
    page.get_by_text("Interrupted").first.wait_for()
    page.get_by_label("Search events").fill("response.cancel")
    page.get_by_role("button", name=re.compile("response.cancel")).first.wait_for()
    wait_for(lambda: site.ask("GET", "sessions")["data"] or None)
    page.get_by_role("link", name="Sessions").click()
    wait_for(lambda: site.ask("GET", "sessions")["data"] == [] or None)


def test_a_session_is_seen_live_and_terminated_and_its_page_is_told(site, world, playground, signed_in_page):
    watcher = signed_in_page("/sessions", world.boss)
    viewer = signed_in_page("/sessions", world.viewer)
    for page in (watcher, viewer):
        shows(page.get_by_role("status", name="Connection"), "Live")
        page.get_by_text("No session is open").wait_for()
    page = playground("realtime")
    page.get_by_label("Use the microphone").uncheck()
    begin_talk(page)
    write(page, "hello")
    table = watcher.get_by_role("table", name="Sessions")
    table.get_by_role("link", name="agent").wait_for()
    shows(table, r"Open.*playground")
    viewer.get_by_role("table", name="Sessions").get_by_role("link", name="agent").wait_for()
    assert not viewer.get_by_role("button", name="Terminate").count()
    check_axe(watcher)
    table.get_by_role("link", name="agent").click()
    watcher.get_by_role("heading", level=1, name="agent").wait_for()
    watcher.get_by_role("table", name="Turns").get_by_text("openai · gpt-realtime").first.wait_for()
    check_axe(watcher)
    watcher.get_by_role("button", name="Terminate").click()
    dialog = watcher.get_by_role("dialog", name="Terminate this session?")
    dialog.get_by_label("Reason").fill("the test is over")
    check_axe(watcher)
    dialog.get_by_role("button", name="Terminate session").click()
    page.get_by_text("ended by an administrator: the test is over").first.wait_for()
    shows(page.locator(".notice"), "1008")
    shows(value_of(watcher, "State"), "Ended")
    shows(viewer.get_by_role("table", name="Sessions"), "Ended")


def test_a_turn_is_listed_when_its_record_comes_late(site, playground, signed_in_page, world):
    page = playground("realtime")
    page.get_by_label("Use the microphone").uncheck()
    begin_talk(page)
    session = wait_for(lambda: site.ask("GET", "sessions")["data"] or None)[0]["id"]
    watcher = signed_in_page(f"/sessions/{session}", world.boss)
    shows(watcher.get_by_role("status", name="Connection"), "Live")
    watcher.get_by_text("No turn is recorded yet").wait_for()
    unwritten = without_turns(watcher, session)
    write(page, "hello")
    # The stream tells of the turn, and its record is not there yet.
    wait_for(lambda: evaluate(watcher, "0") == 0 and len(unwritten) > 0)
    watcher.unroute(f"**/api/v1/sessions/{session}")
    watcher.get_by_role("table", name="Turns").get_by_text("openai · gpt-realtime").first.wait_for()
    page.get_by_role("button", name="End conversation").click()
    page.get_by_text("You ended the conversation.").wait_for()


def without_turns(page, session, times=None):
    """A session is told as if none of its turns was recorded; gives those that are kept back."""
    unwritten = []

    def not_written(route):
        answer = route.fetch()
        told = answer.json()
        unwritten.extend(told["turns"])
        route.fulfill(response=answer, json=told | {"turns": []})

    page.route(f"**/api/v1/sessions/{session}", not_written, times=times)
    return unwritten


def test_a_turn_whose_record_comes_late_is_listed_on_a_page_that_is_opened_afterwards(
    site, playground, signed_in_page, world
):
    page = playground("realtime")
    page.get_by_label("Use the microphone").uncheck()
    begin_talk(page)
    session = wait_for(lambda: site.ask("GET", "sessions")["data"] or None)[0]["id"]
    write(page, "hello")
    wait_for(lambda: site.ask("GET", f"sessions/{session}", expected=(200, 404)).get("turns") or None)
    page.get_by_role("button", name="End conversation").click()
    page.get_by_text("You ended the conversation.").wait_for()
    wait_for(lambda: site.ask("GET", "sessions")["data"] == [])
    watcher = signed_in_page("/account", world.boss)
    watcher.get_by_role("heading", level=1, name="Your account").wait_for()
    unwritten = without_turns(watcher, session, times=1)
    watcher.goto(f"/sessions/{session}")
    watcher.get_by_role("table", name="Turns").get_by_text("openai · gpt-realtime").first.wait_for()
    assert unwritten, "what it was told at first"


def test_a_stream_that_breaks_is_told_and_taken_up_again(world, signed_in_page):
    page = signed_in_page("/account", world.viewer)
    page.get_by_role("heading", level=1, name="Your account").wait_for()
    page.watch.expect("ERR_FAILED")
    page.route("**/api/v1/sessions/events*", lambda route: route.abort())
    page.goto("/sessions")
    shows(page.get_by_role("status", name="Connection"), "trying again")
    page.unroute("**/api/v1/sessions/events*")
    shows(page.get_by_role("status", name="Connection"), "Live")
    page.get_by_text("No session is open").or_(page.get_by_role("table", name="Sessions")).first.wait_for()


@pytest.mark.parametrize("tab", ["speech", "transcription", "realtime"])
def test_every_tab_can_be_used_by_everybody(playground, world, tab):
    page = playground(tab, world.viewer, width=NARROW)
    for theme in ("light", "dark"):
        wear(page, theme)
        check_axe(page)
    check_width(page)


def test_the_list_of_sessions_can_be_used_by_everybody(signed_in_page, world):
    page = signed_in_page("/sessions", world.viewer, width=NARROW)
    page.get_by_role("status", name="Connection").wait_for()
    for theme in ("light", "dark"):
        wear(page, theme)
        check_axe(page)
    check_width(page)
