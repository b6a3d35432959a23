// The load, in a process of its own: keep-alive connections that send a request as soon as the answer to the last one
// is there. Plain sockets, because an HTTP client in JavaScript costs more than the server it measures.
//
// A message `{ port, requests, seconds, connections, times }` starts a run; the answer is
// `{ count, bytes, seconds, statuses, p50, p99 }`. `requests` are sent in turn, as they stand; `times` ends a run
// after so many.

import { connect } from "node:net";

/** Where each list of requests stands: a run goes on where the last one with the same name ended. */
const positions = new Map();

process.on("message", async (job) => {
  process.send(await run(job).catch((error) => ({ error: error.message })));
});
process.on("disconnect", () => process.exit());

async function run({ name, port, requests, seconds = 3600, connections = 8, times = Infinity }) {
  const begun = performance.now();
  const end = begun + seconds * 1000;
  const durations = [];
  const statuses = {};
  let bytes = 0;
  let sent = 0;
  const next = () => {
    if (sent >= times || performance.now() >= end) return null;
    sent += 1;
    const at = positions.get(name) ?? 0;
    positions.set(name, (at + 1) % requests.length);
    return requests[at];
  };
  const done = (status, received, duration) => {
    statuses[status] = (statuses[status] ?? 0) + 1;
    bytes += received;
    durations.push(duration);
  };
  await Promise.all(Array.from({ length: connections }, () => converse(port, next, done)));
  durations.sort((a, b) => a - b);
  const quantile = (part) => durations[Math.min(durations.length - 1, Math.floor(durations.length * part))];
  return {
    count: durations.length,
    bytes,
    seconds: (performance.now() - begun) / 1000,
    statuses,
    p50: quantile(0.5),
    p99: quantile(0.99),
  };
}

/** No answer may pause for longer: 20 s. */
const TIMEOUT = 20_000;

/** One connection: `next()` gives requests until it gives `null`. */
function converse(port, next, done) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1").setNoDelay();
    const answer = new Answer();
    let begun;
    let request;
    const send = () => {
      request = next();
      if (request === null) return void (socket.destroy(), resolve());
      begun = performance.now();
      answer.reset();
      socket.write(request);
    };
    const soFar = () => {
      const seen = answer.status ? `status ${answer.status} and ${answer.received} bytes` : "nothing";
      return `${seen} of the answer to ${request?.split("\r\n", 1)[0]}`;
    };
    socket.setTimeout(TIMEOUT, () => socket.destroy(new Error(`only ${soFar()} came`)));
    socket.on("connect", send);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`the server hung up when ${soFar()} had come`)));
    socket.on("data", (piece) => {
      if (!answer.take(piece)) return;
      done(answer.status, answer.received, performance.now() - begun);
      send();
    });
  });
}

/** Finds the end of an answer, by its length or its chunks. */
class Answer {
  reset() {
    this.head = "";
    this.status = 0;
    this.received = 0;
    this.left = null;
    this.chunk = null;
  }

  /** Takes a piece; true when the answer is complete. */
  take(piece) {
    let body = piece;
    if (this.status === 0) {
      this.head += piece.latin1Slice();
      const end = this.head.indexOf("\r\n\r\n");
      if (end < 0) return false;
      body = piece.subarray(piece.length - (this.head.length - end - 4));
      this.status = Number(this.head.slice(9, 12));
      const length = /\r\ncontent-length: *(\d+)/i.exec(this.head.slice(0, end));
      const bodiless = this.status === 304 || this.status === 204;
      this.left = bodiless ? 0 : length ? Number(length[1]) : null;
      if (this.left === null) this.chunk = { left: 0, line: "" };
    }
    return this.chunk ? this.takeChunks(body) : this.takeBytes(body.length);
  }

  takeBytes(count) {
    this.received += count;
    this.left -= count;
    return this.left <= 0;
  }

  /** RFC 9112, section 7.1, without trailers. */
  takeChunks(body) {
    const chunk = this.chunk;
    let at = 0;
    while (at < body.length) {
      if (chunk.left > 0) {
        const count = Math.min(chunk.left, body.length - at);
        chunk.left -= count;
        this.received += count;
        at += count;
        continue;
      }
      chunk.line += String.fromCharCode(body[at++]);
      if (!chunk.line.endsWith("\r\n")) continue;
      if (chunk.ending) return true;
      const size = Number.parseInt(chunk.line, 16);
      chunk.line = "";
      if (size === 0) chunk.ending = true;
      else chunk.left = size + 2;
    }
    return false;
  }
}
