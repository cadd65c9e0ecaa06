// A provider of voice agents through the official SDK's `OpenAIRealtimeWebSocket` and through
// `@openai/agents-realtime` with its WebSocket transport. Run by tests/e2e/test_conversations.py, which starts
// the gateway with the provider behind it and tells the model.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { OpenAIRealtimeWebSocket as Transport, RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import OpenAI from 'openai';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';
import { WebSocket } from 'ws';
import { z } from 'zod';

const { ANTIPHON_URL: url, ANTIPHON_KEY: apiKey, ANTIPHON_MODEL: model, ANTIPHON_EARS: ears } = process.env;
const { ANTIPHON_POOR: poor, ANTIPHON_RESUMES: resuming } = process.env;
assert.ok(url && apiKey && model && ears, 'run these tests by: python -m pytest tests/e2e/test_conversations.py');

const options = { timeout: 120_000 };
const PER_MS = 48;
const PIECE_BYTES = 100 * PER_MS;
const VAD = { type: 'server_vad', silence_duration_ms: 500 };

// The SDK's class opens sessions over TLS only, which ends at a proxy in front of the gateway. There is none here.
globalThis.WebSocket = class extends WebSocket {
  constructor(where, protocols) {
    super(String(where).replace(/^wss:/, 'ws:'), protocols);
  }
};

// Words that the scripted providers understand are levels of samples.
function speech(...words) {
  const samples = words.flatMap((word) => Array(24 * 300).fill(2000 + 8 * word));
  return Buffer.concat([Buffer.from(Int16Array.from(samples).buffer), Buffer.alloc(700 * PER_MS)]);
}

function pieces(audio) {
  return Array.from({ length: Math.ceil(audio.length / PIECE_BYTES) }, (_, at) =>
    audio.subarray(at * PIECE_BYTES, (at + 1) * PIECE_BYTES));
}

// What the client of a story sees and does: every event that came, and what it says itself.
class Talk {
  events = [];
  closed = undefined;

  constructor(send) {
    this.send = send;
  }

  // Everything from here to the first event of one of these types, which is the last. Another error fails.
  async until(...types) {
    const from = this.read ?? 0;
    for (let at = from; ; at += 1) {
      while (at >= this.events.length) {
        assert.equal(this.closed, undefined, `closed instead of ${types}: ${JSON.stringify(this.events.slice(-2))}`);
        await new Promise((resolve) => { this.wake = resolve; });
      }
      const event = this.events[at];
      this.read = at + 1;
      if (types.includes(event.type)) return this.events.slice(from, at + 1);
      assert.notEqual(event.type, 'error', JSON.stringify(event));
    }
  }

  came(event) {
    this.events.push(event);
    this.wake?.();
  }

  ended(code) {
    this.closed ??= code;
    this.wake?.();
  }

  async update(session) {
    this.send({ type: 'session.update', session: { type: 'realtime', ...session } });
    this.session = (await this.until('session.updated')).at(-1).session;
    return this.session;
  }

  audio(samples) {
    for (const piece of pieces(samples)) {
      this.send({ type: 'input_audio_buffer.append', audio: piece.toString('base64') });
    }
  }

  write(text) {
    const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] };
    this.send({ type: 'conversation.item.create', item });
    this.send({ type: 'response.create' });
  }

  async answer() {
    return this.until('response.done');
  }
}

// A talk over the SDK's class for browsers.
async function sdk(key = apiKey) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, dangerouslyAllowBrowser: true });
  const session = new OpenAIRealtimeWebSocket({ model, dangerouslyAllowBrowser: true }, client);
  const talk = new Talk((event) => session.send(event));
  session.on('event', (event) => talk.came(event));
  // The SDK tells an error event twice, the second time here.
  session.on('error', () => {});
  session.socket.addEventListener('close', ({ code }) => talk.ended(code));
  talk.close = () => session.close();
  await talk.until('session.created');
  return talk;
}

const joined = (events, type) => events.filter((event) => event.type === type).map((event) => event.delta).join('').trim();
const said = (events) =>
  joined(events, 'response.output_audio_transcript.delta') || joined(events, 'response.output_text.delta');
const heard = (events) =>
  events.filter(({ type }) => type === 'response.output_audio.delta')
    .reduce((bytes, { delta }) => bytes + Buffer.from(delta, 'base64').length, 0);
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const WEATHER = { type: 'function', name: 'get_weather', description: 'The weather.', parameters: PARAMETERS };

