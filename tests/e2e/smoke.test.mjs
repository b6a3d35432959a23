// The registry starts, answers and keeps its address over a restart.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startRegistry } from "./support/registry.mjs";

let registry;
before(async () => (registry = await startRegistry()));
after(() => registry?.stop());

test("a running registry says that it is healthy", async () => {
  const answer = await registry.request("/health");
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { status: "ok" });
});

test("a restarted registry answers at the same address", async () => {
  const before = registry.url;
  await registry.restart();
  assert.equal(registry.url, before);
  assert.equal((await registry.request("/health")).status, 200);
});

test("the cron trigger runs without an error", async () => {
  await registry.runCron();
  assert.deepEqual(registry.logs.filter((line) => line.level === "error"), []);
});
