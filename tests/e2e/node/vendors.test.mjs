// The vendors' own SDKs for Node, unchanged but for base URL and key. `test_vendor_sdks.py` starts the gateway and
// sets ANTIPHON_URL, ANTIPHON_KEY and ANTIPHON_TONE, the path of a WAV file of 2.5 seconds; beside that file lies
// speech.pcm, which the scripted vendors understand as three words. What each call cost is checked there.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { DeepgramClient } from '@deepgram/sdk';
import { AudioFormat, ElevenLabsClient, RealtimeEvents } from '@elevenlabs/elevenlabs-js';
import Groq from 'groq-sdk';

const { ANTIPHON_URL: url, ANTIPHON_KEY: apiKey, ANTIPHON_TONE: tone } = process.env;
assert.ok(url && apiKey && tone, 'run these tests by: python -m pytest tests/e2e/test_vendor_sdks.py');

const elevenlabs = new ElevenLabsClient({ baseUrl: `${url}/elevenlabs`, apiKey });
const deepgram = new DeepgramClient({ baseUrl: `${url}/deepgram`, apiKey });
const groq = new Groq({ baseURL: `${url}/groq`, apiKey, maxRetries: 0 });

const TEXT = 'Hello from the other side of the gateway.';
const SENTENCE = 'The quick brown fox jumps over the lazy dog.';
const WORDS = 'w1 w2 w3';
const RATE = 16_000;
const options = { timeout: 60_000 };

// Samples as a microphone has them, 100 ms at a time.
const speech = fs.readFileSync(path.join(path.dirname(tone), 'speech.pcm'));
const pieces = Array.from({ length: Math.ceil(speech.length / 3200) }, (_, n) => speech.subarray(n * 3200, (n + 1) * 3200));

async function size(stream) {
  let bytes = 0;
  for await (const piece of stream) bytes += piece.length;
  return bytes;
}

test('ElevenLabs speaks', options, async () => {
  const asked = { text: TEXT, modelId: 'eleven_flash_v2_5', outputFormat: 'pcm_24000' };
  const audio = await elevenlabs.textToSpeech.convert('21m00Tcm4TlvDq8ikWAM', asked);
  assert.ok(await size(audio) > 48_000);
});

test('ElevenLabs transcribes', options, async () => {
  const file = fs.createReadStream(tone);
  const answer = await elevenlabs.speechToText.convert({ modelId: 'scribe_v2', file, tagAudioEvents: false });
  assert.equal(answer.text, SENTENCE);
});

test('ElevenLabs listens', options, async () => {
  const session = await elevenlabs.speechToText.realtime.connect({
    modelId: 'scribe_v2_realtime', audioFormat: AudioFormat.PCM_16000, sampleRate: RATE,
  });
  const committed = new Promise((resolve, reject) => {
    session.on(RealtimeEvents.COMMITTED_TRANSCRIPT, resolve);
    session.on(RealtimeEvents.ERROR, reject);
  });
  await new Promise((resolve) => session.on(RealtimeEvents.SESSION_STARTED, resolve));
  for (const piece of pieces) session.send({ audioBase64: piece.toString('base64') });
  session.commit();
  assert.equal((await committed).text, WORDS);
  session.close();
});

test('Deepgram speaks', options, async () => {
  const answer = await deepgram.speak.v1.audio.generate({ text: TEXT, model: 'aura-2-thalia-en', encoding: 'linear16' });
  assert.ok(await size(answer.stream()) > 48_000);
});

test('Deepgram transcribes', options, async () => {
  const asked = { model: 'nova-3', smart_format: true };
  const answer = await deepgram.listen.v1.media.transcribeFile(fs.createReadStream(tone), asked);
  assert.equal(answer.results.channels[0].alternatives[0].transcript, SENTENCE);
});

test('Deepgram listens', options, async () => {
  const session = await deepgram.listen.v1.connect({
    model: 'nova-3', encoding: 'linear16', sample_rate: RATE, interim_results: true,
  });
  const heard = [];
  const ended = new Promise((resolve, reject) => {
    session.on('message', (message) => {
      if (message.type === 'Results' && message.is_final) heard.push(message.channel.alternatives[0].transcript);
      if (message.type === 'Metadata') resolve();
    });
    session.on('error', reject);
  });
  session.connect();
  await session.waitForOpen();
  for (const piece of pieces) session.sendMedia(piece);
  session.sendCloseStream({ type: 'CloseStream' });
  await ended;
  session.close();
  assert.equal(heard.join(' ').trim(), WORDS);
});

test('Groq speaks', options, async () => {
  const asked = { model: 'canopylabs/orpheus-v1-english', voice: 'troy', input: TEXT, response_format: 'wav' };
  const answer = await groq.audio.speech.create(asked);
  assert.equal(Buffer.from(await answer.arrayBuffer()).toString('latin1', 0, 4), 'RIFF');
});

test('Groq transcribes', options, async () => {
  const answer = await groq.audio.transcriptions.create({ model: 'whisper-large-v3', file: fs.createReadStream(tone) });
  assert.equal(answer.text.trim(), SENTENCE);
});
