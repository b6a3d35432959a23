// A shop's back end in PHP receives what the registry tells it, and verifies it as docs/storefront.md says.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { register, startRegistry, syncAgain, until } from "./support/registry.mjs";
import { createStorefrontClient } from "./support/storefront.mjs";

const EXTENSION = "acme/extension";
const SECRET = "the-secret-of-this-shop";
/** Nothing that was told may take longer to arrive. */
const TIMEOUT = 15_000;

let host;
let extension;
let registry;
let shop;
let receiver;
let webhook;
let consumer;

/**
 * PHP's own server with the code of docs/storefront.md; it keeps what passes. `answer(code)` has it answer with that
 * HTTP status from now on.
 */
async function startReceiver() {
  const guide = readFileSync(new URL("../../docs/storefront.md", import.meta.url), "utf8");
  const [, verify] = /\n## Webhooks\n[^]*?```php\n([^]*?)```/.exec(guide);
  const folder = mkdtempSync(join(tmpdir(), "rostrum-receiver-"));
  const [received, status] = [join(folder, "received"), join(folder, "status")];
  const script = `<?php
${verify}
http_response_code((int) file_get_contents(${JSON.stringify(status)}));
file_put_contents(${JSON.stringify(received)}, json_encode($event) . "\\n", FILE_APPEND | LOCK_EX);
`;
  writeFileSync(join(folder, "index.php"), script);
  writeFileSync(status, "200");
  writeFileSync(received, "");
  const php = spawn("php", ["-S", "127.0.0.1:0", join(folder, "index.php")], {
    env: { PATH: process.env.PATH, WEBHOOK_SECRET: SECRET },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const port = await new Promise((resolve, reject) => {
    php.on("error", reject);
    php.stderr.setEncoding("utf8").on("data", (text) => {
      const started = /http:\/\/127\.0\.0\.1:(\d+)\) started/.exec(text);
      if (started) resolve(started[1]);
    });
  });
  const url = `http://127.0.0.1:${port}/hooks`;
  const all = () => readFileSync(received, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  return {
    url,
    all,
    /** The first event of that name, once it is there. */
    event: (name) => until(`${name} is told`, TIMEOUT, () => all().find(({ event }) => event === name)),
    answer: (code) => writeFileSync(status, String(code)),
    stop() {
      php.kill();
      rmSync(folder, { recursive: true });
    },
  };
}

const deliveries = () => shop.request("GET", `/webhooks/${webhook.id}/deliveries`);

/** The latest entry of the log, once it is as `is` says. */
const logged = (what, is) => until(what, TIMEOUT, async () => (await deliveries()).find(is));

function release(version) {
  extension.commit({ "composer.json": JSON.stringify({ name: EXTENSION }), "VERSION": version });
  extension.tag(version);
}

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  extension = host.repository(EXTENSION);
  release("1.0.0");
  const { sync_status, error } = await register(registry, { url: host.urlOf(EXTENSION) });
  assert.equal(sync_status, "ok", error);
  shop = await createStorefrontClient(registry);
  receiver = await startReceiver();
});
after(async () => {
  receiver?.stop();
  await registry?.stop();
  await host?.stop();
});

test("a webhook is tried out with a ping, whose signature the shop verifies", async () => {
  const json = { url: receiver.url, secret: SECRET, events: ["version.published", "download.first", "permission.expired"] };
  webhook = await shop.request("POST", "/webhooks", { json, status: 201 });
  const { id } = await shop.request("POST", `/webhooks/${webhook.id}/test`, { status: 201 });
  assert.equal((await receiver.event("ping")).id, id);
  const entry = await logged("the ping is in the log", (each) => each.state === "delivered");
  assert.deepEqual([entry.id, entry.event, entry.last_status, entry.last_error], [id, "ping", 200, null]);
});

