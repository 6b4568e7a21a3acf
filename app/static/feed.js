// A feed of items with increasing ids, over whatever transport the browser and the server can carry.
//
//   const feed = new Feed({ room: "garden", transport: "auto", after: 17, csrf: token,
//     onmessage: (message, { live, transport }) => …, onstate: ({ name, transport, seconds, reason }) => … });
//   feed.publish("Hello"); feed.use("sse"); feed.unplug(); feed.plug(); feed.close();
//
// It names the last id it has whenever it connects: each item is given once, in order, whatever happens between.
// States: connecting, catching-up, live, reconnecting (in `seconds`), offline, unplugged, closed.
// Other addresses than a room's: urls: {websocket, events, messages, frame, publish}; those left out are not used.
import { Outbox } from "./feed-outbox.js";
import { ClockOffset, FALLBACK, Position, pauseAfter } from "./feed-policy.js";
import { transports } from "./feed-transports.js";

const SILENCE = { sse: 45_000, iframe: 45_000 }; // ms without a heartbeat: the stream is dead
const OPENING = 20_000; // ms until a connection must have begun
const BETTER_AGAIN = 120_000; // ms until "auto" tries the first transport again
const SLEPT = 30_000; // ms hidden, after which a connection is replaced rather than trusted
const FAILURES_UNTIL_NEXT = 3; // of a transport that has worked before; one is enough for one that never has
const NEEDS = { websocket: "websocket", sse: "events", longpoll: "messages", poll: "messages", iframe: "frame" };


const nothing = () => {};

export function roomUrls(room) {
  const base = `/rooms/${room}`;
  return { websocket: `/ws${base}/`, events: `${base}/events`, messages: `${base}/messages`, frame: `${base}/frame`, publish: `${base}/messages` };
}

export class Feed {
  clock = new ClockOffset();
  stats = { bytes: 0, messages: 0, connections: 0, failures: 0 };

  #failures = 0;
  #rank = 0; // where in the fallback order
  #worked = new Set();
  #link = null;
  #outbox;
  #ears = new AbortController();

