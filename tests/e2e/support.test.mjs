// The stand-ins of the other tests do what those tests rely on.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";

const run = promisify(execFile);
const scratch = mkdtempSync(join(tmpdir(), "rostrum-clone-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** `git clone` as a person would; rejects when git does. */
const clone = (url, name, ...options) =>
  run("git", ["clone", "--quiet", ...options, url, join(scratch, name)], { timeout: 20_000, env: { PATH: process.env.PATH, GIT_TERMINAL_PROMPT: "0", HOME: scratch } });

test("the git host serves partial clones when filters are on, and says so in its log", async () => {
  const host = await startGitHost();
  try {
    const library = host.repository("acme/library");
    const id = library.commit({ "composer.json": '{"name":"acme/library"}', "src/A.php": "<?php\n" });
    library.tag("v1.0.0");
    await clone(host.urlOf("acme/library"), "filtered", "--filter=blob:none", "--no-checkout");
    const { stdout } = await run("git", ["-C", join(scratch, "filtered"), "rev-parse", "v1.0.0"]);
    assert.equal(stdout.trim(), id);
    assert.deepEqual([...new Set(host.log.map((entry) => entry.protocol))], ["version=2"]);
    assert.ok(host.log.every((entry) => entry.status === 200 && entry.sent > 0));
  } finally {
    await host.stop();
  }
});

test("the git host does not offer filters when they are off", async () => {
  const host = await startGitHost({ filters: false });
  try {
    host.repository("plain").commit({ "a.txt": "a" });
    const answer = await fetch(`${host.urlOf("plain")}/info/refs?service=git-upload-pack`, { headers: { "git-protocol": "version=2" } });
    const text = await answer.text();
    assert.match(text, /version 2/);
    assert.doesNotMatch(text, /filter/);
  } finally {
    await host.stop();
  }
});

test("the git host speaks the older versions of the protocol that it is told to, whatever it is asked in", async () => {
  for (const [protocol, beginning] of [[0, /^001e# service=git-upload-pack\n0000[0-9a-f]{44} HEAD\0/], [1, /^001e# service=git-upload-pack\n0000000eversion 1\n/]]) {
    const host = await startGitHost({ protocol, anyObject: protocol === 1 });
    try {
      host.repository("old").commit({ "a.txt": "a" });
      const answer = await fetch(`${host.urlOf("old")}/info/refs?service=git-upload-pack`, { headers: { "git-protocol": "version=2" } });
      const text = await answer.text();
      assert.match(text, beginning);
      assert.equal(text.includes("allow-reachable-sha1-in-want"), protocol === 1);
      await clone(host.urlOf("old"), `old-${protocol}`);
    } finally {
      await host.stop();
    }
  }
});

test("the git host refuses requests without the right password", async () => {
  const host = await startGitHost({ auth: { username: "bot", password: "secret" } });
  try {
    host.repository("private").commit({ "a.txt": "a" });
    await assert.rejects(clone(host.urlOf("private"), "refused"));
    await clone(host.urlOf("private").replace("//", "//bot:secret@"), "allowed");
  } finally {
    await host.stop();
  }
});

test("a fault strikes as often as asked and then is over", async () => {
  const host = await startGitHost();
  try {
    host.repository("flaky").commit({ "a.txt": "a" });
    const url = `${host.urlOf("flaky")}/info/refs?service=git-upload-pack`;
    host.fail({ kind: "status", status: 503 });
    host.fail({ kind: "redirect", to: "http://elsewhere.example" });
    host.fail({ kind: "html" });
    host.fail({ kind: "slow", delay: 50 });
    host.fail({ kind: "hang" });
    host.fail({ kind: "cut", bytes: 10 });
    const request = () => fetch(url, { redirect: "manual", signal: AbortSignal.timeout(1_000) });
    assert.equal((await request()).status, 503);
    assert.match((await request()).headers.get("location"), /^http:\/\/elsewhere\.example\/flaky\.git\//);
    assert.match(await (await request()).text(), /<title>/);
    assert.equal((await request()).status, 200);
    await assert.rejects(request(), { name: "TimeoutError" });
    await assert.rejects(request().then((answer) => answer.text()));
    assert.equal((await request()).status, 200);
  } finally {
    await host.stop();
  }
});

test("Composer runs against a repository on loopback with the credentials it was given", async () => {
  const seen = [];
  const server = http.createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(200, { "content-type": "application/json" }).end('{"packages":[]}');
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const url = `http://127.0.0.1:${server.address().port}`;
  const project = createProject({ url, auth: { username: "token", password: "abc" } });
  try {
    const { code, output } = await project.composer("require", "acme/absent");
    assert.notEqual(code, 0);
    assert.match(output, /Could not find a (matching version of )?package acme\/absent/);
    assert.deepEqual([...new Set(seen)], [`Basic ${Buffer.from("token:abc").toString("base64")}`]);
  } finally {
    project.remove();
    server.closeAllConnections();
    server.close();
  }
});
