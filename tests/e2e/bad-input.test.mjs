// Requests that make no sense, as they come over the wire: each is refused in words, and the registry goes on.

import assert from "node:assert/strict";
import net from "node:net";
import { after, afterEach, before, test } from "node:test";
import { startGitHost } from "./support/git-host.mjs";
import { ADMIN_TOKEN, issueToken, register, startRegistry } from "./support/registry.mjs";
import { exchange, head } from "./support/wire.mjs";

let host;
let registry;
let token;
let commit;

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  const library = host.repository("acme/library");
  const files = { "composer.json": JSON.stringify({ name: "acme/library" }), "a.php": "<?php\n" };
  commit = library.commit(files);
  library.tag("1.0.0+build.5");
  library.commit(files, { branch: "feature/x%y" });
  library.commit(files, { branch: "größe" });
  const repository = await register(registry, { url: host.urlOf("acme/library") });
  assert.equal(repository.sync_status, "ok", repository.error);
  token = (await issueToken(registry, { rate_limit_max: 100_000 })).token;
});

after(async () => {
  await registry?.stop();
  await host?.stop();
});

afterEach(async () => {
  assert.equal((await registry.request("/health")).status, 200, "the registry is still there");
  const errors = registry.logs.filter((line) => line.level === "error").map((line) => line.message);
  assert.deepEqual(errors, [], "a bad request is no error of the registry");
});

const admin = { authorization: `Bearer ${ADMIN_TOKEN}` };
const reader = () => ({ authorization: `Bearer ${token}` });
const JSON_TYPE = { "content-type": "application/json" };

/** Sends a request as it is written here, and checks that a refusal is one in the registry's form. */
/** As often is a request sent whose refusal gets lost: who goes on sending may be cut off before having read it. */
const ATTEMPTS = 10;

async function raw(method, target, { headers = admin, body = [] } = {}, attempt = 1) {
  let answer;
  try {
    answer = await exchange(registry.url, [head(registry.url, method, target, headers), ...body]);
  } catch (error) {
    if (attempt === ATTEMPTS || !["EPIPE", "ECONNRESET"].includes(error.code)) throw error;
    return raw(method, target, { headers, body }, attempt + 1);
  }
  const what = `${method} ${target.slice(0, 100)}: ${answer.status} ${answer.body.toString().slice(0, 200)}`;
  assert.ok(answer.status < 500, what);
  return { ...answer, text: answer.body.toString(), what };
}

function assertRefused(answer, ...statuses) {
  assert.ok(statuses.includes(answer.status), answer.what);
  const body = JSON.parse(answer.text);
  assert.ok(body.error.length > 10 && typeof body.code === "string" && typeof body.details === "object", answer.what);
  return body;
}

// ------------------------------------------------------------------------------------------------ bodies

const writers = ["/api/tokens", "/api/repositories", "/notify-batch"];
const MEGABYTES = 10;

test("a body of ten megabytes is refused, whether its length is told or not", async () => {
  const megabyte = Buffer.alloc(1 << 20, "x");
  const chunk = Buffer.concat([Buffer.from(`${(1 << 20).toString(16)}\r\n`), megabyte, Buffer.from("\r\n")]);
  for (const path of writers) {
    const told = await raw("POST", path, {
      headers: { ...admin, ...JSON_TYPE, "content-length": MEGABYTES << 20 },
      body: Array(MEGABYTES).fill(megabyte),
    });
    assert.match(assertRefused(told, 400, 413).error, /larger than \d+ bytes/);
    const untold = await raw("POST", path, {
      headers: { ...admin, ...JSON_TYPE, "transfer-encoding": "chunked" },
      body: [...Array(MEGABYTES).fill(chunk), "0\r\n\r\n"],
    });
    assert.match(assertRefused(untold, 400, 413).error, /larger than \d+ bytes/);
  }
});

test("a body in chunks is as good as any other", async () => {
  const body = JSON.stringify({ description: "In chunks" });
  const chunks = [...body].map((character) => `1\r\n${character}\r\n`);
  const answer = await raw("POST", "/api/tokens", { headers: { ...admin, ...JSON_TYPE, "transfer-encoding": "chunked" }, body: [...chunks, "0\r\n\r\n"] });
  assert.equal(answer.status, 201, answer.what);
  assert.equal(JSON.parse(answer.text).description, "In chunks");
});

