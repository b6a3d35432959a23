// Who is let in, how often, and what exactly the answers look like on the wire.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { issueToken, register, startRegistry } from "./support/registry.mjs";
import { exchange, head } from "./support/wire.mjs";

/** A counter is written to KV this long after the first request that it counts, at the latest; with some room. */
const FLUSHED = 6500;
const HOUR = 3_600_000;

let host;
let registry;
let token;
let commit;

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  const library = host.repository("acme/library");
  commit = library.commit({
    "composer.json": JSON.stringify({ name: "acme/library", type: "library" }),
    "src/Library.php": `<?php\n// ${"Some words. ".repeat(400)}\n`,
  });
  library.tag("v1.0.0");
  const repository = await register(registry, { url: host.urlOf("acme/library") });
  assert.equal(repository.sync_status, "ok", repository.error);
  token = (await issueToken(registry)).token;
});

after(async () => {
  await registry?.stop();
  await host?.stop();
});

const bearer = (text) => ({ authorization: `Bearer ${text}` });
const basic = (user, password) => ({ authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` });
const request = (path, text, headers = {}) => registry.request(path, { headers: { ...bearer(text), ...headers } });
const quota = (answer) => ["limit", "remaining", "reset"].map((name) => Number(answer.headers.get(`x-ratelimit-${name}`)));

/** A test that counts must not lie across the full hour, when all counts begin anew. */
async function withinOneHour(milliseconds) {
  const left = HOUR - (Date.now() % HOUR);
  if (left < milliseconds) await new Promise((resolve) => setTimeout(resolve, left + 100));
}

// ------------------------------------------------------------------------------------------------ rate limits

test("twenty requests at once with a fresh token are all answered and all counted", async () => {
  await withinOneHour(10_000);
  const fresh = (await issueToken(registry)).token;
  const paths = ["/packages.json", "/p2/acme/library.json", "/dist/acme/library/v1.0.0.zip", "/list.json"];
  const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => request(paths[index % paths.length], fresh)));
  assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
  const [limit, remaining, reset] = quota(await request("/packages.json", fresh));
  assert.deepEqual([limit, remaining], [1000, 984], "fifteen and this one: the zips do not count");
  assert.equal(reset % 3600, 0);
  assert.ok(reset * 1000 > Date.now() && reset * 1000 <= Date.now() + HOUR);
});

test("a token's kind decides how much it may ask, and its own limit decides over that", async () => {
  const limits = [];
  for (const fields of [{ permissions: "readonly" }, { permissions: "write" }, { permissions: "write", rate_limit_max: 7 }]) {
    limits.push(quota(await request("/packages.json", (await issueToken(registry, fields)).token)).slice(0, 2));
  }
  assert.deepEqual(limits, [[1000, 999], [500, 499], [7, 6]]);
});

test("an answer that says nothing has changed costs nothing", async () => {
  const fresh = (await issueToken(registry)).token;
  const first = await request("/packages.json", fresh);
  const again = await request("/packages.json", fresh, { "if-modified-since": first.headers.get("last-modified") });
  assert.equal(again.status, 304);
  assert.deepEqual(quota(again), quota(first));
});

test("the request beyond the limit is refused, in words that composer prints", async () => {
  await withinOneHour(20_000);
  const small = (await issueToken(registry, { rate_limit_max: 5 })).token;
  for (const left of [4, 3, 2, 1, 0]) {
    const answer = await request("/packages.json", small);
    assert.deepEqual([answer.status, ...quota(answer).slice(0, 2)], [200, 5, left]);
  }
  const refused = await request("/packages.json", small);
  const [limit, remaining, reset] = quota(refused);
  assert.deepEqual([refused.status, limit, remaining], [429, 5, 0]);
  assert.equal(refused.headers.get("content-type"), "application/json");
  const wait = Number(refused.headers.get("retry-after"));
  assert.ok(Math.abs(reset - Date.now() / 1000 - wait) < 5, `${wait}`);
  const body = await refused.json();
  assert.equal(body.code, "RATE_LIMITED");
  assert.match(body.warning, /^This token has used its 5 requests of this hour\. Try again in \d+ seconds\.$/);

  const project = createProject({ url: registry.url, auth: { username: "token", password: small } });
  try {
    const { code, output } = await project.composer("require", "acme/library");
    assert.notEqual(code, 0);
    assert.match(output, /This token has used its 5 requests of this hour\. Try again in \d+ seconds\./);
  } finally {
    project.remove();
  }
  await new Promise((resolve) => setTimeout(resolve, FLUSHED));
  await registry.restart();
  assert.equal((await request("/packages.json", small)).status, 429, "the count survives a restart");
});

// ------------------------------------------------------------------------------------------------ credentials

test("a request without valid credentials is told how to send some, and nothing else", async () => {
  const revoked = await issueToken(registry);
  assert.equal((await registry.admin(`/api/tokens/${revoked.id}`, { method: "DELETE" })).status, 200);
  const mistyped = token.slice(0, -1) + (token.endsWith("a") ? "b" : "a");
  const nobody = [
    {},
    bearer(revoked.token),
    bearer(mistyped),
    bearer(""),
    bearer("x".repeat(5000)),
    bearer("e2e-admin-tokem"),
    basic("token", "wrong"),
    basic(token, ""),
    { authorization: "Basic %%%" },
    { authorization: "Digest username=\"token\"" },
    { authorization: token },
  ];
  for (const headers of nobody) {
    for (const path of ["/packages.json", "/p2/acme/library.json", "/p2/acme/absent.json", `/dist/acme/library/v1.0.0/${commit}.zip`]) {
      const answer = await registry.request(path, { headers });
      const what = `${path} with ${JSON.stringify(headers).slice(0, 60)}`;
      assert.equal(answer.status, 401, what);
      assert.match(answer.headers.get("www-authenticate"), /^Basic realm="/, what);
      assert.equal(answer.headers.get("content-type"), "application/json", what);
      assert.equal(answer.headers.get("x-ratelimit-limit"), null, what);
      const body = await answer.json();
      assert.deepEqual(Object.keys(body).sort(), ["code", "details", "error", "warning"], what);
      assert.equal(body.warning, body.error, what);
    }
    const management = await registry.request("/api/repositories", { headers });
    assert.equal(management.status, 401);
    assert.deepEqual(Object.keys(await management.json()).sort(), ["code", "details", "error"]);
  }
});

test("a token is taken as Basic password under any user name, and as Bearer", async () => {
  for (const headers of [basic("token", token), basic("", token), basic("ünï", token), bearer(token)]) {
    assert.equal((await registry.request("/packages.json", { headers })).status, 200, headers.authorization);
  }
});

test("an expired token is refused as such", async () => {
  const { token: expiring } = await issueToken(registry, { expires_at: Math.floor(Date.now() / 1000) + 2 });
  assert.equal((await request("/packages.json", expiring)).status, 200);
  await new Promise((resolve) => setTimeout(resolve, 2100));
  const answer = await request("/packages.json", expiring);
  assert.equal(answer.status, 401);
  assert.match((await answer.json()).warning, /expired/);
});

test("Composer 1 is told to update itself", async () => {
  const old = { "user-agent": "Composer/1.10.27 (Linux; 5.4; PHP 7.4.3; cURL 7.68.0)" };
  for (const [path, headers] of [["/packages.json", { ...old, ...bearer(token) }], ["/packages.json", old], ["/p2/acme/library.json", old]]) {
    const answer = await registry.request(path, { headers });
    assert.equal(answer.status, 406);
    assert.match((await answer.json()).warning, /composer self-update --2/);
  }
});

// ------------------------------------------------------------------------------------------------ on the wire

/** One request over a socket of its own, with the token and without any content coding. */
const raw = (method, path, headers = {}) =>
  exchange(registry.url, [head(registry.url, method, path, { ...bearer(token), "accept-encoding": "identity", ...headers })]);

const documents = ["/packages.json", "/p2/acme/library.json", "/p2/acme/library~dev.json"];
const zip = () => `/dist/acme/library/v1.0.0/${commit}.zip`;

test("HEAD has the headers of GET and no body", async () => {
  for (const path of [...documents, zip(), "/dist/acme/library/dev-main.zip"]) {
    const get = await raw("GET", path);
    const answer = await raw("HEAD", path);
    assert.deepEqual([get.status, answer.status], [200, 200], path);
    assert.equal(get.headers["content-length"], String(get.body.length), path);
    assert.equal(answer.headers["content-length"], get.headers["content-length"], path);
    assert.equal(answer.body.length, 0, path);
    for (const name of ["content-type", "etag", "last-modified", "cache-control", "vary", "accept-ranges"]) {
      assert.equal(answer.headers[name], get.headers[name], `${name} of ${path}`);
    }
  }
});

test("an unchanged document is a 304 with nothing in it", async () => {
  for (const path of [...documents, zip()]) {
    const { headers } = await raw("GET", path);
    const conditions = [{ "if-none-match": headers.etag }];
    if (headers["last-modified"]) conditions.push({ "if-modified-since": headers["last-modified"] });
    for (const condition of conditions) {
      const answer = await raw("GET", path, condition);
      assert.deepEqual([answer.status, answer.body.length], [304, 0], path);
      assert.ok(!Number(answer.headers["content-length"] ?? 0), path);
      assert.equal(answer.headers.etag, headers.etag);
      assert.match(answer.headers["cache-control"], /private/);
    }
  }
  const { headers } = await raw("GET", documents[1]);
  const later = new Date(Date.parse(headers["last-modified"]) + 1000).toUTCString();
  assert.equal((await raw("GET", documents[1], { "if-modified-since": later })).status, 200, "a date is compared for equality");
});

test("an archive can be had in parts", async () => {
  const whole = (await raw("GET", zip())).body;
  const size = whole.length;
  const parts = [
    ["bytes=0-99", 0, 99],
    ["bytes=100-", 100, size - 1],
    ["bytes=-50", size - 50, size - 1],
    [`bytes=10-${size + 1000}`, 10, size - 1],
  ];
  for (const [range, first, last] of parts) {
    const { status, headers, body } = await raw("GET", zip(), { range });
    assert.equal(status, 206, range);
    assert.equal(headers["content-range"], `bytes ${first}-${last}/${size}`, range);
    assert.equal(headers["content-length"], String(last - first + 1), range);
    assert.ok(body.equals(whole.subarray(first, last + 1)), range);
  }
  const outside = await raw("GET", zip(), { range: `bytes=${size}-` });
  assert.deepEqual([outside.status, outside.headers["content-range"]], [416, `bytes */${size}`]);
  for (const range of ["bytes=9-1", "lines=1-2", "bytes=0-1,5-6"]) {
    assert.ok((await raw("GET", zip(), { range })).body.equals(whole), range);
  }
  const changed = await raw("GET", zip(), { range: "bytes=0-9", "if-range": '"another"' });
  assert.deepEqual([changed.status, changed.body.length], [200, size]);
  const asked = await raw("HEAD", zip(), { range: "bytes=0-99" });
  assert.deepEqual([asked.body.length, asked.headers["content-length"]], [0, asked.status === 206 ? "100" : String(size)]);
});

test("nothing that a token was needed for may be kept by a shared cache", async () => {
  const paths = [...documents, zip(), "/dist/acme/library/v1.0.0.zip", "/list.json", "/search.json?q=library", "/p2/acme/absent.json"];
  for (const path of paths) {
    assert.match((await raw("GET", path)).headers["cache-control"] ?? "none", /^private\b/, path);
  }
  for (const path of ["/api/repositories", "/api/tokens", "/api/packages"]) {
    assert.match((await registry.admin(path)).headers.get("cache-control") ?? "none", /^private\b/, path);
  }
});

test("nothing went wrong that nobody saw", () => {
  assert.deepEqual(registry.logs.filter((line) => line.level === "error"), []);
});
