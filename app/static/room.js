import { Feed } from "./feed.js";
import { NAMES, Delays, afterPaint, csrfToken, duration, element, localTime, localTimes, showNotice, showState, size } from "./page.js";
import { pictureDone, sendPicture, textElements } from "./pictures.js";

const room = document.getElementById("room");
const messages = document.getElementById("messages");
const composer = document.getElementById("composer");
const text = document.getElementById("text");
const choice = document.getElementById("transport");
const plug = document.getElementById("plug");
const SHOWN_MOST = 500;
const REMEMBERED = "laurel-transport";

localTimes(messages);
for (const paragraph of messages.querySelectorAll(".text")) paragraph.replaceWith(...textElements(paragraph.textContent));
messages.scrollTop = messages.scrollHeight;

const asked = new URLSearchParams(location.search).get("transport") ?? localStorage.getItem(REMEMBERED);
choice.value = NAMES[asked] ? asked : "auto";
const delays = new Delays();
const sent = new Map(); // id -> when we sent it
let resumed = 0;

const feed = new Feed({
  room: room.dataset.slug,
  transport: choice.value,
  after: Number(room.dataset.newest),
  csrf: csrfToken(),
  onmessage: show,
  onstate: changed,
  onrecovery: recovered,
  onack: acknowledged,
  onerror: (frame) => showNotice(frame.detail),
});
setInterval(showNumbers, 500);

function show(frame, { live }) {
  const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 80;
  const own = frame.author === room.dataset.user;
  const time = element("time", { datetime: frame.sent_at }, localTime(new Date(frame.sent_at)));
  const delay = element("span", { class: "delay" });
  const meta = element("p", { class: "meta" }, element("b", {}, frame.author), " ", time, " ", delay);
  const item = element("li", { class: own ? "message own" : "message", "data-id": frame.id }, meta, ...textElements(frame.text));
  messages.append(item);
  if (messages.children.length > SHOWN_MOST) messages.firstElementChild.remove();
  const scroll = () => (messages.scrollTop = messages.scrollHeight);
  if (atEnd || own) {
    scroll();
    item.querySelector("img")?.addEventListener("load", scroll);
  }
  afterPaint((painted) => {
    item.dataset.painted = painted;
    const ms = painted - (sent.get(frame.id) ?? frame.sent_ts * 1000 + feed.clock.offset);
    label(delay, ms, live);
    if (live) delays.add(ms);
  });
}

function label(delay, ms, live) {
  delay.textContent = live ? duration(Math.max(0, ms)) : `caught up, ${duration(Math.max(0, ms))} later`;
  delay.classList.toggle("late", !live);
}

// What we sent ourselves is measured from the moment of sending.
function acknowledged({ id, sent: at }) {
  if (!at) return;
  sent.set(id, at);
  const item = messages.querySelector(`[data-id="${id}"]`);
  if (item?.dataset.painted) label(item.querySelector(".delay"), item.dataset.painted - at, true);
}

function changed(state) {
  showState(state);
  const pulled = state.name === "unplugged";
  plug.setAttribute("aria-pressed", pulled);
  plug.textContent = pulled ? "Put the plug back" : "Pull the plug";
}

function recovered({ recovered: whole }) {
  if (feed.stats.connections > 1) resumed += 1;
  room.dataset.recovered = whole;
  showNotice(whole ? "" : "You were away for long: some messages in between are no longer kept. Load the page again to see the newest.");
}

function showNumbers() {
  const numbers = {
    delay: duration(delays.median),
    bytes: size(feed.stats.bytes),
    resumed: String(resumed),
    lost: `${feed.position.skipped} · ${feed.position.duplicates}`,
  };
  for (const [name, value] of Object.entries(numbers)) {
    const place = document.getElementById(`number-${name}`);
    if (place.textContent !== value) place.textContent = value;
  }
}

choice.addEventListener("change", () => {
  localStorage.setItem(REMEMBERED, choice.value);
  feed.use(choice.value);
});

plug.addEventListener("click", () => (feed.unplugged ? feed.plug() : feed.unplug()));

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!text.value.trim()) return;
  if (feed.state === "live") showNotice("");
  feed.publish(text.value);
  text.value = "";
  fit();
  text.focus();
});

text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

text.addEventListener("input", fit);

// Rows grow with the text; a style attribute would need a looser content security policy.
function fit() {
  text.rows = Math.min(5, text.value.split("\n").length);
}

const file = document.getElementById("picture");
const progress = document.getElementById("picture-state");

file.addEventListener("change", async () => {
  const [chosen] = file.files;
  file.value = "";
  if (!chosen) return;
  showNotice("");
  progress.textContent = `Sending ${chosen.name}`;
  try {
    const { address } = await sendPicture(room.dataset.picturesUrl, chosen);
    progress.textContent = `${chosen.name} is being made smaller`;
    const done = await Promise.race([pictureDone(address), arrived(`${address}large`)]);
    if (done.reason) throw new Error(done.reason);
  } catch (error) {
    showNotice(error.message);
  } finally {
    progress.textContent = "";
  }
});

function arrived(address) {
  return new Promise((done) => {
    const look = () => messages.querySelector(`a[href="${address}"]`) && (observer.disconnect(), done({}));
    const observer = new MutationObserver(look);
    observer.observe(messages, { childList: true });
    look();
  });
}
