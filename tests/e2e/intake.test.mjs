// The bodies of requests in the real runtime: uploads that wait for each other, bodies that never come, and what every
// answer says to browsers.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { ADMIN_TOKEN, issueToken, startRegistry } from "./support/registry.mjs";
import { storedZip } from "./support/zip.mjs";

/** More than a part of an upload, which is what is kept in memory of one. */
const LARGE = 6 << 20;

/** A body of which nothing comes is given up after ten seconds. */
const GIVEN_UP = 20_000;

let registry;

before(async () => {
  registry = await startRegistry();
});

after(() => registry?.stop());

/** Uploads a large zip: the answer's status and text. */
async function upload(version, token) {
  const files = { "composer.json": JSON.stringify({ name: "acme/lib" }), noise: randomBytes(LARGE) };
  const answer = await fetch(`${registry.url}/api/packages/acme/lib/versions/${version}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}` },
    body: storedZip(files),
  });
  return { status: answer.status, text: await answer.text() };
}

/** Sends the head of a request and `sent` of its body, and no more: the answer's first line, once it comes. */
function hold(method, path, { token, length, sent = "" }) {
  const { hostname, port, host } = new URL(registry.url);
  const socket = connect(Number(port), hostname);
  const head = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, `Content-Length: ${length}`, "Content-Type: application/json"];
  if (token) head.push(`Authorization: Bearer ${token}`);
  socket.write(`${head.join("\r\n")}\r\n\r\n${sent}`);
  const answer = new Promise((resolve, reject) => {
    socket.setTimeout(GIVEN_UP, () => reject(new Error(`no answer to ${method} ${path}`)));
    socket.once("data", (data) => resolve(String(data).split("\r\n")[0]));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed without an answer")));
  });
  return answer.finally(() => socket.destroy());
}

test("large uploads with one token at once wait for each other", async () => {
  const answers = await Promise.all(["1.0.0", "1.1.0", "1.2.0", "1.3.0"].map((version) => upload(version, ADMIN_TOKEN)));
  assert.deepEqual(answers.map(({ status }) => status), [201, 201, 201, 201], answers.map(({ text }) => text).join("\n"));
});

test("uploads that are held keep nobody else's from being published, and are given up", async () => {
  const writers = await Promise.all([1, 2, 3].map(() => issueToken(registry, { permissions: "write" })));
  const [one, two, three] = writers.map(({ token }) => token);
  const path = "/api/packages/acme/lib/versions/9.0.0";
  const held = [one, two].map((token) => hold("PUT", path, { token, length: 32 << 20 }));
  const begun = Date.now();
  const { status, text } = await upload("2.0.0", three);
  assert.equal(status, 201, text);
  assert.ok(Date.now() - begun < 9_000, "it did not wait until they were given up");
  assert.deepEqual(await Promise.all(held), Array(2).fill("HTTP/1.1 408 Request Timeout"));
});

test("a body is only waited for when its sender may send it", async () => {
  assert.equal(await hold("POST", "/api/tokens", { length: 100, sent: "{" }), "HTTP/1.1 401 Unauthorized");
  assert.equal(await hold("POST", "/api/tokens", { token: "forged", length: 100 }), "HTTP/1.1 401 Unauthorized");
  const waits = [
    hold("POST", "/api/tokens", { token: ADMIN_TOKEN, length: 100, sent: "{" }),
    hold("POST", "/api/auth/login", { length: 100, sent: "{" }),
  ];
  assert.deepEqual(await Promise.all(waits), Array(2).fill("HTTP/1.1 408 Request Timeout"));
});

test("every answer tells browsers to take it for what it is, to come by HTTPS and to tell nobody", async () => {
  const requests = [
    ["/health", {}, 200],
    ["/packages.json", {}, 401],
    ["/packages.json", { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } }, 200],
    ["/nothing/here", {}, 404],
    ["/api/tokens", { method: "PATCH" }, 405],
    ["/api/openapi.json", {}, 200],
    ["/api/swagger/", {}, 200],
    ["/api/swagger", { redirect: "manual" }, 307],
    ["/account/", {}, 200],
  ];
  for (const [path, options, status] of requests) {
    const answer = await fetch(registry.url + path, options);
    await answer.arrayBuffer();
    const said = ["x-content-type-options", "strict-transport-security", "referrer-policy"];
    assert.equal(answer.status, status, path);
    assert.deepEqual(said.map((name) => answer.headers.get(name)), ["nosniff", "max-age=31536000", "no-referrer"], path);
  }
});