test("whoever does not know the secret is refused by the code of the manual", async () => {
  const before = receiver.all().length;
  const timestamp = String(Math.floor(Date.now() / 1000));
  const headers = { "x-rostrum-timestamp": timestamp, "x-rostrum-signature": "sha256=00" };
  assert.equal((await fetch(receiver.url, { method: "POST", headers, body: "{}" })).status, 403);
  assert.equal(receiver.all().length, before);
});

test("a new version is told when its sync is through", async () => {
  release("1.1.0");
  await syncAgain(registry, host.urlOf(EXTENSION));
  await registry.runCron();
  const { data } = await receiver.event("version.published");
  assert.equal(data.package, EXTENSION);
  assert.ok(data.versions.some(({ version }) => version === "1.1.0"), JSON.stringify(data));
});

test("what a customer's composer installs for the first time is told, and not again", async () => {
  consumer = await shop.request("POST", "/consumers", { json: { email: "a@example.com", order_id: "7" }, status: 201 });
  await shop.request("PUT", `/consumers/${consumer.id}/entitlements`, { json: [{ package: EXTENSION, version: "1.*" }] });
  const auth = { username: consumer.public_key, password: consumer.private_key };
  const project = createProject({ url: registry.url, auth });
  try {
    assert.equal((await project.composer("require", EXTENSION)).code, 0);
    await registry.runCron();
    const { data } = await receiver.event("download.first");
    const versions = [{ package: EXTENSION, version: "1.1.0" }];
    assert.deepEqual(data, { consumer_id: consumer.id, customer_id: null, order_id: "7", versions });
    project.uninstall();
    assert.equal((await project.composer("install")).code, 0);
    await registry.runCron();
  } finally {
    project.remove();
  }
});

test("a permission that ends is told when it has ended", async () => {
  const ends = new Date(Date.now() + 2000).toISOString().slice(0, 19).replace("T", " ");
  const json = [{ package: EXTENSION, version: "1.*", expires_at: ends }];
  await shop.request("PUT", `/consumers/${consumer.id}/entitlements`, { json });
  await new Promise((resolve) => setTimeout(resolve, 2500));
  await registry.runCron();
  const { data } = await receiver.event("permission.expired");
  assert.deepEqual([data.consumer_id, data.package, data.expires_at], [consumer.id, EXTENSION, ends]);
  assert.equal(receiver.all().filter(({ event }) => event === "download.first").length, 1);
});

test("what the shop fails to take waits, and is sent again with the same id, also after a restart", async () => {
  receiver.answer(500);
  const { id } = await shop.request("POST", `/webhooks/${webhook.id}/test`, { status: 201 });
  const failed = await logged("the attempt is in the log", (each) => each.id === id && each.last_error !== null);
  const { state, attempts, last_status, last_error } = failed;
  assert.deepEqual([state, attempts, last_status, last_error], ["pending", 1, 500, "the server answered 500"]);
  receiver.answer(204);
  await registry.restart();
  await shop.request("POST", `/webhooks/${webhook.id}/deliveries/${id}/redeliver`);
  const entry = await logged("it is delivered", (each) => each.id === id && each.state === "delivered");
  assert.equal(entry.last_status, 204);
  assert.equal(receiver.all().filter((each) => each.id === id).length, 2);
});

test("an address that has become forbidden is not asked", async () => {
  const before = receiver.all().length;
  await registry.restart({ bindings: { ALLOW_PRIVATE_UPSTREAMS: "" } });
  const { id } = await shop.request("POST", `/webhooks/${webhook.id}/test`, { status: 201 });
  const entry = await logged("the refusal is in the log", (each) => each.id === id && each.last_error !== null);
  assert.deepEqual([entry.attempts, entry.last_status], [1, null]);
  assert.match(entry.last_error, /^the address /);
  assert.equal(receiver.all().length, before);
});

test("the secret is in no log", () => {
  assert.deepEqual(registry.logs.filter(({ message }) => message.includes(SECRET)), []);
});
