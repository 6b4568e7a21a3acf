// The same feed over every transport at once, each with its own delay, bytes and log.
import { Feed } from "./feed.js";
import { Delays, afterPaint, csrfToken, duration, element, showState, size } from "./page.js";

const page = document.getElementById("compare");
const BARS = 24; // newest delays that are drawn
const LOGGED = 6; // newest messages that are listed
const BURST = 20;
const BURST_PAUSE = 250; // ms between two messages of a burst

class Column {
  constructor(card) {
    this.card = card;
    this.delays = new Delays();
    this.find = (name) => card.querySelector(`[data-part="${name}"]`);
    this.feed = new Feed({
      room: page.dataset.slug,
      transport: card.dataset.transport,
      after: Number(page.dataset.newest),
      csrf: csrfToken(),
      onmessage: (frame, { live }) => this.show(frame, live),
      onstate: (state) => showState(state, this.find("state"), { over: false }),
    });
  }

  show(frame, live) {
    const log = this.find("log");
    const delay = element("span", { class: "delay" });
    log.append(element("li", { "data-id": frame.id }, element("span", { class: "cut" }, `${frame.id} ${frame.text}`), delay));
    if (log.children.length > LOGGED) log.firstElementChild.remove();
    afterPaint((painted) => {
      const ms = Math.max(0, painted - frame.sent_ts * 1000 - clock.offset);
      delay.textContent = live ? duration(ms) : `caught up, ${duration(ms)}`;
      delay.classList.toggle("late", !live);
      if (live) this.delays.add(ms);
      this.draw();
    });
  }

  draw() {
    const newest = this.delays.values.slice(-BARS);
    const most = Math.max(100, ...newest);
    this.find("bars").replaceChildren(
      ...newest.map((ms, index) => {
        const height = Math.max(1, (30 * ms) / most);
        const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        for (const [name, value] of Object.entries({ x: index * 5, y: 30 - height, width: 4, height })) bar.setAttribute(name, value);
        return bar;
      }),
    );
    this.find("scale").textContent = newest.length ? `0 to ${duration(most)}` : "";
  }

  numbers() {
    const { stats, position } = this.feed;
    const parts = {
      median: duration(this.delays.median),
      bytes: size(stats.bytes),
      each: stats.messages ? size(Math.round(stats.bytes / stats.messages)) : "–",
      messages: String(stats.messages),
      connections: String(stats.connections),
      lost: `${position.skipped} · ${position.duplicates}`,
    };
    for (const [name, value] of Object.entries(parts)) {
      const place = this.find(name);
      if (place.textContent !== value) place.textContent = value;
    }
  }
}

const columns = [...page.querySelectorAll("[data-transport].column")].map((card) => new Column(card));
// One of them sends; its clock is the page's.
const sender = columns.find((column) => column.card.dataset.transport === "poll").feed;
const { clock } = sender;
setInterval(() => columns.forEach((column) => column.numbers()), 500);

for (const { card, feed } of columns) {
  const button = card.querySelector("button");
  button.addEventListener("click", () => toggle(button, feed));
}

function toggle(button, feed, pull = !feed.unplugged) {
  if (pull) feed.unplug();
  else if (feed.unplugged) feed.plug();
  button.setAttribute("aria-pressed", pull);
}

const all = document.getElementById("plug-all");
all.addEventListener("click", () => {
  const pull = all.getAttribute("aria-pressed") !== "true";
  all.setAttribute("aria-pressed", pull);
  all.textContent = pull ? "Put all plugs back" : "Pull all plugs";
  for (const { card, feed } of columns) toggle(card.querySelector("button"), feed, pull);
});

document.getElementById("send-one").addEventListener("click", () => send(1));
document.getElementById("send-many").addEventListener("click", () => send(BURST));

// Sent straight to the server, so that a pulled plug of a column does not hold it back.
async function send(count) {
  for (let number = 1; number <= count; number += 1) {
    const sent = Date.now();
    const answer = await fetch(sender.urls.publish, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
      body: JSON.stringify({ text: count > 1 ? `number ${number} of ${count}` : "one message" }),
    }).catch(() => null);
    const notice = document.getElementById("notice");
    notice.hidden = Boolean(answer?.ok);
    if (!answer?.ok) notice.textContent = answer ? `Not sent: the server answers ${answer.status}.` : "Not sent: the server does not answer.";
    else clock.learn((await answer.json()).id, { sent, acknowledged: Date.now() });
    if (number < count) await new Promise((done) => setTimeout(done, BURST_PAUSE));
  }
}
