// What a second registry says to be wrong with its packages, as real composer hears of it from the registry that mirrors them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { composerIsAtLeast, createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { issueToken, register, requestSync, startRegistry, until } from "./support/registry.mjs";

const LIBRARY = "vendor/library";

let host;
let upstream;
let registry;
let mirror;
let project;
/** Another one, which stays at the version that the advisory is about. */
let affected;

const api = async (of, path, options) => {
  const answer = await of.admin(path, options);
  assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
};

/** A project that knows the mirroring registry alone. */
async function projectOfMirror() {
  const { token } = await issueToken(registry, { rate_limit_max: 100_000 });
  return createProject({ url: registry.url, auth: { username: "token", password: token } });
}

/** Has the upstream asked again, and waits until `isThere` holds for what the mirroring registry has of the package. */
async function syncUntil(what, isThere) {
  await requestSync(registry, mirror.id);
  const { token } = await issueToken(registry);
  await until(what, 30_000, async () => {
    const headers = { authorization: `Bearer ${token}` };
    const document = await registry.request(`/p2/${LIBRARY}.json`, { headers });
    return isThere(await document.json());
  });
  await until("the sync is over", 30_000, async () => (await api(registry, `/api/repositories/${mirror.id}`)).sync_status === "ok");
}

before(async () => {
  host = await startGitHost();
  [upstream, registry] = await Promise.all([startRegistry(), startRegistry()]);
  const library = host.repository(LIBRARY);
  library.commit({ "composer.json": JSON.stringify({ name: LIBRARY }) });
  for (const tag of ["1.0.0", "1.1.0", "2.0.0"]) library.tag(tag);
  await register(upstream, { url: host.urlOf(LIBRARY) });
  const { token } = await issueToken(upstream, { rate_limit_max: 100_000 });
  mirror = await register(registry, {
    kind: "composer", url: upstream.url, credential_type: "token", auth_credentials: token,
  });
  assert.equal(mirror.sync_status, "ok", mirror.error);
  [project, affected] = await Promise.all([projectOfMirror(), projectOfMirror()]);
  for (const one of [project, affected]) {
    const { code, output } = await one.composer("require", `${LIBRARY}:1.0.0`);
    assert.equal(code, 0, output);
  }
});

after(async () => {
  project?.remove();
  affected?.remove();
  await registry?.stop();
  await upstream?.stop();
  await host?.stop();
});

test("composer audit reports an advisory of the second registry on what is mirrored from it", async () => {
  const clean = await project.composer("audit");
  assert.equal(clean.code, 0, clean.output);
  await api(upstream, "/api/advisories", {
    json: {
      package: LIBRARY, title: "Path traversal in the importer", affected_versions: "<1.1", cve: "CVE-2026-0001",
      severity: "high", link: "https://vendor.example/security/1",
    },
  });
  await syncUntil("the advisory is mirrored", (document) => document["security-advisories"].length === 1);
  project.clearCache();
  const found = await project.composer("audit", "--format=json");
  assert.equal(found.code, 1, found.output);
  const [advisory] = JSON.parse(found.stdout).advisories[LIBRARY];
  assert.equal(advisory.title, "Path traversal in the importer");
  assert.equal(advisory.cve, "CVE-2026-0001");
  assert.equal(advisory.link, "https://vendor.example/security/1");
  const updated = await project.composer("require", `${LIBRARY}:1.1.0`);
  assert.equal(updated.code, 0, updated.output);
  const safe = await project.composer("audit");
  assert.equal(safe.code, 0, safe.output);
});

test("composer takes no version at an update that the second registry lists as malware, if it knows filter lists", async () => {
  await api(upstream, "/api/filter-entries", {
    json: { package: LIBRARY, constraint: "2.0.0", reason: "Published from a stolen account" },
  });
  await syncUntil("the entry is mirrored", (document) => document.filter.malware?.[0].constraint === "2.0.0");
  const { token } = await issueToken(registry);
  const zip = await registry.request(`/dist/${LIBRARY}/2.0.0.zip`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(zip.status, 410);
  assert.match((await zip.json()).warning, /Published from a stolen account/);
  project.clearCache();
  const wanted = await project.composer("require", `${LIBRARY}:>=1.1`);
  if (composerIsAtLeast("2.10")) {
    assert.equal(wanted.code, 0, wanted.output);
    assert.equal(project.readJson("composer.lock").packages[0].version, "1.1.0");
    const flagged = await project.composer("require", `${LIBRARY}:2.0.0`);
    assert.notEqual(flagged.code, 0, flagged.output);
    assert.match(flagged.output, /malware/);
  } else {
    assert.notEqual(wanted.code, 0, wanted.output);
    assert.match(wanted.output, /Published from a stolen account|410/);
  }
});

test("with the second registry gone, composer audit reports what it said last", async () => {
  await upstream.stop();
  upstream = undefined;
  const found = await affected.composer("audit", "--format=plain");
  assert.equal(found.code, 1, found.output);
  assert.match(found.output, /Path traversal in the importer/);
});
