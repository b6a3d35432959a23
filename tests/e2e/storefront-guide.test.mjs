// docs/storefront.md, typed word by word: every command of "Sell with it" is run as it stands, and what the customer
// sees afterwards is what the comments promise.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startGitHost } from "./support/git-host.mjs";
import { ADMIN_TOKEN, register, startRegistry } from "./support/registry.mjs";
import { storedZip } from "./support/zip.mjs";

const LIBRARY = "acme/library";
/** With `dev-main` six versions: the next one, which a command creates, is the seventh. */
const TAGS = ["4.0.0", "5.0.0", "5.1.0", "6.0.0", "7.0.0"];

/** Prints the status behind each answer, as `-w` does. */
const CURL = "curl() { command curl -sS --max-time 20 -w '\\n%{http_code}\\n' \"$@\"; }";

let host;
let registry;
let folder;
/** What the commands have exported. */
let variables;

/** The commands of the section "Sell with it", a list for each code block: `{ command, remark, heading }`. */
function commands() {
  const guide = readFileSync(new URL("../../docs/storefront.md", import.meta.url), "utf8");
  const [, section] = /\n## Sell with it\n([^]*?)\n## /.exec(guide);
  return [...section.matchAll(/```sh\n([^]*?)```/g)].map(([, block]) => {
    let heading = "";
    // What is indented belongs to the line before.
    const lines = block.replaceAll(/\\?\n +/g, " ").split("\n").filter(Boolean);
    return lines.flatMap((line) => {
      if (line.startsWith("#")) return ((heading = line), []);
      const [, command, remark] = /^(.*?)(?:\s+# *(.*))?$/.exec(line);
      return [{ command, remark: remark ?? "", heading }];
    });
  });
}

/** Runs one command in a shell; `{ status, body }` of its answer. */
async function run(command) {
  const shell = spawn("bash", ["-c", `${CURL}\n${command}`], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...variables },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [shell.stdout, shell.stderr]) stream.setEncoding("utf8").on("data", (piece) => (output += piece));
  const code = await new Promise((resolve) => shell.on("close", resolve));
  const [, body, status] = /^([^]*)\n(\d+)\n$/.exec(output) ?? assert.fail(`${command}: ${output}`);
  assert.equal(code, 0, `${command}: ${output}`);
  return { status: Number(status), body: body === "" ? null : JSON.parse(body) };
}

/** Runs a command that succeeds; the answer's body. What the remark says of its id is true. */
async function succeed({ command, remark }) {
  const { status, body } = await run(command);
  assert.ok(status >= 200 && status < 300, `${command}: ${status} ${JSON.stringify(body)}`);
  const [, id] = /"id": (\d+)/.exec(remark) ?? [];
  if (id !== undefined) assert.equal(body.id, Number(id), command);
  return body;
}

/** The versions of the library that composer would see with these credentials, the newest first. */
async function visible(user, password) {
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  const answer = await registry.request(`/p2/${LIBRARY}.json`, { headers: { authorization, connection: "close" } });
  if (answer.status === 404) return [];
  assert.equal(answer.status, 200);
  return Object.keys((await answer.json()).packages[LIBRARY]);
}

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  const library = host.repository(LIBRARY);
  for (const tag of TAGS) {
    library.commit({ "composer.json": JSON.stringify({ name: LIBRARY }), "VERSION": tag });
    library.tag(tag);
  }
  const { sync_status, error } = await register(registry, { url: host.urlOf(LIBRARY) });
  assert.equal(sync_status, "ok", error);
  folder = mkdtempSync(join(tmpdir(), "rostrum-storefront-"));
  const manifest = JSON.stringify({ name: "acme/extension" });
  writeFileSync(join(folder, "extension.zip"), storedZip({ "composer.json": manifest }));
  variables = { TOKEN: ADMIN_TOKEN, URL: registry.url };
});
after(async () => {
  if (folder !== undefined) rmSync(folder, { recursive: true });
  await registry?.stop();
  await host?.stop();
});

test("the shop's commands sell, renew, upgrade and refund", async () => {
  const [block] = commands();
  let keys;
  const seen = {};
  for (const each of block) {
    if (each.command.startsWith("export")) continue;
    const body = await succeed(each);
    if (each.command.includes("/api/tokens")) variables.SHOP = body.token;
    if (body?.public_key !== undefined) keys = [body.public_key, body.private_key];
    if (keys !== undefined) seen[each.heading.replace(/# (\w+).*/, "$1")] = await visible(...keys);
  }
  const [five, six] = [["5.1.0", "5.0.0"], ["6.0.0", "5.1.0", "5.0.0"]];
  assert.deepEqual(seen, { Purchase: five, Renewal: five, Upgrade: six, Refund: [] });
});

test("the commands for a second order find the consumer that there is, and give it one permission more", async () => {
  const [, [sale, addition]] = commands();
  const headers = { authorization: `Bearer ${variables.SHOP}` };
  const before = await (await registry.request("/api/storefront/consumers", { headers })).json();
  const { entitlements, ...consumer } = await succeed(sale);
  assert.deepEqual([consumer], before, "with the keys it has, and no other one is made");
  const [permission] = entitlements;
  assert.deepEqual([entitlements.length, permission.package, permission.order_id], [1, "acme/extension", "1002"]);
  assert.deepEqual(await succeed(addition), [permission], "the other way adds the same");
});

test("the webhook's command makes one, where its address may be reached", async () => {
  const [, , [webhook]] = commands();
  const { secret, events } = await succeed(webhook);
  const [, named] = /"events": (\[.*?\])/.exec(webhook.command);
  assert.deepEqual(events.toSorted(), JSON.parse(named).toSorted());
  assert.ok(secret.length >= 16);
});

test("the commands for plain tokens sell, renew, upgrade and refund", async () => {
  const [, , , block] = commands();
  const fields = { description: "Shop", scopes: ["packages:read", "tokens:*"] };
  const made = await registry.admin("/api/tokens", { json: fields });
  variables.SHOP = (await made.json()).token;
  const [issue, find, renew, upgrade, revoke] = block;
  assert.equal(block.length, 5);
  const { token } = await succeed(issue);
  assert.equal((await visible("token", token)).length, TAGS.length);
  const [{ id }] = await succeed(find);
  variables.ID = id;
  assert.equal((await succeed(renew)).expires_at, 1861920000);
  const { grants } = await succeed(upgrade);
  assert.equal(grants.length, 2);
  assert.equal((await visible("token", token)).length, TAGS.length);
  await succeed(revoke);
  const { status } = await run(`curl $URL/packages.json -u token:${token}`);
  assert.equal(status, 401);
});
