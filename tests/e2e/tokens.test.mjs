// A shop with plain tokens: it sells, composer installs, the customer extends, upgrades and gets the money back. Then
// what an operator does with tokens and keys, on real D1 and KV.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { ADMIN_TOKEN, issueToken, register, startRegistry } from "./support/registry.mjs";

const OLD_KEY = Buffer.alloc(32, 7).toString("base64");
const NEW_KEY = Buffer.alloc(32, 8).toString("base64");
const CUSTOMER = { customer_id: "c-7", customer_email: "seven@example.com" };

let host;
let registry;
/** The shop's own token: it may issue tokens for what the vendor sells, and nothing else. */
let shop;
let project;

const json = (value) => JSON.stringify(value);
const soon = (seconds) => Math.floor(Date.now() / 1000) + seconds;

/** A request of the shop; the answer's body, when the status is the one expected. */
async function request(method, path, { body, status = 200, headers = {} } = {}) {
  const sent = body === undefined ? {} : { body: json(body) };
  const answer = await registry.request(path, { method, ...sent, headers: { authorization: `Bearer ${shop}`, ...headers } });
  const text = await answer.text();
  assert.equal(answer.status, status, `${method} ${path}: ${text}`);
  return { headers: answer.headers, text, ...(text.startsWith("[") ? { list: JSON.parse(text) } : JSON.parse(text)) };
}

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  for (const name of ["acme/extension", "acme/other", "rival/extension"]) {
    const repository = host.repository(name);
    for (const tag of ["v5.0.0", "v5.1.0", "v6.0.0"]) {
      repository.commit({ "composer.json": json({ name }), "src/Extension.php": `<?php // ${tag}\n` });
      repository.tag(tag);
    }
    const { sync_status, error } = await register(registry, { url: host.urlOf(name) });
    assert.equal(sync_status, "ok", error);
  }
  const own = { scopes: ["packages:read", "tokens:*"], allowed_package_prefixes: ["acme/"], rate_limit_max: 10_000 };
  shop = (await issueToken(registry, { description: "The shop", ...own })).token;
});

after(async () => {
  project?.remove();
  await registry?.stop();
  await host?.stop();
});

const locked = (name) => project.readJson("composer.lock").packages.find((entry) => entry.name === name)?.version;
/** Runs composer as somebody who has no copy of earlier answers. */
async function composer(...args) {
  project.clearCache();
  return project.composer(...args);
}

let bought;

test("a purchase makes a token, and sending it again makes no second one", async () => {
  const order = {
    description: "Order 1001",
    grants: [{ package: "acme/extension", constraint: "5.*" }],
    expires_at: soon(3600),
    rate_limit_max: 500,
    metadata: { ...CUSTOMER, order_id: "1001" },
  };
  const headers = { "idempotency-key": "order-1001" };
  bought = await request("POST", "/api/tokens", { body: order, status: 201, headers });
  const again = await request("POST", "/api/tokens", { body: order, status: 201, headers });
  assert.equal(again.text, bought.text);
  assert.equal(again.headers.get("idempotency-replayed"), "true");
  const parallel = await Promise.all(
    Array.from({ length: 8 }, () =>
      registry.request("/api/tokens", {
        method: "POST",
        body: json({ ...order, description: "Order 1002", metadata: { ...CUSTOMER, order_id: "1002" } }),
        headers: { authorization: `Bearer ${shop}`, "idempotency-key": "order-1002" },
      }),
    ),
  );
  const statuses = parallel.map(({ status }) => status);
  assert.ok(statuses.includes(201) && statuses.every((status) => [201, 409].includes(status)), json(statuses));
  const { list } = await request("GET", "/api/tokens?customer_id=c-7&sort=created_at");
  assert.deepEqual(list.map(({ metadata }) => metadata.order_id), ["1001", "1002"]);
});

test("composer installs what was bought, the newest of it", async () => {
  project = createProject({ url: registry.url, auth: { username: "token", password: bought.token } });
  const { code, output } = await composer("require", "acme/extension");
  assert.equal(code, 0, output);
  assert.equal(locked("acme/extension"), "v5.1.0");
  const refused = await composer("require", "acme/other");
  assert.notEqual(refused.code, 0);
  const next = await composer("require", "acme/extension:^6");
  assert.notEqual(next.code, 0);
});