// The stories that need nothing but events, told with either client, and the session of each.
const STORIES = {
  'a greeting': [{ instructions: 'You greet who calls.' }, async (talk) => {
    talk.send({ type: 'response.create' });
    assert.equal(said(await talk.answer()), 'Welcome.');
  }],
  'three turns': [{ audio: { input: { transcription: { model: ears }, turn_detection: VAD } } }, async (talk) => {
    for (const words of [[1, 2], [11, 12], [21, 22]]) {
      talk.audio(speech(...words));
      const events = await talk.answer();
      const kinds = events.map(({ type }) => type);
      const order = ['speech_started', 'speech_stopped', 'committed'].map((name) => kinds.indexOf(`input_audio_buffer.${name}`));
      assert.deepEqual([...order, kinds.indexOf('response.created')].toSorted((a, b) => a - b), [...order, kinds.indexOf('response.created')]);
      assert.ok(order[0] >= 0 && heard(events) > 0);
      assert.equal(said(events), `You said w${words.join(' w')}.`);
      assert.equal(events.at(-1).response.status, 'completed');
    }
  }],
  'a barge-in in mid-answer': [{ audio: { input: { turn_detection: VAD } } }, async (talk) => {
    talk.audio(speech(2002));
    await talk.until('response.output_audio.delta');
    await talk.until('response.output_audio.delta');
    talk.audio(speech(5));
    const events = await talk.answer();
    assert.ok(events.some(({ type }) => type === 'input_audio_buffer.speech_started'));
    const { status, status_details: details } = events.at(-1).response;
    assert.deepEqual([status, details.reason], ['cancelled', 'turn_detected']);
    assert.equal(said(await talk.answer()), 'You said w5.');
  }],
  'a long answer that is truncated': [{}, async (talk) => {
    talk.write('story');
    let events = [];
    while (heard(events) < 700 * PER_MS) events = events.concat(await talk.until('response.output_audio.delta'));
    talk.send({ type: 'response.cancel' });
    const { response } = (await talk.answer()).at(-1);
    assert.deepEqual([response.status, response.status_details.reason], ['cancelled', 'client_cancelled']);
    const item = response.output[0].id;
    talk.send({ type: 'conversation.item.truncate', item_id: item, content_index: 0, audio_end_ms: 500 });
    assert.equal((await talk.until('conversation.item.truncated')).at(-1).item_id, item);
    talk.write('hello');
    assert.equal(said(await talk.answer()), 'You said hello.');
  }],
  'turns without detection': [{ audio: { input: { turn_detection: null } } }, async (talk) => {
    talk.audio(speech(3, 4).subarray(0, 600 * PER_MS));
    talk.send({ type: 'input_audio_buffer.commit' });
    await talk.until('input_audio_buffer.committed');
    talk.send({ type: 'response.create' });
    assert.equal(said(await talk.answer()), 'You said w3 w4.');
    talk.send({ type: 'input_audio_buffer.commit' });
    assert.equal((await talk.until('error')).at(-1).error.code, 'input_audio_buffer_commit_empty');
  }],
  'text alone': [{ output_modalities: ['text'] }, async (talk) => {
    assert.deepEqual(talk.session.output_modalities, ['text']);
    talk.write('hello');
    const events = await talk.answer();
    assert.deepEqual([said(events), heard(events)], ['You said hello.', 0]);
  }],
  'a change in mid-session': [{}, async (talk) => {
    talk.write('hello');
    await talk.answer();
    assert.equal((await talk.update({ instructions: 'Answer in verse.' })).instructions, 'Answer in verse.');
    talk.write('hello again');
    assert.equal(said(await talk.answer()), 'You said hello again.');
  }],
  'a provider that fails': [{}, async (talk) => {
    talk.write('trouble');
    const last = (await talk.until('response.done', 'error')).at(-1);
    assert.ok(last.type === 'error' || last.response.status === 'failed', JSON.stringify(last));
  }],
  'a provider that vanishes': [{}, async (talk) => {
    talk.write('vanish');
    while (talk.closed === undefined) {
      const last = await talk.until('response.done', 'error').catch(() => undefined);
      if (last && resuming && last.at(-1).type === 'response.done') {
        assert.equal(last.at(-1).response.status, 'failed');
        talk.write('hello');
        assert.equal(said(await talk.answer()), 'You said hello.');
        return;
      }
    }
    // Its own code is told where it says goodbye; this one does not.
    assert.equal(talk.closed, 1011);
  }],
};

async function spend(talk) {
  for (let turn = 0; turn < 20; turn += 1) {
    talk.write(`turn ${turn}`);
    const last = (await talk.until('response.done', 'error')).at(-1);
    if (last.type !== 'error') continue;
    assert.equal(last.error.code, 'budget_exceeded');
    while (talk.closed === undefined) await new Promise((resolve) => { talk.wake = resolve; });
    assert.equal(talk.closed, 1008);
    return;
  }
  assert.fail('twenty turns and money is left');
}

test('the SDK: every story', options, async (context) => {
  for (const [name, [session, story]] of Object.entries(STORIES)) {
    await context.test(name, options, async () => {
      const talk = await sdk();
      await talk.update({ instructions: 'Answer.', ...session });
      try {
        await story(talk);
      } finally {
        talk.close();
      }
    });
  }
});

test('the SDK: two functions at once', options, async () => {
  const talk = await sdk();
  await talk.update({ tools: [WEATHER] });
  talk.write('both');
  const events = await talk.answer();
  const calls = events.filter(({ type }) => type === 'response.function_call_arguments.done');
  assert.deepEqual(calls.map((call) => JSON.parse(call.arguments).city), ['Oslo', 'Rome']);
  for (const { call_id } of events.at(-1).response.output) {
    talk.send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id, output: 'sun' } });
  }
  talk.send({ type: 'response.create' });
  assert.equal(said(await talk.answer()), 'Oslo: sun. Rome: sun.');
  talk.close();
});

