// What a feed decides without touching the network: pauses, order, parsing, sums. Tested without a browser.

export const FALLBACK = ["websocket", "sse", "longpoll"]; // what "auto" tries, in this order

const PAUSE_FIRST = 500; // ms; doubles with each failure
const PAUSE_MOST = 30_000;
const PAUSE_ASKED = 10_000; // the least pause when the server says "back off" (41xx)

// How long to wait before coming back, in ms; null: do not come back.
// end: {code} of a WebSocket, {status, retryAfter} of an answer, {clean: true} for a stream that ended as it should.
export function pauseAfter(end, failures, random = Math.random) {
  const kind = Math.floor((end.code ?? 0) / 100);
  if (kind === 40 || [400, 401, 403, 404].includes(end.status)) return null;
  // Spread: those who were sent away together must not come back together.
  if (end.retryAfter) return (end.retryAfter + random()) * 1000;
  const growing = Math.min(PAUSE_MOST, PAUSE_FIRST * 2 ** Math.max(0, failures - 1)) * (0.5 + random() / 2);
  if (kind === 41) return Math.max(growing, PAUSE_ASKED) * (1 + random());
  const comeBackNow = end.clean || kind === 42 || end.code === 1012;
  return comeBackNow && failures <= 1 ? random() * PAUSE_FIRST : growing;
}

// Seconds of a Retry-After header (a number or a date), or 0.
export function retryAfterOf(header, now = Date.now()) {
  if (!header) return 0;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return seconds > 0 ? Math.min(seconds, 600) : 0;
}

// The position in a feed: takes each id once, in order, and counts what came twice and what never came.
export class Position {
  duplicates = 0;
  skipped = 0; // a room's ids have no gaps: one in what arrives is a loss

  constructor(after) {
    this.after = after;
  }

  takes(id) {
    if (this.after !== null && id <= this.after) {
      this.duplicates += 1;
      return false;
    }
    if (this.after !== null) this.skipped += id - this.after - 1;
    this.after = id;
    return true;
  }

  // Take over what the server says when a connection begins. Return whether the feed goes on without a gap.
  begin({ after, recovered }) {
    if (this.after === null || !recovered) this.after = after;
    return recovered;
  }
}

// Parses Server-Sent Events: push(text) returns the events that are complete, as {event, data, id}.
export class EventParser {
  #rest = "";

  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter(Boolean);
  }

  #event = {};

  #line(line) {
    if (line === "") {
      const event = this.#event;
      this.#event = {};
      return event.data === undefined ? null : { event: "message", ...event };
    }
    const [, name, value] = /^([^:]*)(?:: ?([^]*))?$/.exec(line);
    if (name === "data" && this.#event.data !== undefined) this.#event.data += `\n${value ?? ""}`;
    else if (name) this.#event[name] = value ?? "";
    return null;
  }
}

// The server's clock against ours. What we publish is stored between our sending it and its acknowledgement: each
// publish gives a bound, the quickest the best one.
export class ClockOffset {
  offset = 0; // ms to add to the server's times
  uncertainty = null; // ms; null: nothing known, the clocks are taken to agree
  #halves = new Map(); // id -> {sent, acknowledged} or {stored}: the item and its acknowledgement come in any order

  learn(id, half) {
    const whole = { ...this.#halves.get(id), ...half };
    this.#halves.delete(id);
    if (whole.stored !== undefined && whole.sent !== undefined) return this.sample(whole);
    this.#halves.set(id, whole);
    if (this.#halves.size > 100) this.#halves.delete(this.#halves.keys().next().value);
  }

  sample({ sent, acknowledged, stored }) {
    const uncertainty = (acknowledged - sent) / 2;
    if (this.uncertainty !== null && uncertainty >= this.uncertainty) return;
    this.uncertainty = uncertainty;
    this.offset = (sent + acknowledged) / 2 - stored;
  }
}

export function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

const encoder = new TextEncoder();

export function textBytes(text) {
  return encoder.encode(text).length;
}

// What a WebSocket frame from a server costs on the wire.
export function frameBytes(text) {
  const bytes = textBytes(text);
  return bytes + (bytes < 126 ? 2 : bytes < 65536 ? 4 : 10);
}
