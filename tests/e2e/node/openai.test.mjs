// The official SDK for Node against a running gateway. `test_node.py` starts both and sets
// ANTIPHON_URL, ANTIPHON_KEY and ANTIPHON_TONE, the path of a WAV file of 2.5 seconds.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import test from 'node:test';
import OpenAI from 'openai';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { WebSocket } from 'ws';

const { ANTIPHON_URL: url, ANTIPHON_KEY: apiKey, ANTIPHON_TONE: tone } = process.env;
assert.ok(url && apiKey && tone, 'run these tests by: python -m pytest tests/e2e/test_node.py');

const baseURL = `${url}/v1`;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
const SENTENCE = 'The quick brown fox jumps over the lazy dog.';
const REPLY = 'Hello from the scripted upstream.';
const VOICE_MODEL = 'openai/gpt-realtime-2.1';
const options = { timeout: 60_000 };

// The SDK opens sessions over TLS only, which ends at a proxy in front of the gateway. There is none
// here, so both of its classes are given plain connections.
const plain = { createConnection: (where) => net.connect(where) };
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url.replace(/^wss:/, 'ws:'), protocols);
  }
};

test('a file is transcribed', options, async () => {
  const answer = await client.audio.transcriptions.create({ model: 'stt', file: fs.createReadStream(tone) });
  assert.equal(answer.text.trim(), SENTENCE);
});

test('a transcript arrives in pieces', options, async () => {
  const stream = await client.audio.transcriptions.create({
    model: 'openai/gpt-4o-transcribe', file: fs.createReadStream(tone), stream: true,
  });
  let text = '';
  let last;
  for await (const event of stream) {
    if (event.type === 'transcript.text.delta') text += event.delta;
    last = event;
  }
  assert.equal(text.trim(), SENTENCE);
  assert.equal(last.type, 'transcript.text.done');
});

test('words have their times', options, async () => {
  const answer = await client.audio.transcriptions.create({
    model: 'groq/whisper-large-v3', file: fs.createReadStream(tone), response_format: 'verbose_json',
    timestamp_granularities: ['word'],
  });
  assert.deepEqual(answer.words.map((word) => word.word), SENTENCE.split(' '));
});

test('speech is streamed', options, async () => {
  const answer = await client.audio.speech.create({
    model: 'openai/tts-1', voice: 'alloy', response_format: 'pcm',
    input: 'script:bytes=20000 script:chunk_bytes=1000 script:chunk_ms=50',
  });
  let size = 0;
  const times = [];
  for await (const piece of answer.body) {
    size += piece.length;
    times.push(performance.now());
  }
  assert.equal(size, 20_000);
  assert.ok(times.at(-1) - times[0] > 400, 'the first piece came long before the last was made');
});

test('the local provider speaks', options, async () => {
  const answer = await client.audio.speech.create({
    model: 'local/flite', voice: 'slt', response_format: 'wav', input: 'Hello from the other side.',
  });
  const audio = Buffer.from(await answer.arrayBuffer());
  assert.equal(audio.toString('latin1', 0, 4), 'RIFF');
  assert.ok(audio.length > 30_000);
});

test('a chat is streamed', options, async () => {
  const stream = await client.chat.completions.create({
    model: 'openai/gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }], stream: true,
  });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
  assert.equal(text, REPLY);
});

test('an embedding is decoded', options, async () => {
  const asked = { model: 'openai/text-embedding-3-small', input: 'one', dimensions: 8 };
  const [packed, plain] = await Promise.all([
    client.embeddings.create(asked),
    client.embeddings.create({ ...asked, encoding_format: 'float' }),
  ]);
  const near = (at) => Math.abs(packed.data[0].embedding[at] - plain.data[0].embedding[at]) < 1e-6;
  assert.ok(plain.data[0].embedding.every((_, at) => near(at)));
  assert.equal(packed.data[0].embedding.length, 8);
});

test('errors are the SDK\'s own', options, async () => {
  const stranger = new OpenAI({ baseURL, apiKey: 'sk-nobody-has-this-key', maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  await assert.rejects(client.models.retrieve('no-such-model'), OpenAI.NotFoundError);
});

/** Sends `events` once the session exists and resolves with what came up to the first `last`. */
function talk(session, events, last) {
  return new Promise((resolve, reject) => {
    const seen = [];
    session.on('error', reject);
    session.on('event', (event) => {
      seen.push(event);
      if (event.type === 'session.created') events.forEach((one) => session.send(one));
      if (event.type === last) {
        session.close();
        resolve(seen);
      }
    });
  });
}

const joined = (events, type) => events.filter((one) => one.type === type).map((one) => one.delta).join('');

test('a realtime session speaks', options, async () => {
  const session = new OpenAIRealtimeWS({ model: VOICE_MODEL, options: plain }, client);
  const events = await talk(session, [
    { type: 'input_audio_buffer.append', audio: Buffer.alloc(48_000).toString('base64') },
    { type: 'input_audio_buffer.commit' },
    { type: 'response.create' },
  ], 'response.done');
  assert.equal(events[0].session.model, VOICE_MODEL);
  assert.equal(joined(events, 'response.output_audio_transcript.delta'), REPLY);
  assert.ok(events.some((event) => event.type === 'response.output_audio.delta'));
  assert.equal(events.at(-1).response.status, 'completed');
});

test('a browser opens a session with a client secret', options, async () => {
  // The SDK's browser class sends its key in the subprotocol, since a browser cannot send a header.
  const { value } = await client.realtime.clientSecrets.create({ session: { type: 'realtime', model: VOICE_MODEL } });
  const browser = new OpenAI({ baseURL, apiKey: value, dangerouslyAllowBrowser: true });
  const session = new OpenAIRealtimeWebSocket({ model: VOICE_MODEL, dangerouslyAllowBrowser: true }, browser);
  const events = await talk(session, [
    { type: 'session.update', session: { type: 'realtime', output_modalities: ['text'] } },
    { type: 'response.create' },
  ], 'response.done');
  assert.equal(joined(events, 'response.output_text.delta'), REPLY);
});
