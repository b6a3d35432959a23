// What is deployed: wrangler.toml says nothing that would be a mistake, and the wasm has its twin with names.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { experimental_readRawConfig as readRawConfig } from "wrangler";
import { build, root } from "../../scripts/lib/paths.mjs";

const { rawConfig: config } = readRawConfig({ config: join(root, "wrangler.toml") }, { hideWarnings: true });

/** From this date on nodejs_compat is on unless it is refused. */
const NODEJS_COMPAT_DATE = "2026-08-04";

/** Why a configuration must not be deployed. */
function mistakes({ compatibility_date: date, compatibility_flags: flags = [], cache, env = {} }) {
  const found = [];
  if (flags.includes("nodejs_compat")) found.push("nodejs_compat is on");
  if (date >= NODEJS_COMPAT_DATE && !flags.includes("no_nodejs_compat")) found.push("its date switches nodejs_compat on");
  if (cache?.enabled) found.push("the Workers Cache hands one caller's answers to another");
  for (const [name, one] of Object.entries(env)) {
    found.push(...mistakes({ compatibility_date: date, compatibility_flags: flags, ...one }).map((text) => `${name}: ${text}`));
  }
  return found;
}

test("the Worker has no Node.js compatibility and no shared cache", () => {
  assert.deepEqual(mistakes(config), []);
});

test("what would be a mistake is recognised", () => {
  const date = NODEJS_COMPAT_DATE;
  assert.deepEqual(mistakes({ compatibility_date: date }), ["its date switches nodejs_compat on"]);
  assert.deepEqual(mistakes({ compatibility_date: date, compatibility_flags: ["no_nodejs_compat"] }), []);
  const cached = { compatibility_date: "2026-04-01", compatibility_flags: ["nodejs_compat"], cache: { enabled: true } };
  assert.equal(mistakes(cached).length, 2);
  assert.deepEqual(mistakes({ compatibility_date: "2026-04-01", env: { staging: { cache: { enabled: true } } } }).length, 1);
});

test("jobs may take five minutes of CPU time, and a bounded number of them runs at once", () => {
  assert.equal(config.limits.cpu_ms, 300_000);
  for (const { max_batch_size: size, max_concurrency: most } of config.queues.consumers) {
    assert.equal(size, 1);
    assert.ok(most >= 1 && most <= 20, `${most}`);
  }
});

test("syncs and builds wait in queues of their own, and each queue has a consumer", () => {
  const { producers, consumers } = config.queues;
  const expected = [["BUILDS", "rostrum-builds"], ["JOBS", "rostrum-jobs"]];
  assert.deepEqual(producers.map(({ binding, queue }) => [binding, queue]).sort(), expected);
  assert.deepEqual(consumers.map(({ queue }) => queue).sort(), expected.map(([, queue]) => queue));
});

/** The custom sections of a wasm by name, and how many functions it has (WebAssembly, section 5.5). */
function sections(name) {
  const bytes = readFileSync(join(build, name));
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const found = { custom: [], functions: 0 };
  while (at < bytes.length) {
    const id = bytes[at++];
    const length = number();
    const end = at + length;
    if (id === 3) found.functions = number();
    if (id === 0) {
      const size = number();
      found.custom.push(bytes.subarray(at, at + size).toString());
    }
    at = end;
  }
  return found;
}

test("the wasm that is deployed has no names, and the one beside it has those of the same functions", () => {
  const [deployed, named] = ["index_bg.wasm", "index_bg.named.wasm"].map(sections);
  assert.ok(!deployed.custom.includes("name"));
  assert.ok(named.custom.includes("name"));
  assert.ok(deployed.functions > 1_000);
  assert.equal(deployed.functions, named.functions);
});

/** A wrangler that is logged in and finds everything there; it notes what it is asked. */
const STUB = (log) => `#!/usr/bin/env node
const { appendFileSync } = require("node:fs");
const asked = process.argv.slice(2).join(" ");
appendFileSync(${JSON.stringify(log)}, asked + "\\n");
const answers = [
  [/^whoami/, { loggedIn: true }],
  [/^secret list/, [{ name: "ADMIN_TOKEN" }, { name: "ENCRYPTION_KEY" }]],
  [/^d1 list/, [{ name: "rostrum", uuid: "0192aa" }]],
  [/^d1 time-travel info/, { bookmark: "00000085-0000024c-00004c6d-8e61117bf38d7adb71b934ebbf891683" }],
];
const found = answers.find(([pattern]) => pattern.test(asked));
if (found) console.log(JSON.stringify(found[1]));
`;

/** `npm run deploy` with that wrangler: `{ code, stdout, asked }`. */
async function deploy(change = (stub) => stub) {
  const folder = mkdtempSync(join(tmpdir(), "rostrum-deploy-"));
  try {
    const [stub, log] = [join(folder, "wrangler"), join(folder, "asked.txt")];
    writeFileSync(stub, change(STUB(log)), { mode: 0o755 });
    const env = { ...process.env, WRANGLER_BIN: stub };
    const program = join(root, "scripts/deploy.mjs");
    const result = await new Promise((done) =>
      execFile(process.execPath, [program], { env, timeout: 60_000 }, (error, stdout, stderr) =>
        done({ code: error?.code ?? 0, stdout, stderr }),
      ),
    );
    return { ...result, asked: readFileSync(log, "utf8").trim().split("\n") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a deploy prints how to go back before it migrates, and migrates before it uploads", async () => {
  const { code, stdout, asked } = await deploy();
  assert.equal(code, 0, stdout);
  const steps = ["d1 time-travel info", "d1 migrations apply", "deploy --config"];
  const places = steps.map((step) => asked.findIndex((line) => line.startsWith(step)));
  assert.deepEqual(places, [...places].sort((a, b) => a - b), asked.join("\n"));
  assert.ok(places.every((place) => place >= 0), asked.join("\n"));
  assert.match(stdout, /npx wrangler d1 time-travel restore rostrum --bookmark=00000085-0000024c-/);
  assert.ok(!existsSync(join(root, ".wrangler-deploy.toml")));
});

test("without a bookmark nothing is migrated", async () => {
  const { code, stderr, asked } = await deploy((stub) => stub.replace("/^d1 time-travel info/", "/^never/"));
  assert.notEqual(code, 0);
  assert.match(stderr, /bookmark/);
  assert.ok(!asked.some((line) => line.startsWith("d1 migrations")), asked.join("\n"));
});

test("a bucket forgets what was received and never published, by a rule that is added once", async () => {
  const isRule = (line) => line.startsWith("r2 bucket lifecycle add");
  const first = await deploy();
  assert.equal(first.code, 0, first.stderr);
  assert.deepEqual(first.asked.filter(isRule), ["r2 bucket lifecycle add rostrum-artifacts incoming incoming/ --expire-days 1 --force"]);
  const known = "[/^r2 bucket lifecycle list/, [{ id: \"incoming\", prefix: \"incoming/\" }]],\n];\nconst found";
  const again = await deploy((stub) => stub.replace("];\nconst found", known));
  assert.equal(again.code, 0, again.stderr);
  assert.deepEqual(again.asked.filter(isRule), []);
});
