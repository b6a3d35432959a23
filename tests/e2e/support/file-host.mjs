// A host of files on loopback: what stands in for a static Composer repository, or for packagist.org.

import http from "node:http";

/** A host of files; `files.put(path, body)` takes text, Buffers and JSON. `files.log` lists the paths asked for. */
export async function startFileHost() {
  const bodies = new Map();
  const log = [];
  const server = http.createServer((request, response) => {
    log.push(request.url);
    const body = bodies.get(request.url);
    if (body === undefined) return response.writeHead(404).end();
    response.writeHead(200).end(body);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    log,
    forget: () => void log.splice(0),
    put(path, body) {
      bodies.set(path, typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body));
      return url + path;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