test("what is not the JSON that is expected is refused and leaves nothing behind", async () => {
  const bodies = ["", " ", "{", "nonsense", "[]", "null", "\"text\"", "1e999", "{\"description\":1}", "{\"description\":\"a\",\"description\":2}", "\u0000", "{\"a\":".repeat(5000), "[".repeat(100_000), Buffer.from([0xff, 0xfe, 0x7b]), Buffer.from('{"description":"\xff"}', "latin1"), '{"description":"a"} trailing'];
  const count = async (path) => (await registry.admin(path)).headers.get("x-total-count");
  const before = [await count("/api/tokens"), await count("/api/repositories")];
  for (const path of writers) {
    for (const body of bodies) {
      const answer = await raw("POST", path, { headers: { ...admin, ...JSON_TYPE, "content-length": Buffer.byteLength(body) }, body: [body] });
      assertRefused(answer, 400);
    }
  }
  assert.deepEqual([await count("/api/tokens"), await count("/api/repositories")], before);
});

test("unknown and wrong fields are named", async () => {
  const wrong = [
    ["/api/tokens", { description: "a", colour: "red", scope: "x" }, ["colour", "scope"]],
    ["/api/tokens", { description: "a", rate_limit_max: 0 }, ["rate_limit_max"]],
    ["/api/tokens", { description: "a", expires_at: "tomorrow" }, ["expires_at"]],
    ["/api/tokens", { description: "a", permissions: "root" }, ["permissions"]],
    ["/api/tokens", { description: "a".repeat(501), allowed_package_prefixes: ["acme lib/"] }, ["allowed_package_prefixes", "description"]],
    ["/api/repositories", { url: "https://example.com/a.git", vcs_type: "svn" }, ["vcs_type"]],
    ["/api/repositories", { url: "https://example.com/a.git", path: "../up" }, ["path"]],
    ["/api/repositories", { url: "https://example.com/a.git", tag_filter: [] }, ["tag_filter"]],
    ["/api/repositories", { url: "https://user:pass@example.com/a.git" }, ["url"]],
    ["/api/repositories", { url: `https://example.com/${"a".repeat(3000)}` }, ["url"]],
    ["/api/repositories", { url: "https://example.com/a.git", auth_credentials: { token: "a\nb" } }, ["auth_credentials"]],
  ];
  for (const [path, json, fields] of wrong) {
    const answer = await registry.admin(path, { json });
    assert.equal(answer.status, 400, JSON.stringify(json).slice(0, 100));
    assert.deepEqual(Object.keys((await answer.json()).details).sort(), fields);
  }
  assert.deepEqual(Object.keys((await (await registry.admin("/api/packages?colour=red")).json()).details), ["colour"]);
});

// ------------------------------------------------------------------------------------------------ addresses

/** Targets of which some would never leave an HTTP client as they are. */
const strange = [
  "/p2/acme/..%2f..%2fpackages.json",
  "/p2/../p2/acme/absent.json",
  "/p2/acme/../../etc/passwd",
  "/p2/%2e%2e/%2e%2e/etc/passwd.json",
  "/p2/acme/library%00.json",
  "/p2/acme/lib%0d%0aset-cookie:%20a=b.json",
  "/p2/acme/library~dev~dev.json",
  "/p2/acme/.json",
  "/p2/acme/%ff%fe.json",
  "/p2/acme/%zz.json",
  "/p2/acme/größe.json",
  "/p2/acme/library.json/",
  "/p2/acme/library",
  "/p2/acme\\absent.json",
  `/p2/acme/${"a".repeat(300)}.json`,
  `/p2/acme/${"a".repeat(8000)}.json`,
  `/p2${"/a".repeat(2000)}.json`,
  "//p2/acme/library.json",
  "/dist/acme/library/..%2f..%2f..%2fsecret.zip",
  "/dist/acme/library/../../../secret.zip",
  "/dist/acme/library/1.0.0%00.zip",
  "/dist/acme/library/1.0.0.tar",
  "/dist/acme/library/.zip",
  "/dist/acme/library/",
  `/dist/acme/library/${"9".repeat(5000)}.zip`,
  `/dist/acme/library/dev-main/${"0".repeat(40)}.zip`,
  `/dist/acme/library/dev-main/${"0".repeat(39)}g.zip`,
  "/dist/acme/library/%25%25%25.zip",
  "/api/tokens/%00",
  "/api/tokens/..%2frepositories",
  `/api/tokens/${"a".repeat(5000)}`,
  "/api/repositories/1;drop%20table",
  "/api/repositories/'%20or%201=1",
  "/api/absent",
  "/api/",
  "/api",
  "/absent",
  "/",
];

test("an address that leads nowhere is refused, however it is written", async () => {
  for (const target of strange) {
    const bytes = Buffer.from(head(registry.url, "GET", target, admin), "utf8");
    const answer = await exchange(registry.url, [bytes]);
    const what = `${target.slice(0, 80)}: ${answer.status} ${answer.body.toString().slice(0, 200)}`;
    assert.ok([400, 404, 414].includes(answer.status), what);
    assert.ok(!answer.headers["set-cookie"], what);
    if (answer.status === 404) assert.equal(typeof JSON.parse(answer.body.toString()).error, "string", what);
  }
});