test("the shop can neither sell what it does not see nor make itself an administrator", async () => {
  const rival = { description: "x", grants: [{ package: "rival/extension" }] };
  await request("POST", "/api/tokens", { body: rival, status: 403 });
  const admin = { description: "x", scopes: ["admin"], allowed_package_prefixes: ["acme/"] };
  await request("POST", "/api/tokens", { body: admin, status: 403 });
  const bad = { description: "x", grants: [{ package: "acme/extension", constraint: "five" }] };
  assert.match((await request("POST", "/api/tokens", { body: bad, status: 400 })).error, /constraint.*"five"/);
});

test("an extension and an upgrade change the token that the customer has", async () => {
  const path = `/api/tokens/${bought.id}`;
  const expires = soon(365 * 24 * 3600);
  const grants = [{ package: "acme/extension", constraint: "5.* || 6.*" }];
  const changed = await request("PATCH", path, { body: { expires_at: expires, grants } });
  assert.deepEqual([changed.expires_at, changed.grants[0].constraint], [expires, "5.* || 6.*"]);
  const { code, output } = await composer("require", "acme/extension:^6");
  assert.equal(code, 0, output);
  assert.equal(locked("acme/extension"), "v6.0.0");
});

test("a rotation leaves the customer time to change the secret", async () => {
  const path = `/api/tokens/${bought.id}`;
  const rotated = await request("POST", `${path}/rotate`, { body: { grace_seconds: 3600 } });
  for (const token of [bought.token, rotated.token]) {
    const answer = await registry.request("/p2/acme/extension.json", { headers: { authorization: `Bearer ${token}` } });
    assert.equal(answer.status, 200);
  }
  await registry.restart();
  for (const token of [bought.token, rotated.token]) {
    const answer = await registry.request("/p2/acme/extension.json", { headers: { authorization: `Bearer ${token}` } });
    assert.equal(answer.status, 200, "after a restart too");
  }
  const shown = await request("GET", path);
  assert.equal(shown.token, undefined);
  assert.ok(shown.requests_this_hour >= 0 && shown.last_used_at !== null, json(shown));
});

test("a refund revokes all of the customer's tokens, and composer loses what was bought", async () => {
  const { list: before } = await request("GET", "/api/tokens?customer_email=Seven@Example.com");
  assert.equal(before.length, 2);
  await request("DELETE", "/api/tokens", { status: 400 });
  const revoked = await request("DELETE", "/api/tokens?customer_id=c-7");
  assert.deepEqual([revoked.revoked, revoked.remaining], [2, 0]);
  assert.deepEqual(revoked.ids.sort(), before.map(({ id }) => id).sort());
  const { code, output } = await composer("update");
  assert.notEqual(code, 0, output);
  assert.deepEqual((await request("GET", "/api/tokens?customer_id=c-7")).list, []);
  const log = await (await registry.admin("/api/audit-log?action=token.revoked")).json();
  assert.deepEqual(log.map(({ target }) => target).sort(), revoked.ids);
});

test("statistics count what there is", async () => {
  const found = await (await registry.admin("/api/statistics")).json();
  assert.deepEqual([found.packages, found.repositories.ok, found.tokens.revoked], [3, 3, 2]);
  assert.ok(found.storage.bytes > 0 && found.downloads.total > 0, json(found));
  assert.equal(found.downloads.per_day.length, 30);
});

test("a new encryption key takes over, and the old one can go", async () => {
  const url = host.urlOf("private");
  const spec = { url, auth_credentials: "s3cret" };
  assert.equal((await registry.admin("/api/repositories", { json: spec })).status, 201);
  const order = { description: "Order 1001" };
  const headers = { "idempotency-key": "after" };
  const first = await (await registry.admin("/api/tokens", { json: order, headers })).text();
  await registry.restart({ bindings: { ENCRYPTION_KEY: `${NEW_KEY},${OLD_KEY}` } });
  const done = await (await registry.admin("/api/encryption/rotate", { method: "POST" })).json();
  assert.ok(done.resealed >= 4, json(done));
  assert.deepEqual([done.remaining, done.unreadable], [0, 0]);
  await registry.restart({ bindings: { ENCRYPTION_KEY: NEW_KEY } });
  const keys = await (await registry.admin("/api/encryption")).json();
  assert.equal(keys.length, 1, json(keys));
  assert.equal(keys[0].sealed["repositories.credentials"], 1);
  const again = await registry.admin("/api/tokens", { json: order, headers });
  assert.equal(await again.text(), first);
  assert.ok(!json(keys).includes(NEW_KEY) && !json(keys).includes(ADMIN_TOKEN));
});

test("nothing went wrong that nobody saw", () => {
  const errors = registry.logs.filter(({ level }) => level === "error").map(({ message }) => message);
  assert.deepEqual(errors.filter((message) => !message.includes("private.git")), []);
});