  constructor({ room, urls = roomUrls(room), transport = "auto", after = 0, csrf = "", pollSeconds = 2, ...handlers }) {
    Object.assign(this, { urls, transport, pollSeconds });
    for (const name of ["onmessage", "onstate", "onrecovery", "onack", "onerror"]) this[name] = handlers[name] ?? nothing;
    this.position = new Position(after);
    this.#outbox = new Outbox({ url: urls.publish, csrf, answered: (frame) => this.#answered(frame) });
    this.order = FALLBACK.filter((name) => urls[NEEDS[name]]);
    const listen = (target, type, call) => target.addEventListener(type, call, { signal: this.#ears.signal });
    listen(window, "online", () => this.#restart());
    listen(window, "offline", () => this.#halt("offline"));
    listen(document, "resume", () => this.#restart()); // after the browser froze the tab
    listen(document, "visibilitychange", () => this.#looked());
    if (navigator.onLine) this.#connect();
    else this.#halt("offline");
  }

  get after() {
    return this.position.after;
  }

  // The transport in use; with "auto" the one that the fallback has come to.
  get current() {
    return this.transport === "auto" ? this.order[this.#rank] : this.transport;
  }

  use(transport) {
    this.transport = transport;
    this.#rank = 0;
    this.#restart();
  }

  // Go offline on purpose, as if the plug was pulled; what is published meanwhile waits.
  unplug() {
    this.unplugged = true;
    this.#halt("unplugged");
  }

  plug() {
    this.unplugged = false;
    this.#restart();
  }

  close(reason = "") {
    this.closed = true;
    this.#ears.abort();
    this.#halt("closed", reason);
  }

  // Send a text; it is repeated until it is acknowledged, and stored once. Returns its key.
  publish(text) {
    return this.#outbox.add(text);
  }

  #halt(name, reason = "") {
    clearTimeout(this.timer);
    this.#drop();
    this.#state(name, { reason });
  }

  #drop() {
    clearTimeout(this.watch);
    clearTimeout(this.upgrade);
    const link = this.#link;
    this.#link = null;
    this.#outbox.close();
    link?.connection?.close();
  }

  #restart() {
    if (this.closed || this.unplugged) return;
    this.#failures = 0;
    this.#connect();
  }

  #looked() {
    if (document.hidden) this.hiddenAt = Date.now();
    // A socket that slept can look open and be dead: a new one, which resumes, is sure.
    else if (this.#link && Date.now() - this.hiddenAt > SLEPT) this.#restart();
  }

  #connect() {
    clearTimeout(this.timer);
    this.#drop();
    const name = this.current;
    const guard = (call) => (value) => this.#link === link && call(value);
    const link = {
      urls: this.urls,
      pollSeconds: this.pollSeconds,
      position: () => this.position.after,
      received: (bytes) => (this.stats.bytes += bytes),
      heard: guard(() => this.#expect(SILENCE[name])),
      recovery: guard((frame) => this.#recovered(name, frame)),
      message: guard((frame) => this.#item(frame)),
      answer: guard((frame) => this.#outbox.take(frame)),
      ended: guard((end) => this.#ended(name, end)),
    };
    this.#link = link;
    this.stats.connections += 1;
    this.#state("connecting");
    this.#expect(OPENING);
    link.connection = transports[name](link);
  }

  #expect(ms) {
    clearTimeout(this.watch);
    const link = this.#link;
    if (ms) this.watch = setTimeout(() => link.ended({ reason: `nothing was heard for ${ms / 1000} s` }), ms);
  }

  #recovered(name, frame) {
    this.#failures = 0;
    this.#worked.add(name);
    this.#expect(SILENCE[name]);
    this.position.begin(frame);
    this.onrecovery(frame);
    this.newest = frame.newest;
    this.#state(this.after < this.newest ? "catching-up" : "live");
    if (this.transport === "auto" && this.#rank > 0) this.upgrade = setTimeout(() => this.#better(), BETTER_AGAIN);
    this.#outbox.open(this.#link.connection.publish);
  }

  #better() {
    this.#rank = 0;
    this.#connect();
  }

  #item(frame) {
    if (!this.position.takes(frame.id)) return;
    this.stats.messages += 1;
    this.clock.learn(frame.id, { stored: frame.sent_ts * 1000 });
    const live = frame.id > this.newest;
    this.onmessage(frame, { live, transport: this.current });
    if (!live && frame.id === this.newest) this.#state("live");
  }

  #ended(name, end) {
    this.#drop();
    this.stats.failures += end.clean || this.#isAsked(end) ? 0 : 1;
    this.#failures += 1;
    const pause = pauseAfter(end, this.#failures);
    if (pause === null && !(this.transport === "auto" && end.status === 404 && this.#rank < this.order.length - 1)) {
      return this.close(end.reason || "closed by the server");
    }
    const enough = this.#worked.has(name) ? FAILURES_UNTIL_NEXT : 1;
    if (this.transport === "auto" && !end.clean && !this.#isAsked(end) && this.#failures >= enough && this.#rank < this.order.length - 1) {
      this.#rank += 1;
      this.#failures = 0;
      return this.#connect();
    }
    this.#again(Date.now() + pause, end.reason);
  }

  // Whether the server told when to come back: it is there, and another transport would meet the same answer.
  #isAsked({ code, retryAfter }) {
    return code === 1012 || (code >= 4100 && code < 4300) || (retryAfter && this.order[this.#rank] !== "sse");
  }

  #again(at, reason) {
    const left = at - Date.now();
    this.#state("reconnecting", { seconds: Math.max(0, Math.ceil(left / 1000)), reason });
    this.timer = setTimeout(() => (left <= 1000 ? this.#connect() : this.#again(at, reason)), Math.min(1000, Math.max(0, left)));
  }

  #state(name, { seconds = 0, reason = "" } = {}) {
    this.state = name;
    this.onstate({ name, transport: this.current, seconds, reason });
  }

  #answered(frame) {
    if (frame.type === "error") return this.onerror(frame);
    if (frame.sent) this.clock.learn(frame.id, { sent: frame.sent, acknowledged: Date.now() });
    this.onack(frame);
  }
}
