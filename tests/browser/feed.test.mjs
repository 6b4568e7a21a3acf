// What a feed decides, without a browser: node --test tests/browser/
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClockOffset, EventParser, Position, frameBytes, median, pauseAfter, retryAfterOf } from "../../app/static/feed-policy.js";

const least = () => 0;
const most = () => 1;

test("codes 40xx and refusals end the feed", () => {
  for (const end of [{ code: 4000 }, { code: 4004 }, { status: 401 }, { status: 403 }, { status: 404 }]) {
    assert.equal(pauseAfter(end, 1), null);
  }
});

test("codes 41xx wait ten seconds or more", () => {
  assert.equal(pauseAfter({ code: 4100 }, 1, least), 10_000);
  assert.equal(pauseAfter({ code: 4199 }, 1, most), 20_000);
});

test("codes 42xx, 1012 and a stream that ended cleanly come back within half a second, once", () => {
  for (const end of [{ code: 4200 }, { code: 1012 }, { clean: true }]) {
    assert.equal(pauseAfter(end, 1, least), 0);
    assert.equal(pauseAfter(end, 1, most), 500);
    assert.ok(pauseAfter(end, 4, least) >= 2000);
  }
});

test("other ends wait longer each time, up to half a minute, and never all the same", () => {
  const pauses = [1, 2, 3, 4, 99].map((failures) => pauseAfter({ code: 1006 }, failures, most));
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 30_000]);
  assert.equal(pauseAfter({ code: 1006 }, 99, least), 15_000);
});

test("Retry-After is a number or a date, and is kept to", () => {
  assert.equal(retryAfterOf("7"), 7);
  assert.equal(retryAfterOf("Thu, 01 Jan 1970 00:00:09 GMT", 4000), 5);
  assert.equal(retryAfterOf(null), 0);
  assert.equal(retryAfterOf("soon"), 0);
  assert.equal(pauseAfter({ status: 503, retryAfter: 7 }, 1, least), 7000);
});

test("each id is taken once, in order; what came twice or never is counted", () => {
  const position = new Position(2);
  assert.deepEqual([1, 2, 3, 3, 4, 7].map((id) => position.takes(id)), [false, false, true, false, true, true]);
  assert.deepEqual([position.after, position.duplicates, position.skipped], [7, 3, 2]);
});

test("a recovery that failed moves the position, a good one does not", () => {
  const position = new Position(5);
  assert.equal(position.begin({ after: 9, recovered: true }), true);
  assert.equal(position.after, 5);
  assert.equal(position.begin({ after: 9, recovered: false }), false);
  assert.equal(position.after, 9);
});

test("events are parsed wherever the stream is cut", () => {
  const stream = ': heartbeat\n\nevent: recovery\ndata: {"after": 1}\n\nid: 2\r\nevent: message\r\ndata: one\r\ndata:two\r\n\r\ndata\n\nid: 3\n\n';
  const wanted = [
    { event: "recovery", data: '{"after": 1}' },
    { id: "2", event: "message", data: "one\ntwo" },
    { event: "message", data: "" },
  ];
  for (let cut = 0; cut <= stream.length; cut += 1) {
    const parser = new EventParser();
    assert.deepEqual([...parser.push(stream.slice(0, cut)), ...parser.push(stream.slice(cut))], wanted, `cut at ${cut}`);
  }
});

test("the clock is learned from the quickest publish, in whichever order its halves come", () => {
  const clock = new ClockOffset();
  clock.learn(1, { stored: 1000 });
  clock.learn(1, { sent: 5000, acknowledged: 5400 });
  assert.deepEqual([clock.offset, clock.uncertainty], [4200, 200]);
  clock.learn(2, { sent: 6000, acknowledged: 6020 });
  clock.learn(2, { stored: 2000 });
  assert.deepEqual([clock.offset, clock.uncertainty], [4010, 10]);
  clock.sample({ sent: 0, acknowledged: 900, stored: 0 });
  assert.equal(clock.uncertainty, 10);
});

test("sums: the median, and what a frame costs on the wire", () => {
  assert.deepEqual([median([]), median([3, 1, 2]), median([4, 1, 2, 3])], [null, 2, 2.5]);
  assert.deepEqual([frameBytes("é"), frameBytes("x".repeat(126)), frameBytes("x".repeat(65536))], [4, 130, 65546]);
});
