// What the pages with a feed share: times in the reader's own zone, the state line, the notice, measured delays.
import { median } from "./feed-policy.js";

export const NAMES = {
  auto: "automatic",
  websocket: "WebSocket",
  sse: "Server-Sent Events",
  longpoll: "long polling",
  poll: "polling",
  iframe: "streamed iframe",
};

const STATES = {
  connecting: "connecting",
  "catching-up": "catching up",
  live: "live",
  reconnecting: "reconnecting",
  offline: "offline: no network",
  unplugged: "the plug is pulled",
  closed: "closed",
};

// Shows a state in an element with two spans; the second counts down and is hidden from screen readers, which would
// read every second of it.
export function showState(state, element = document.getElementById("state"), { over: named = true } = {}) {
  const over = named && (state.name === "live" || state.name === "connecting") ? ` over ${NAMES[state.transport]}` : "";
  const why = state.name === "closed" && state.reason ? `: ${state.reason}` : "";
  const [text, countdown] = element.children;
  const wanted = STATES[state.name] + over + why;
  if (text.textContent !== wanted) text.textContent = wanted;
  countdown.textContent = state.name === "reconnecting" ? ` in ${state.seconds} s` : "";
  element.dataset.state = state.name;
  element.dataset.transport = state.transport;
  element.title = state.reason;
}

export function showNotice(text) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.hidden = !text;
}

export function localTime(date) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function localTimes(root) {
  for (const time of root.querySelectorAll("time")) time.textContent = localTime(new Date(time.dateTime));
}

// Build an element; texts are set as text, never as HTML.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Call back with the time when what was just changed is on the screen; a hidden page paints nothing.
export function afterPaint(call) {
  if (document.hidden) return call(Date.now());
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => call(Date.now());
    channel.port2.postMessage(null);
  });
}

// The delays of the newest items, in ms.
export class Delays {
  values = [];

  add(ms) {
    this.values.push(Math.max(0, ms));
    if (this.values.length > 50) this.values.shift();
  }

  get median() {
    return median(this.values);
  }
}

export function duration(ms) {
  if (ms === null) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 90_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 5_400_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_500) return `${(bytes / 1000).toFixed(bytes < 9950 ? 1 : 0)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

export function csrfToken() {
  return document.querySelector("[name=csrfmiddlewaretoken]").value;
}
