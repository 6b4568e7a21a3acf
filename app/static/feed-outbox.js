// What was published and is not acknowledged yet: kept in its order, repeated until it is, stored once by its key.
import { retryAfterOf } from "./feed-policy.js";

const AGAIN = 2000; // ms until a publish that was not answered is repeated

export class Outbox {
  #unsent = new Map(); // key -> {text, sent}
  #posting = false;
  #send = null; // sends a frame over the open connection
  #open = false;

  // answered({type: "ack", id, key, sent} | {type: "error", key, detail})
  constructor({ url, csrf, answered }) {
    Object.assign(this, { url, csrf, answered });
  }

  add(text) {
    const key = newKey();
    this.#unsent.set(key, { text, sent: Date.now() });
    if (this.#open && this.#send) this.#send({ type: "publish", text, key });
    else this.#post();
    return key;
  }

  // A feed is there: by `send`, or without it by one request after the other.
  open(send) {
    this.#open = true;
    this.#send = send;
    this.#flush();
  }

  close() {
    this.#open = false;
    clearTimeout(this.timer);
  }

  // What the server said about a publish, whichever way it came.
  take(frame) {
    const sent = this.#unsent.get(frame.key)?.sent;
    // The database is away for a moment.
    if (frame.code === "unavailable" && sent) return this.#later(AGAIN);
    this.#unsent.delete(frame.key);
    this.answered({ ...frame, sent });
  }

  #later(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#flush(), ms);
  }

  #flush() {
    if (!this.#open) return;
    if (!this.#send) return this.#post();
    for (const [key, { text }] of this.#unsent) this.#send({ type: "publish", text, key });
  }

  async #post() {
    if (this.#posting) return;
    this.#posting = true;
    while (this.#open && this.#unsent.size) {
      const [key, { text }] = this.#unsent.entries().next().value;
      const pause = await this.#postOne(key, text);
      if (pause) {
        this.#later(pause);
        break;
      }
    }
    this.#posting = false;
  }

  // Return 0, or after how many ms to try again.
  async #postOne(key, text) {
    try {
      const answer = await fetch(this.url, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": this.csrf },
        body: JSON.stringify({ text, key }),
      });
      const { id, detail = `The server answers ${answer.status}.` } = await answer.json().catch(() => ({}));
      if (answer.status >= 500 || answer.status === 429) return 1000 * retryAfterOf(answer.headers.get("Retry-After")) || AGAIN;
      this.take(answer.ok ? { type: "ack", id, key } : { type: "error", key, detail });
      return 0;
    } catch {
      return AGAIN; // the answer is lost: the same key again stores nothing twice
    }
  }
}

function newKey() {
  // randomUUID exists on pages served over TLS only.
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
}
