// Runs in the browser's audio thread: takes the microphone down to 16-bit samples, and plays such samples as they come.
"use strict";

/**
 * The microphone as 16-bit samples at a rate of our own, in pieces of equal length, each with its loudness. Each sample
 * is the mean of those that it stands for.
 */
class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate, pieceMs } }) {
    super();
    this.step = sampleRate / rate;
    this.left = this.step;
    this.sum = 0;
    this.size = Math.round((rate * pieceMs) / 1000);
    this.begin();
    this.isOpen = true;
    this.port.onmessage = () => (this.isOpen = false);
  }

  begin() {
    this.piece = new Int16Array(this.size);
    this.length = 0;
    this.squares = 0;
  }

  process(inputs) {
    const channel = inputs[0]?.[0];
    if (channel) {
      for (const sample of channel) {
        this.take(sample);
      }
    }
    return this.isOpen;
  }

  take(sample) {
    let rest = 1;
    while (rest >= this.left) {
      this.put((this.sum + sample * this.left) / this.step);
      rest -= this.left;
      this.sum = 0;
      this.left = this.step;
    }
    this.sum += sample * rest;
    this.left -= rest;
  }

  put(value) {
    const bounded = Math.max(-1, Math.min(1, value));
    this.piece[this.length++] = Math.round(bounded * 32767);
    this.squares += bounded * bounded;
    if (this.length === this.size) {
      const pcm = this.piece.buffer;
      this.port.postMessage({ pcm, level: Math.sqrt(this.squares / this.size) }, [pcm]);
      this.begin();
    }
  }
}

/**
 * Plays 16-bit samples that come in pieces. It waits until a little is there, so that pieces that come late leave no gap,
 * and tells what was heard of which item.
 */
class Playback extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate, bufferMs } }) {
    super();
    this.bufferMs = bufferMs;
    this.setRate(rate);
    this.isOpen = true;
    this.heardMs = 0;
    this.tell = 0;
    this.squares = 0;
    this.clear();
    this.port.onmessage = ({ data }) => this.hear(data);
  }

  setRate(rate) {
    this.rate = rate;
    this.step = rate / sampleRate;
    this.enough = (rate * this.bufferMs) / 1000;
  }

  clear() {
    this.pieces = [];
    this.queued = 0;
    this.at = 0;
    this.item = null;
    this.played = 0;
    this.waited = 0;
    this.isPlaying = false;
    this.isWhole = false;
  }

  hear(data) {
    if (data.kind === "audio") {
      const samples = new Int16Array(data.pcm);
      if (samples.length > 0) {
        this.pieces.push({ item: data.item, samples });
        this.queued += samples.length;
        this.isWhole = false;
      }
    } else if (data.kind === "whole") {
      this.isWhole = true;
      if (!this.isPlaying && this.queued === 0) {
        this.port.postMessage({ kind: "idle" });
      }
    } else if (data.kind === "rate") {
      this.setRate(data.rate);
    } else if (data.kind === "flush") {
      const isHeard = this.isPlaying || this.queued > 0;
      const item = isHeard ? (this.item ?? this.pieces[0]?.item ?? null) : null;
      this.port.postMessage({ kind: "flushed", item, playedMs: (this.played * 1000) / this.rate });
      this.clear();
    } else if (data.kind === "close") {
      this.isOpen = false;
    }
  }

  process(_inputs, outputs) {
    const channel = outputs[0][0];
    if (!this.isPlaying && this.queued > 0) {
      this.waited += (channel.length * 1000) / sampleRate;
      this.isPlaying = this.queued >= this.enough || this.isWhole || this.waited > 4 * this.bufferMs;
    }
    if (this.isPlaying) {
      this.play(channel);
    }
    return this.isOpen;
  }

  play(channel) {
    let count = 0;
    while (count < channel.length && this.pieces.length > 0) {
      const { item, samples } = this.pieces[0];
      if (item !== this.item) {
        this.item = item;
        this.played = 0;
        this.port.postMessage({ kind: "began", item });
      }
      const from = Math.floor(this.at);
      if (from >= samples.length) {
        this.at -= samples.length;
        this.queued -= samples.length;
        this.pieces.shift();
        continue;
      }
      const next = from + 1 < samples.length ? samples[from + 1] : (this.pieces[1]?.samples[0] ?? samples[from]);
      const value = (samples[from] + (next - samples[from]) * (this.at - from)) / 32768;
      channel[count++] = value;
      this.squares += value * value;
      this.at += this.step;
      this.played += this.step;
    }
    this.heardMs += (count * 1000) / sampleRate;
    this.tell += channel.length;
    const isDone = this.pieces.length === 0;
    if (isDone || this.tell >= sampleRate / 20) {
      const level = Math.sqrt(this.squares / Math.max(1, this.tell));
      this.port.postMessage({ kind: "progress", heardMs: this.heardMs, level: isDone ? 0 : level });
      this.tell = 0;
      this.squares = 0;
    }
    if (isDone) {
      this.isPlaying = false;
      this.waited = 0;
      this.queued = 0;
      this.at = 0;
      if (this.isWhole) {
        this.item = null;
        this.port.postMessage({ kind: "idle" });
      }
    }
  }
}

registerProcessor("antiphon-capture", Capture);
registerProcessor("antiphon-playback", Playback);
