"""What `local` says, `local` understands: sentences spoken and transcribed again, by both ways."""

import re

from realtime import append, transcription_session, until

# Ordinary sentences about nothing in particular; the recogniser's dictionary knows every word.
SENTENCES = [
    "The weather is very nice today.",
    "We will meet at the station in the morning.",
    "She bought a new house near the river.",
    "My brother is going to work in the city.",
    "Please open the window and close the door.",
    "They have been waiting for the train for an hour.",
    "The children are playing in the garden.",
    "I would like to have a cup of coffee.",
    "He read the book from beginning to end.",
    "Thank you very much for your help.",
]
# Of all words, by both ways.
WORST_ERROR_RATE = 0.20


def words(text):
    return re.findall(r"[a-z']+", text.lower())


def distance(said, heard):
    """Least number of words to insert, delete or replace."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(heard, 1):
            before, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, before + (word != other))
    return row[-1]


def error_rate(heard):
    errors = sum(distance(words(said), words(text)) for said, text in zip(SENTENCES, heard, strict=True))
    return errors / sum(len(words(said)) for said in SENTENCES)


def test_the_measure_itself():
    assert distance(words("The cat sat."), words("the cat sat")) == 0
    assert distance(words("the cat sat"), words("a cat")) == 2
    assert distance([], words("three more words")) == 3


def test_by_file(client, local_speech):
    heard = []
    for said in SENTENCES:
        file = ("said.wav", local_speech(said, "wav"), "audio/wav")
        heard.append(client.audio.transcriptions.create(model="local/pocketsphinx", file=file).text)
    rate = error_rate(heard)
    print(f"word error rate by file: {rate:.1%}")
    assert rate <= WORST_ERROR_RATE, list(zip(SENTENCES, heard, strict=True))


def test_by_realtime_session(client, local_speech):
    heard = []
    with client.realtime.connect(extra_query={"intent": "transcription"}) as session:
        session.session.update(session=transcription_session("local/pocketsphinx", turn_detection=None))
        until(session, "session.updated")
        for said in SENTENCES:
            append(session, local_speech(said))
            session.input_audio_buffer.commit()
            events = until(session, "conversation.item.input_audio_transcription.completed")
            heard.append(events[-1].transcript)
    rate = error_rate(heard)
    print(f"word error rate by realtime session: {rate:.1%}")
    assert rate <= WORST_ERROR_RATE, list(zip(SENTENCES, heard, strict=True))
