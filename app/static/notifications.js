import { Feed } from "./feed.js";
import { element, localTime, localTimes, showNotice, showState } from "./page.js";

const list = document.getElementById("notifications");
localTimes(list);

new Feed({
  urls: { websocket: "/ws/notifications/" },
  transport: "websocket",
  after: Number(list.dataset.newest),
  onmessage: show,
  onstate: showState,
  onrecovery: ({ recovered }) => showNotice(recovered ? "" : "Load the page again to see all of your mentions."),
  onerror: (frame) => showNotice(frame.detail),
});

function show(frame) {
  list.querySelector(".empty")?.remove();
  const where = element("a", { href: `/rooms/${frame.room}/` }, frame.room);
  const time = element("time", { datetime: frame.sent_at }, localTime(new Date(frame.sent_at)));
  const meta = element("p", { class: "meta" }, element("b", {}, frame.author), " in ", where, " ", time);
  list.prepend(element("li", { class: "message unread" }, meta, element("p", { class: "text" }, frame.text)));
}
