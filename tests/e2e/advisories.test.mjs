// What an operator writes down about a package, as real composer hears of it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { composerIsAtLeast, createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { issueToken, register, startRegistry } from "./support/registry.mjs";

let host;
let registry;
let project;

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  const library = host.repository("acme/library");
  library.commit({ "composer.json": JSON.stringify({ name: "acme/library" }) });
  for (const tag of ["1.0.0", "1.1.0"]) library.tag(tag);
  await register(registry, { url: host.urlOf("acme/library") });
  const { token } = await issueToken(registry);
  project = createProject({ url: registry.url, auth: { username: "token", password: token } });
  const { code, output } = await project.composer("require", "acme/library:1.0.0");
  assert.equal(code, 0, output);
});

after(async () => {
  project?.remove();
  await registry?.stop();
  await host?.stop();
});

test("composer audit finds an advisory from the moment it is written down, and no longer once it is removed", async () => {
  const clean = await project.composer("audit");
  assert.equal(clean.code, 0, clean.output);
  const answer = await registry.admin("/api/advisories", {
    json: {
      package: "acme/library", title: "Path traversal in the importer", affected_versions: ">=1.0,<1.1",
      cve: "CVE-2026-0001", severity: "high", link: "https://acme.example/security/1",
    },
  });
  assert.equal(answer.status, 201);
  const { id } = await answer.json();

  const found = await project.composer("audit", "--format=json");
  assert.equal(found.code, 1, found.output);
  const [advisory] = JSON.parse(found.stdout).advisories["acme/library"];
  assert.equal(advisory.title, "Path traversal in the importer");
  assert.equal(advisory.cve, "CVE-2026-0001");
  assert.equal(advisory.link, "https://acme.example/security/1");
  const plain = await project.composer("audit", "--format=plain");
  assert.match(plain.output, /Path traversal in the importer/);

  const updated = await project.composer("require", "acme/library:1.1.0");
  assert.equal(updated.code, 0, updated.output);
  const safe = await project.composer("audit");
  assert.equal(safe.code, 0, safe.output);

  const change = await registry.admin(`/api/advisories/${id}`, { method: "PATCH", json: { affected_versions: "*" } });
  assert.equal(change.status, 200);
  assert.equal((await project.composer("audit")).code, 1);
  const removed = await registry.admin(`/api/advisories/${id}`, { method: "DELETE" });
  assert.equal(removed.status, 200);
  const again = await project.composer("audit");
  assert.equal(again.code, 0, again.output);
});

test("a version on a filter list stands in what composer reads of its package", async () => {
  const answer = await registry.admin("/api/filter-entries", {
    json: { package: "acme/library", constraint: "1.0.0", reason: "Published from a stolen account" },
  });
  assert.equal(answer.status, 201);
  const { token } = await issueToken(registry);
  const document = await fetch(`${registry.url}/p2/acme/library.json`, { headers: { authorization: `Bearer ${token}` } });
  const { filter } = await document.json();
  assert.equal(filter.malware[0].constraint, "1.0.0");
  assert.equal(filter.malware[0].reason, "Published from a stolen account");
  const { code, output } = await project.composer("update");
  assert.equal(code, 0, output);
});

test("composer installs no version on the malware list, if it knows filter lists, also from a lock file", async () => {
  // The advisory is gone; what is left is the entry of the list.
  const other = createProject({ url: registry.url, auth: { username: "token", password: (await issueToken(registry)).token } });
  try {
    const flagged = await other.composer("require", "acme/library:1.0.0");
    const safe = await other.composer("require", "acme/library:^1.1");
    assert.equal(safe.code, 0, safe.output);
    if (!composerIsAtLeast("2.10")) return assert.equal(flagged.code, 0, flagged.output);
    assert.notEqual(flagged.code, 0, flagged.output);
    assert.match(flagged.output, /malware/);
    const answer = await registry.admin("/api/filter-entries", {
      json: { package: "acme/library", constraint: "1.1.0", reason: "That one, too" },
    });
    assert.equal(answer.status, 201);
    other.uninstall();
    other.clearCache();
    const locked = await other.composer("install");
    assert.notEqual(locked.code, 0, locked.output);
    assert.match(locked.output, /malware/);
  } finally {
    other.remove();
  }
});

test("composer takes no version with an advisory at an update, if it blocks them", async () => {
  const guarded = host.repository("acme/guarded");
  guarded.commit({ "composer.json": JSON.stringify({ name: "acme/guarded" }) });
  for (const tag of ["1.0.0", "2.0.0"]) guarded.tag(tag);
  await register(registry, { url: host.urlOf("acme/guarded") });
  const answer = await registry.admin("/api/advisories", {
    json: { package: "acme/guarded", title: "Remote code execution", affected_versions: "<2.0", severity: "critical" },
  });
  assert.equal(answer.status, 201, await answer.text());
  const other = createProject({ url: registry.url, auth: { username: "token", password: (await issueToken(registry)).token } });
  try {
    const affected = await other.composer("require", "acme/guarded:1.0.0");
    if (composerIsAtLeast("2.9")) assert.notEqual(affected.code, 0, affected.output);
    else assert.equal(affected.code, 0, affected.output);
    const { code, output } = await other.composer("require", "acme/guarded:*");
    assert.equal(code, 0, output);
    assert.equal(other.readJson("composer.lock").packages[0].version, "2.0.0");
  } finally {
    other.remove();
  }
});