test("a target that is no address at all is refused", async () => {
  for (const line of ["GET /p2/a\u0000b HTTP/1.1", "GET /a b HTTP/1.1", "GET  HTTP/1.1", "nonsense", "GET / HTTP/9.9", "GET /packages.json"]) {
    const answer = await exchange(registry.url, [`${line}\r\nhost: a\r\n\r\n`]).catch((error) => error);
    if (answer instanceof Error) assert.match(answer.message, /hung up|ECONNRESET/);
    // 501 is the runtime's word for a method that it does not know; nothing of it reaches the registry.
    else assert.ok([400, 404, 501].includes(answer.status), `${JSON.stringify(line)}: ${answer.status}`);
  }
});

test("a version's address may be percent-encoded in any way", async () => {
  const same = [
    ["1.0.0+build.5", "1.0.0%2Bbuild.5", "1.0.0%2bbuild.5", "1.0.0%2Bbuild%2E5", "%31.0.0+build.5"],
    ["dev-feature/x%25y", "dev-feature%2Fx%25y", "dev%2Dfeature/x%25y"],
    ["dev-gr%C3%B6%C3%9Fe", "dev-gr%c3%b6%c3%9fe", "dev-größe"],
  ];
  for (const [first, ...others] of same) {
    const dist = (version) => exchange(registry.url, [Buffer.from(head(registry.url, "GET", `/dist/acme/library/${version}.zip`, reader()), "utf8")]);
    const expected = await dist(first);
    assert.equal(expected.status, 200, first);
    assert.equal(expected.body.subarray(0, 2).toString(), "PK");
    for (const other of others) {
      const answer = await dist(other);
      assert.equal(answer.status, 200, other);
      assert.ok(answer.body.equals(expected.body), other);
    }
  }
  const canonical = await raw("GET", `/dist/acme/library/1.0.0+build.5/${commit}.zip`, { headers: reader() });
  assert.equal(canonical.status, 200, canonical.what);
  assert.equal((await raw("GET", `/dist/acme/library/1.0.0+build.5/${commit.toUpperCase()}.zip`, { headers: reader() })).status, 404);
});

test("a method that an address does not have is refused as such", async () => {
  const wrong = [
    ["POST", "/packages.json"],
    ["DELETE", "/p2/acme/library.json"],
    ["GET", "/notify-batch"],
    ["PUT", "/api/tokens"],
    ["POST", "/api/packages"],
    ["PATCH", "/api/repositories"],
    ["OPTIONS", "/packages.json"],
    ["PROPFIND", "/packages.json"],
  ];
  for (const [method, path] of wrong) assertRefused(await raw(method, path), 405);
  for (const method of ["BREW", "get", "TRACE", "X".repeat(1000)]) {
    const { status } = await exchange(registry.url, [head(registry.url, method, "/packages.json", admin)]);
    assert.ok([405, 501].includes(status), `${method.slice(0, 10)}: ${status}`);
  }
});

test("headers of any kind do no harm", async () => {
  const headers = [
    { authorization: `Bearer ${"\u00e9".repeat(100)}` },
    { authorization: "Basic" },
    { authorization: `Basic ${Buffer.from("no colon").toString("base64")}` },
    { ...reader(), "if-modified-since": "yesterday", "if-none-match": ",,,W/" },
    { ...reader(), range: "bytes=18446744073709551615-18446744073709551616" },
    { ...reader(), range: `bytes=${"9".repeat(100)}-` },
    { ...reader(), "user-agent": "\u00ff".repeat(100) },
    { ...reader(), accept: "image/png;q=7" },
    { ...reader(), host: "a".repeat(300) },
    { ...reader(), "cf-ray": "<script>" },
  ];
  for (const some of headers) {
    for (const path of ["/packages.json", "/p2/acme/library.json", "/dist/acme/library/dev-main.zip"]) {
      const answer = await exchange(registry.url, [Buffer.from(head(registry.url, "GET", path, some), "latin1")]);
      assert.ok([200, 400, 401, 416].includes(answer.status), `${path} ${JSON.stringify(some).slice(0, 80)}: ${answer.status}`);
    }
  }
});

test("a client that leaves in the middle of its request leaves no trace", async () => {
  const body = JSON.stringify({ description: "Half a request" });
  const { hostname, port } = new URL(registry.url);
  await new Promise((resolve) => {
    const socket = net.connect(Number(port), hostname, () => {
      socket.write(head(registry.url, "POST", "/api/tokens", { ...admin, ...JSON_TYPE, "content-length": body.length + 10 }) + body);
      setTimeout(() => socket.destroy(), 200);
    });
    socket.on("close", resolve);
  });
  const tokens = await (await registry.admin("/api/tokens")).json();
  assert.ok(!tokens.some((each) => each.description === "Half a request"));
});
