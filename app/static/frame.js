// In a streamed document: hands each element that arrives to the page around it, if that is one of ours.
// A message is {type: "laurel-frame", event, id, data}; `data-json` of an element becomes `data`.
const seen = (element) => {
  if (!element.dataset?.event) return;
  const { event, id, json } = element.dataset;
  parent.postMessage({ type: "laurel-frame", event, id: id && Number(id), data: json && JSON.parse(json) }, location.origin);
  element.remove(); // the document has no end: it must not grow
};

new MutationObserver((changes) => changes.forEach(({ addedNodes }) => addedNodes.forEach(seen))).observe(document, {
  childList: true,
  subtree: true,
});
