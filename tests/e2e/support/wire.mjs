// HTTP by hand over a socket: for requests that no HTTP client would send, and for what exactly comes back.

import net from "node:net";

/** No exchange of a test may take longer. */
const TIMEOUT = 15_000;

/** Sent behind each request: its answer shows where the one before really ends, whatever that says of its length. */
const SENTINEL = "GET /health HTTP/1.1\r\nhost: sentinel\r\n\r\n";
const SENTINEL_ANSWER = '{"status":"ok"}';
const BEGINNING = "HTTP/1.1 ";

/**
 * Sends `pieces` (texts and Buffers) as they are to the server at `url`. Resolves to `{ status, headers, body }`:
 * header names in lower case, `body` a Buffer of exactly what followed the head.
 */
export function exchange(url, pieces) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const socket = net.connect(Number(port), hostname);
    const finish = (bytes) => {
      socket.destroy();
      const answer = parse(bytes);
      answer === null ? reject(new Error("the server hung up without an answer")) : resolve(answer);
    };
    socket.setTimeout(TIMEOUT, () => socket.destroy(new Error(`nothing came within ${TIMEOUT} ms`)));
    socket.on("data", (piece) => {
      received = Buffer.concat([received, piece]);
      const next = received.lastIndexOf(BEGINNING);
      if (next > 0 && received.subarray(next).toString("latin1").endsWith(SENTINEL_ANSWER)) finish(received.subarray(0, next));
    });
    socket.on("end", () => finish(received));
    // A server may refuse before it has read everything; what it said until then counts.
    socket.on("error", (error) => (received.length > 0 ? finish(received) : reject(error)));
    for (const piece of [...pieces, SENTINEL]) socket.write(piece);
  });
}

/** The head of a request; what follows it is the caller's business. */
export function head(url, method, target, headers = {}) {
  const lines = Object.entries({ host: new URL(url).host, ...headers });
  return `${method} ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

function parse(bytes) {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const [first, ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const rest = bytes.subarray(end + 4);
  const body = headers["transfer-encoding"] === "chunked" ? joined(rest) : rest;
  return { status: Number(first.split(" ")[1]), headers, body };
}

/** The content of a body that was sent in chunks. */
function joined(bytes) {
  const pieces = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf("\r\n", at);
    const size = end < 0 ? 0 : Number.parseInt(bytes.subarray(at, end).toString("latin1"), 16);
    if (!size) return Buffer.concat(pieces);
    pieces.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}
