// The ways a browser can receive a feed. Each is a function that opens one connection and returns {close, publish?}.
//
// It is given a link: {urls, position() → last id, pollSeconds, and what it reports to:
//   received(bytes), heard(), recovery(frame), message(frame), answer(frame), ended(end)}. `ended` is called once.
import { EventParser, frameBytes, retryAfterOf, textBytes } from "./feed-policy.js";

const WAIT = 25; // seconds that a long poll asks the server to wait
const HEADERS = 300; // bytes counted for the headers of an answer, as browsers' resource timing does
const ELEMENT = 60; // bytes of markup around each item of a streamed document, about

export const transports = { websocket, sse, longpoll, poll, iframe };

function websocket(link) {
  const socket = new WebSocket(new URL(link.urls.websocket, location.href).href.replace(/^http/, "ws"));
  const send = (frame) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));
  socket.onopen = () => send({ type: "subscribe", after: link.position() });
  socket.onmessage = ({ data }) => {
    link.received(frameBytes(data));
    const frame = JSON.parse(data);
    if (frame.type === "subscribed") link.recovery(frame);
    else if (frame.type === "ack" || frame.type === "error") link.answer(frame);
    else link.message(frame);
  };
  socket.onclose = ({ code, reason }) => link.ended({ code, reason });
  return { close: () => socket.close(1000), publish: send };
}

// Not EventSource: it hides the status, Retry-After, the heartbeats and the bytes.
function sse(link) {
  const abort = new AbortController();
  const read = async () => {
    const answer = await fetch(`${link.urls.events}?after=${link.position() ?? 0}`, {
      headers: { Accept: "text/event-stream" },
      cache: "no-store",
      signal: abort.signal,
    });
    link.received(HEADERS);
    if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith("text/event-stream")) return link.ended(await endOf(answer));
    const parser = new EventParser();
    const decoder = new TextDecoder();
    const reader = answer.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      link.received(part.value.length);
      link.heard();
      for (const { event, data } of parser.push(decoder.decode(part.value, { stream: true }))) {
        if (event === "recovery") link.recovery(JSON.parse(data));
        else if (event === "message") link.message(JSON.parse(data));
        else if (event === "close") link.ended(JSON.parse(data));
      }
    }
    link.ended({ clean: true });
  };
  read().catch((error) => link.ended({ reason: error.message }));
  return { close: () => abort.abort() };
}

function longpoll(link) {
  return asking(link, WAIT);
}

function poll(link) {
  return asking(link, 0);
}

function asking(link, wait) {
  const abort = new AbortController();
  const ask = async () => {
    let begun = false;
    let caughtUp = false;
    while (!abort.signal.aborted) {
      const at = Date.now();
      const position = link.position() ?? 0;
      const answer = await fetch(`${link.urls.messages}?after=${position}${wait && caughtUp ? `&wait=${wait}` : ""}`, {
        cache: "no-store",
        signal: AbortSignal.any?.([abort.signal, AbortSignal.timeout((wait + 15) * 1000)]) ?? abort.signal,
      });
      if (!answer.ok) return link.ended(await endOf(answer));
      const text = await answer.text();
      link.received(HEADERS + textBytes(text));
      link.heard();
      const { messages, recovered, oldest, newest } = JSON.parse(text);
      if (!begun || !recovered) link.recovery({ after: recovered ? position : newest, recovered, oldest, newest });
      begun = true;
      messages.forEach(link.message);
      caughtUp = !messages.length || messages.at(-1).id >= newest;
      if (!caughtUp) continue;
      if (!wait) await sleep(link.pollSeconds * (900 + 200 * Math.random()));
      // A server that does not wait must not be asked without a pause.
      else if (!messages.length && Date.now() - at < 500) await sleep(500);
    }
  };
  ask().catch((error) => link.ended({ reason: error.message }));
  return { close: () => abort.abort() };
}

// The forever frame: a document that never ends; a script in it posts each item to this window.
function iframe(link) {
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.title = "Messages arrive here";
  let begun = false;
  const posted = ({ source, origin, data }) => {
    if (source !== frame.contentWindow || origin !== location.origin || data?.type !== "laurel-frame") return;
    link.received(ELEMENT + textBytes(JSON.stringify(data.data ?? "")));
    link.heard();
    if (data.event === "recovery") {
      begun = true;
      link.recovery(data.data);
    } else if (data.event === "message") link.message(data.data);
    else if (data.event === "close") link.ended(data.data);
  };
  const open = () => document.body.append(frame);
  const close = () => {
    removeEventListener("message", posted);
    removeEventListener("load", open);
    frame.remove();
  };
  frame.addEventListener("load", () => {
    // What was posted before the end is still on its way to this window.
    setTimeout(() => link.ended(begun ? { clean: true } : { status: frameStatus(frame), reason: "the frame ended before it began" }), 0);
  });
  addEventListener("message", posted);
  frame.src = `${link.urls.frame}?after=${link.position() ?? 0}`;
  // A frame that never ends would hold back the page's own `load`.
  if (document.readyState === "complete") open();
  else addEventListener("load", open);
  return { close };
}

function frameStatus(frame) {
  try {
    return frame.contentWindow.performance.getEntriesByType("navigation")[0]?.responseStatus || undefined;
  } catch {
    return undefined; // an error page of the browser is not ours to look into
  }
}

async function endOf(answer) {
  const detail = await answer.json().then((body) => body.detail, () => null);
  return {
    status: answer.ok ? 0 : answer.status,
    retryAfter: retryAfterOf(answer.headers.get("Retry-After")),
    reason: detail ?? (answer.ok ? "the answer is no feed" : `the server answers ${answer.status}`),
  };
}

function sleep(ms) {
  return new Promise((done) => setTimeout(done, ms));
}
