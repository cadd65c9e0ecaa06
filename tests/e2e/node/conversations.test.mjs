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
assert.ok(url && apiKey && model && ears, 'run these tests by: python -m pytest tests/e2e/test_conversations.py');

const options = { timeout: 60_000 };
const PER_MS = 48;
const PIECE_BYTES = 100 * PER_MS;

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

// Holds a conversation with the SDK's class: `steps` are what the client says once the event before has come.
function hold(steps) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, dangerouslyAllowBrowser: true });
  const session = new OpenAIRealtimeWebSocket({ model, dangerouslyAllowBrowser: true }, client);
  return new Promise((resolve, reject) => {
    const events = [];
    session.on('error', reject);
    session.on('event', (event) => {
      events.push(event);
      if (event.type !== steps[0]?.after) return;
      const { say, reply } = steps.shift();
      for (const next of say?.(event) ?? []) session.send(next);
      if (steps.length === 0 || reply) {
        session.close();
        resolve([...events]);
      }
    });
  });
}

const update = (session) => ({ type: 'session.update', session: { type: 'realtime', ...session } });
const write = (text) => [
  { type: 'conversation.item.create', item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] } },
  { type: 'response.create' },
];
const appended = (audio) =>
  pieces(audio).map((piece) => ({ type: 'input_audio_buffer.append', audio: piece.toString('base64') }));
const joined = (events, type) => events.filter((event) => event.type === type).map((event) => event.delta).join('').trim();
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const WEATHER = { type: 'function', name: 'get_weather', description: 'The weather.', parameters: PARAMETERS };

test('the SDK: a turn of speech', options, async () => {
  const events = await hold([
    { after: 'session.created', say: () => [update({ audio: { input: { transcription: { model: ears } } } })] },
    { after: 'session.updated', say: () => appended(speech(7, 8)) },
    { after: 'response.done' },
  ]);
  const kinds = events.map((event) => event.type);
  assert.ok(kinds.indexOf('input_audio_buffer.speech_started') < kinds.indexOf('input_audio_buffer.speech_stopped'));
  assert.equal(joined(events, 'response.output_audio_transcript.delta'), 'You said w7 w8.');
  assert.ok(Buffer.from(joined(events, 'response.output_audio.delta'), 'base64').length > 0);
  assert.equal(events.at(-1).response.status, 'completed');
});

test('the SDK: two functions at once', options, async () => {
  const events = await hold([
    { after: 'session.created', say: () => [update({ tools: [WEATHER] })] },
    { after: 'session.updated', say: () => write('both') },
    {
      after: 'response.done',
      say: ({ response }) => [
        ...response.output.map(({ call_id }) => ({
          type: 'conversation.item.create', item: { type: 'function_call_output', call_id, output: 'sun' },
        })),
        { type: 'response.create' },
      ],
    },
    { after: 'response.done' },
  ]);
  const calls = events.filter((event) => event.type === 'response.function_call_arguments.done');
  assert.deepEqual(calls.map((call) => JSON.parse(call.arguments).city), ['Oslo', 'Rome']);
  assert.equal(joined(events, 'response.output_audio_transcript.delta'), 'Oslo: sun. Rome: sun.');
});

// A session of the agents' framework, connected, with every event that it saw.
async function framework(agent) {
  const transport = new Transport({ url: `${url.replace(/^http/, 'ws')}/v1/realtime?model=${model}` });
  const config = { audio: { input: { transcription: { model: ears } } } };
  const session = new RealtimeSession(agent, { transport, model, config });
  const events = [];
  const errors = [];
  transport.on('*', (event) => events.push(event));
  session.on('error', (error) => errors.push(error));
  await session.connect({ apiKey });
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
  return { session, events, until, done };
}

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

test('the framework: a function is run and its result spoken', options, async () => {
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
  talk.session.sendMessage('weather');
  await talk.done(2);
  assert.deepEqual(asked, ['Oslo']);
  const deltas = joined(talk.events, 'response.output_audio_transcript.delta');
  assert.equal(deltas, 'Oslo: sun.');
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
