// What an isolate holds in JavaScript, told by the runtime's inspector: a few messages of its protocol over a WebSocket (RFC 6455),
// for which Node has no client before version 22.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";

/** No answer of the inspector may take longer: 30 s. */
const TIMEOUT = 30_000;

/**
 * The bytes of JavaScript's heap and buffers of the worker called `name`, after a garbage collection; the wasm memory is not among
 * them. An isolate collects when it is asked for something, so `request()` is called all the time meanwhile.
 */
export async function heapBytes(inspector, name, request) {
  const targets = await (await fetch(`http://${inspector.host}/json`)).json();
  const { webSocketDebuggerUrl } = targets.find(({ id }) => id === `core:user:${name}`);
  const socket = await open(new URL(webSocketDebuggerUrl));
  const requests = setInterval(() => request().catch(() => {}), 100);
  try {
    await ask(socket, 1, "HeapProfiler.collectGarbage");
    const { usedSize, embedderHeapUsedSize, backingStorageSize } = await ask(socket, 2, "Runtime.getHeapUsage");
    return usedSize + embedderHeapUsedSize + backingStorageSize;
  } finally {
    clearInterval(requests);
    socket.destroy();
  }
}

async function open({ hostname, port, pathname }) {
  const headers = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-key": randomBytes(16).toString("base64"),
    "sec-websocket-version": "13",
  };
  const request = http.request({ hostname, port, path: pathname, headers, timeout: TIMEOUT }).end();
  const [, socket] = await once(request, "upgrade");
  return socket.setTimeout(TIMEOUT, () => socket.destroy(new Error(`the inspector said nothing within ${TIMEOUT} ms`)));
}

/** Sends a command and resolves to the result of the answer with this `id`, of less than 125 bytes each. */
async function ask(socket, id, method) {
  const text = Buffer.from(JSON.stringify({ id, method, params: {} }));
  // One masked text frame; the mask may be any, and zeros change nothing.
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
  let received = Buffer.alloc(0);
  for (;;) {
    const [piece] = await once(socket, "data");
    received = Buffer.concat([received, piece]);
    for (let frame = first(received); frame !== null; frame = first(received)) {
      received = received.subarray(frame.end);
      const message = JSON.parse(frame.content);
      if (message.id === id) return message.result;
    }
  }
}

/** The first whole frame of what was received: `{ content, end }`; servers do not mask theirs. */
function first(bytes) {
  if (bytes.length < 10) return null;
  const short = bytes[1] & 0x7f;
  const [at, length] = short < 126 ? [2, short] : short === 126 ? [4, bytes.readUInt16BE(2)] : [10, Number(bytes.readBigUInt64BE(2))];
  return bytes.length < at + length ? null : { content: bytes.subarray(at, at + length), end: at + length };
}