test('the SDK: a budget that is spent', options, async () => {
  if (poor) await spend(await sdk(poor.split(' ')[0]));
});

// A session of the agents' framework, connected, with every event that it saw.
async function framework(agent, key = apiKey, wanted = {}) {
  const transport = new Transport({ url: `${url.replace(/^http/, 'ws')}/v1/realtime?model=${model}` });
  const { transcription = { model: ears }, turn_detection: turnDetection } = wanted.audio?.input ?? {};
  const config = { outputModalities: wanted.output_modalities, audio: { input: { transcription, turnDetection } } };
  const session = new RealtimeSession(agent, { transport, model, config });
  const talk = new Talk((event) => transport.sendEvent(event));
  const { events } = talk;
  const errors = [];
  transport.on('*', (event) => talk.came(event));
  session.on('error', (error) => errors.push(error));
  await session.connect({ apiKey: key });
  transport.connectionState.websocket.addEventListener('close', ({ code }) => talk.ended(code));
  const until = (found) =>
    new Promise((resolve, reject) => {
      const look = () => {
        if (errors.length > 0) reject(new Error(JSON.stringify(errors[0])));
        else if (found()) resolve();
        else setTimeout(look, 20);
      };
      look();
    });
  const done = (count) => until(() => events.filter((event) => event.type === 'response.done').length >= count);
  await until(() => events.some((event) => event.type === 'session.updated'));
  return { session, talk, events, until, done };
}

test('the framework: every story', options, async (context) => {
  for (const [name, [wanted, story]] of Object.entries(STORIES)) {
    await context.test(name, options, async () => {
      const agent = new RealtimeAgent({ name: 'Helper', instructions: wanted.instructions ?? 'Answer.' });
      const { session, talk, until } = await framework(agent, apiKey, wanted);
      // Its own update, and the one by which it asks for tracing.
      await until(() => talk.events.filter(({ type }) => type === 'session.updated').length >= 2);
      talk.read = talk.events.length;
      talk.session = talk.events.findLast(({ type }) => type === 'session.updated').session;
      try {
        await story(talk);
      } finally {
        session.close();
      }
    });
  }
});

test('the framework: a budget that is spent', options, async () => {
  if (!poor) return;
  const { talk } = await framework(new RealtimeAgent({ name: 'Helper', instructions: 'Answer.' }), poor.split(' ')[1]);
  await spend(talk);
});

const transcript = ({ content }) => content.map((part) => part.transcript ?? part.text ?? '').join('').trim();

test('the framework: a turn of speech', options, async () => {
  const talk = await framework(new RealtimeAgent({ name: 'Helper', instructions: 'Answer.' }));
  let spoken = 0;
  talk.session.on('audio', (event) => { spoken += event.data.byteLength; });
  for (const piece of pieces(speech(3))) {
    talk.session.sendAudio(piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.length));
  }
  await talk.done(1);
  const last = () => talk.session.history.at(-1);
  await talk.until(() => last()?.role === 'assistant' && last().status === 'completed');
  assert.equal(transcript(last()), 'You said w3.');
  assert.ok(spoken > 0);
  await talk.until(() => talk.session.history.some((item) => item.role === 'user' && transcript(item) === 'w3'));
  talk.session.close();
});

test('the framework: two functions are run and their results spoken', options, async () => {
  const asked = [];
  const weather = tool({
    name: 'get_weather',
    description: 'The weather.',
    parameters: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      asked.push(city);
      return 'sun';
    },
  });
  const talk = await framework(new RealtimeAgent({ name: 'Helper', instructions: 'Answer.', tools: [weather] }));
  talk.session.sendMessage('both');
  const spoken = () => joined(talk.events, 'response.output_audio_transcript.delta');
  await talk.until(() => /Oslo: sun\. Rome: sun\.|Rome: sun\. Oslo: sun\./.test(spoken()));
  assert.deepEqual(asked, ['Oslo', 'Rome']);
  talk.session.close();
});

test('the framework: the user breaks in', options, async () => {
  const talk = await framework(new RealtimeAgent({ name: 'Helper', instructions: 'Answer.' }));
  let interrupted = 0;
  talk.session.on('audio_interrupted', () => { interrupted += 1; });
  talk.session.sendMessage('story');
  await talk.until(() => talk.events.filter((event) => event.type === 'response.output_audio.delta').length > 3);
  for (const piece of pieces(speech(4))) {
    talk.session.sendAudio(piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.length));
  }
  await talk.done(2);
  const statuses = talk.events.filter((event) => event.type === 'response.done').map(({ response }) => response.status);
  assert.deepEqual(statuses, ['cancelled', 'completed']);
  assert.ok(interrupted > 0);
  talk.session.close();
});
