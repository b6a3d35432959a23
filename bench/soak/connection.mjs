// One connection to the registry, as one client has it: kept alive, one request at a time, each noted.

import http from "node:http";

/** When a client gives up: twice what a request may take. */
const TIMEOUT = 20_000;

/** An address that nobody has come from: what is refused is counted by address. */
export function freshAddress() {
  const group = () => Math.floor(Math.random() * 0x10000).toString(16);
  return `2001:db8:${group()}:${group()}::1`;
}

/**
 * A connection to the `port` of a client at `address`. `ask(kind, request)` resolves to `{ status, headers, body }`, `body` a
 * Buffer, or to `null` when no answer came, which is noted as wrong.
 */
export function connect(port, address, records) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

  async function ask(kind, { method = "GET", path, headers = {}, json, body, expected = [200] }) {
    const sent = json === undefined ? body : Buffer.from(JSON.stringify(json));
    const all = {
      "cf-connecting-ip": address,
      ...(json === undefined ? {} : { "content-type": "application/json" }),
      ...(sent === undefined ? {} : { "content-length": sent.length }),
      ...headers,
    };
    const begun = performance.now();
    const note = (status, text) =>
      records.note(kind, { method, path, status, expected, text, milliseconds: performance.now() - begun });
    try {
      const answer = await exchange({ port, agent, method, path, headers: all }, sent);
      note(answer.status, answer.body.toString("utf8", 0, 200));
      return answer;
    } catch (error) {
      note("none", error.message);
      return null;
    }
  }

  return { ask, close: () => agent.destroy() };
}

/** Sends a request; once more when the connection was closed in the moment in which it was used again, as RFC 9112, 9.3.1 allows. */
function exchange(options, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", timeout: TIMEOUT, ...options }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) }));
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error(`nothing came within ${TIMEOUT} ms`)));
    request.on("error", (error) => {
      if (request.reusedSocket && ["ECONNRESET", "EPIPE"].includes(error.code)) exchange(options, body).then(resolve, reject);
      else reject(error);
    });
    request.end(body);
  });
}
