// Pictures in a room: sending one, and showing the messages that hold one.
import { csrfToken, element } from "./page.js";

// A message that brings a picture ends with a line that is its address.
const ADDRESS = /(?:^|\n)(\/rooms\/[\w-]+\/pictures\/\d+\/)large$/;
const LOOK_AGAIN = 5000; // ms; the answer to a picture is its message, this is for pictures that fail

// Return the elements that show a message's text.
export function textElements(text) {
  const found = ADDRESS.exec(text);
  if (!found) return [element("p", { class: "text" }, text)];
  const name = text.slice(0, found.index);
  const picture = element("img", { src: `${found[1]}small`, alt: name, loading: "lazy" });
  return [element("a", { class: "picture", href: `${found[1]}large` }, picture), ...(name ? [element("p", { class: "text" }, name)] : [])];
}

// Send a picture. Return its state {id, state, reason, address}; throw an Error with a text for people.
export async function sendPicture(url, file) {
  const body = new FormData();
  body.append("picture", file);
  const answer = await fetch(url, { method: "POST", headers: { "X-CSRFToken": csrfToken() }, body }).catch(() => {
    throw new Error("The picture was not sent: the server does not answer.");
  });
  const state = await answer.json().catch(() => ({}));
  if (answer.status === 413) throw new Error(state.detail ?? "The picture is too large.");
  if (!answer.ok) throw new Error(state.detail ?? `The picture was not taken: the server answers ${answer.status}.`);
  return state;
}

// Look after a picture that is being made; resolve with its state once it is ready or has failed.
export async function pictureDone(address) {
  for (;;) {
    await new Promise((done) => setTimeout(done, LOOK_AGAIN));
    const state = await fetch(address).then((answer) => answer.json()).catch(() => null);
    if (state && state.state !== "waiting") return state;
  }
}
