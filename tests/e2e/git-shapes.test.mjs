// Repositories of odd shapes, from real git through the registry to real composer.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { issueToken, register, startRegistry, syncAgain, until, versionsOf } from "./support/registry.mjs";

const TAGS = 300;
/** Tags whose archives one job builds. */
const TAGS_PER_JOB = 20;

let host;
let registry;
let token;

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  token = (await issueToken(registry, { rate_limit_max: 100_000 })).token;
});

after(async () => {
  await registry?.stop();
  await host?.stop();
});

const manifest = (name, extra = {}) => JSON.stringify({ name, type: "library", ...extra });
const php = (text) => `<?php\n// ${text}\n`;

/** Bytes that nothing compresses, the same for the same length. */
function noise(length) {
  const blocks = Array.from({ length: Math.ceil(length / 64) }, (_, at) => createHash("sha512").update(`${length} ${at}`).digest());
  return Buffer.concat(blocks, length);
}

/** A project that knows the registry, for as long as `use` takes. */
async function inProject(use, composerJson = {}) {
  const project = createProject({ url: registry.url, auth: { bearer: token }, composerJson });
  try {
    await use(project);
  } finally {
    project.remove();
  }
}

async function composer(project, ...args) {
  const { code, output, stdout } = await project.composer(...args);
  assert.equal(code, 0, output);
  return stdout;
}

async function publish(fields) {
  const repository = await register(registry, fields);
  assert.equal(repository.sync_status, "ok", repository.error);
  return repository;
}

const names = async (repository) => (await versionsOf(registry, repository.id)).map((entry) => entry.version).sort();
const metadata = async (file) => {
  const headers = { authorization: `Bearer ${token}`, "user-agent": "Composer/2.8.0" };
  const answer = await registry.request(`/p2/${file}.json`, { headers });
  return answer.status === 200 ? Object.values((await answer.json()).packages)[0] : answer.status;
};
/** What the latest sync left out: ref → reason. */
async function skipped(repository) {
  const { results } = await (await registry.database())
    .prepare("SELECT skipped FROM sync_runs s JOIN repositories r ON r.id = s.repository_id WHERE r.uid = ?1 ORDER BY s.id DESC LIMIT 1")
    .bind(repository.id)
    .all();
  return Object.fromEntries(JSON.parse(results[0].skipped).map(({ ref, reason }) => [ref, reason]));
}

// ------------------------------------------------------------------------------------------------ names

const BRANCHES = ["feature/x", "fix#12", "50%off", "c++", "who@where", "grüße", "1.x", "v2", "2.1", "a/b/c", "release-3.0", "UPPER", "with,comma", "semi;colon", "p|pe", "qu'ote"];
const ODD_TAGS = ["v1.0.0", "1.1.0+build.5", "release-1.2.0", "v1.3.0-beta.2", "1.4.0@stable", "v1.5.0#1", "1.6.0%20", "größe-1.7", "v1.8.0-dev", "dev-1.9", "V2.0.0", "2.0", "feature/1.0", "nightly", "3.0.0-RC1", "v20240101", "1.0.0.0.0"];

test("odd tags and branches become the versions that composer makes of them itself", async () => {
  const odd = host.repository("acme/odd");
  odd.commit({ "composer.json": manifest("acme/odd"), "src/Main.php": php("main") });
  for (const tag of ODD_TAGS) odd.tag(tag);
  for (const branch of BRANCHES) odd.commit({ "composer.json": manifest("acme/odd"), "src/Branch.php": php(branch) }, { branch });
  const repository = await publish({ url: host.urlOf("acme/odd") });
  const bySelf = { repositories: [{ type: "vcs", url: host.urlOf("acme/odd") }, { "packagist.org": false }] };
  const show = async (project) => JSON.parse(await composer(project, "show", "--all", "--format=json", "acme/odd")).versions.sort();
  let expected;
  await inProject(async (project) => (expected = await show(project)), bySelf);
  // Composers before 2.6 leave a "#" where it means a commit; later ones write a "+".
  expected = expected.map((version) => version.replace("#", "+")).sort();
  await inProject(async (project) => assert.deepEqual(await show(project), expected));
  assert.ok(expected.includes("dev-feature/x") && expected.includes("1.1.0+build.5") && expected.length > 15, expected.join(" "));
  const reasons = await skipped(repository);
  for (const tag of ["nightly", "v1.8.0-dev", "feature/1.0"]) assert.match(reasons[`refs/tags/${tag}`] ?? "none", /is not a version|dev prefix or suffix/);
});

test("branches with odd names can be installed, and their archives fetched", async () => {
  const installable = ["dev-feature/x", "dev-50%off", "dev-c++", "dev-grüße", "dev-a/b/c", "dev-fix+12"];
  const branchOf = (version) => version.slice("dev-".length).replace("fix+", "fix#");
  await inProject(async (project) => {
    for (const version of installable) {
      await composer(project, "require", `acme/odd:${version}`);
      const [entry] = project.readJson("composer.lock").packages;
      assert.equal(entry.version, version);
      assert.ok(entry.dist.url.startsWith(`${registry.url}/dist/acme/odd/`), entry.dist.url);
      assert.equal(project.read("vendor/acme/odd/src/Branch.php"), php(branchOf(version)), version);
      project.uninstall();
      project.clearCache();
      await composer(project, "install");
      assert.equal(project.read("vendor/acme/odd/src/Branch.php"), php(branchOf(version)), version);
    }
  });
});

test("an alias lets a branch stand for a numbered version", async () => {
  const aliased = host.repository("acme/aliased");
  aliased.commit({ "composer.json": manifest("acme/aliased", { extra: { "branch-alias": { "dev-main": "1.x-dev" } } }), "a.php": php("a") });
  await publish({ url: host.urlOf("acme/aliased") });
  await inProject(async (project) => {
    await composer(project, "require", "acme/aliased:1.x-dev");
    const [entry] = project.readJson("composer.lock").packages;
    assert.equal(entry.version, "dev-main");
    await composer(project, "require", "acme/aliased:^1.0@dev");
    assert.match(await composer(project, "show", "acme/aliased"), /versions\s*:.*1\.x-dev/);
  });
});

test("an annotated tag stands for its commit, however often it is wrapped, and a tag of anything else is passed over", async () => {
  const tagged = host.repository("acme/tagged");
  const commit = tagged.commit({ "composer.json": manifest("acme/tagged"), "a.php": php("a") });
  tagged.tag("v1.0.0", { message: "One" });
  tagged.tag("v1.1.0", { at: "v1.0.0", message: "A tag of a tag" });
  tagged.tag("v9.0.0", { at: tagged.git(["rev-parse", "main^{tree}"]) });
  tagged.tag("v9.1.0", { at: tagged.git(["rev-parse", "main:a.php"]), message: "A tag of a file" });
  const repository = await publish({ url: host.urlOf("acme/tagged") });
  const versions = await versionsOf(registry, repository.id);
  assert.deepEqual(versions.map((entry) => [entry.version, entry.reference]).sort(), [["dev-main", commit], ["v1.0.0", commit], ["v1.1.0", commit]]);
  const reasons = await skipped(repository);
  assert.deepEqual(Object.keys(reasons).sort(), ["refs/tags/v9.0.0", "refs/tags/v9.1.0"]);
});

// ------------------------------------------------------------------------------------------------ trees

test("links, executable files, odd file names and submodules arrive as git has them", async () => {
  const tree = host.repository("acme/tree");
  const elsewhere = "1234567890123456789012345678901234567890";
  tree.commit({
    "composer.json": manifest("acme/tree"),
    "bin/run": { mode: "100755", content: "#!/bin/sh\necho run\n" },
    "src/plain.php": php("plain"),
    "src/größe – 大.php": php("unicode"),
    "src/with space & 'quotes'.php": php("space"),
    "src/empty": "",
    "data.bin": Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * index) % 251)),
    current: { mode: "120000", content: "src/plain.php" },
    "src/up": { mode: "120000", content: "../bin/run" },
    "vendor-lib": { mode: "160000", id: elsewhere },
    ".gitmodules": '[submodule "vendor-lib"]\n\tpath = vendor-lib\n\turl = https://example.com/lib.git\n',
  });
  tree.tag("v1.0.0");
  const repository = await publish({ url: host.urlOf("acme/tree") });
  assert.deepEqual((await versionsOf(registry, repository.id)).map((entry) => entry.dist_error), [null, null]);
  await inProject(async (project) => {
    await composer(project, "require", "acme/tree");
    const installed = join(project.folder, "vendor/acme/tree");
    const list = tree.git(["ls-tree", "-r", "-z", "v1.0.0"]).split("\0").filter(Boolean);
    let compared = 0;
    for (const line of list) {
      const [, mode, , id, name] = /^(\d+) (\w+) (\w+)\t(.*)$/s.exec(line);
      const path = join(installed, name);
      if (mode === "160000") {
        assert.ok(!existsSync(path) || readdirSync(path).length === 0, "a submodule is at most an empty directory");
        continue;
      }
      compared += 1;
      if (mode === "120000") {
        assert.ok(lstatSync(path).isSymbolicLink(), name);
        assert.equal(readlinkSync(path), tree.git(["cat-file", "blob", id]), name);
        continue;
      }
      assert.equal((statSync(path).mode & 0o100) !== 0, mode === "100755", `${name} has the mode ${mode}`);
      assert.equal(tree.git(["hash-object", "--stdin"], { input: readFileSync(path) }), id, name);
    }
    assert.equal(compared, list.length - 1);
  });
});

// ------------------------------------------------------------------------------------------------ repositories

test("one repository can hold several packages, each with the tags and branches it wants", async () => {
  const monorepo = host.repository("acme/monorepo");
  const files = (step) => ({
    "composer.json": manifest("acme/monorepo"),
    "packages/one/composer.json": manifest("acme/one"),
    "packages/one/src/One.php": php(`one ${step}`),
    "packages/two/composer.json": manifest("acme/two"),
    "packages/two/src/Two.php": php(`two ${step}`),
  });
  monorepo.commit(files(1));
  monorepo.tag("v1.0.0");
  monorepo.commit(files(2));
  monorepo.tag("v2.0.0");
  monorepo.commit(files(3), { branch: "next" });
  monorepo.commit(files(4), { branch: "2.x" });
  const one = await publish({ url: host.urlOf("acme/monorepo"), path: "packages/one", tag_filter: ["v1.*"], branch_filter: ["main", "*.x"] });
  const two = await publish({ url: host.urlOf("acme/monorepo"), path: "packages/two", tag_filter: ["v2*", "v3*"] });
  assert.deepEqual(await names(one), ["2.x-dev", "dev-main", "v1.0.0"]);
  assert.deepEqual(await names(two), ["2.x-dev", "dev-main", "dev-next", "v2.0.0"]);
  assert.match((await skipped(one))["refs/tags/v2.0.0"], /no filter/);
  await inProject(async (project) => {
    await composer(project, "require", "acme/one", "acme/two");
    assert.equal(project.read("vendor/acme/one/src/One.php"), php("one 1"));
    assert.equal(project.read("vendor/acme/two/src/Two.php"), php("two 2"));
    assert.deepEqual(readdirSync(join(project.folder, "vendor/acme/one")).sort(), ["composer.json", "src"]);
  });
});

test("a package of some megabytes arrives whole, and nothing of the larger one beside it is fetched", async () => {
  const large = host.repository("acme/large");
  const content = noise(3_500_000);
  large.commit({
    "packages/video/composer.json": manifest("acme/video"),
    "packages/video/clip.bin": content,
    "packages/video/.gitattributes": "/raw export-ignore\n",
    "packages/video/raw/take.bin": noise(4_000_000),
    "packages/film/film.bin": noise(6_000_000),
  });
  large.tag("v1.0.0");
  host.forget();
  const repository = await publish({ url: host.urlOf("acme/large"), path: "packages/video" });
  const tagged = await until("the archive", 20_000, async () =>
    (await versionsOf(registry, repository.id)).find((entry) => entry.version === "v1.0.0" && entry.shasum),
  );
  assert.ok(tagged.size > content.length, `${tagged.size}`);
  const sent = host.log.reduce((sum, entry) => sum + entry.sent, 0);
  assert.ok(sent > content.length && sent < content.length + 100_000, `${sent} bytes were fetched`);
  await inProject(async (project) => {
    await composer(project, "require", "acme/video");
    const installed = join(project.folder, "vendor/acme/video");
    assert.deepEqual(readdirSync(installed).sort(), [".gitattributes", "clip.bin", "composer.json"]);
    assert.ok(readFileSync(join(installed, "clip.bin")).equals(content));
  });
});

test("a repository without a commit is told to be empty, and is published once it has one", async () => {
  const empty = host.repository("acme/empty");
  const repository = await register(registry, { url: host.urlOf("acme/empty") });
  assert.deepEqual([repository.sync_status, repository.error], ["failed", "the repository has no branches and no tags yet"]);
  empty.commit({ "composer.json": manifest("acme/empty") });
  const synced = await syncAgain(registry, host.urlOf("acme/empty"));
  assert.deepEqual([synced.sync_status, synced.package, synced.error], ["ok", "acme/empty", null]);
});

test("a default branch of another name is the default branch", async () => {
  const trunk = host.repository("acme/trunk");
  trunk.commit({ "composer.json": manifest("acme/trunk") }, { branch: "trunk" });
  trunk.commit({ "composer.json": manifest("acme/trunk") }, { branch: "other" });
  trunk.git(["symbolic-ref", "HEAD", "refs/heads/trunk"]);
  await publish({ url: host.urlOf("acme/trunk") });
  const versions = await metadata("acme/trunk~dev");
  assert.deepEqual(versions.filter((version) => version["default-branch"] === true).map((version) => version.version), ["dev-trunk"]);
});

test("a package that gets another name keeps the old one, abandoned in favour of it", async () => {
  const renamed = host.repository("acme/renamed");
  renamed.commit({ "composer.json": manifest("acme/before"), "a.php": php("before") });
  renamed.tag("v1.0.0");
  await publish({ url: host.urlOf("acme/renamed") });
  await inProject(async (project) => {
    await composer(project, "require", "acme/before");
    renamed.commit({ "composer.json": manifest("acme/after"), "a.php": php("after") });
    renamed.tag("v2.0.0");
    const synced = await syncAgain(registry, host.urlOf("acme/renamed"));
    assert.deepEqual([synced.sync_status, synced.package], ["ok", "acme/after"]);
    const shown = async (name) => [...(await metadata(name)), ...(await metadata(`${name}~dev`))].map((version) => [version.version, version.abandoned]);
    const after = [["v2.0.0", undefined], ["v1.0.0", undefined], ["dev-main", undefined]];
    assert.deepEqual(await shown("acme/after"), after, "as in Composer, the default branch names all versions");
    assert.deepEqual(await shown("acme/before"), [["v1.0.0", "acme/after"], ["dev-main", "acme/after"]], "the old name keeps what it had");
    project.uninstall();
    project.clearCache();
    await composer(project, "install");
    assert.equal(project.read("vendor/acme/before/a.php"), php("before"), "a lock file outlives the name");
  });
  await inProject((project) => composer(project, "require", "acme/after"));
});

test("hundreds of tags take a handful of requests, and nothing new takes one", async () => {
  const many = host.repository("acme/many");
  many.commits(
    Array.from({ length: TAGS }, (_, index) => ({
      files: { "composer.json": manifest("acme/many", { description: `Version ${index}` }), "src/Many.php": php(index), "README.md": `# ${index}\n` },
      tag: `v1.${index}.0`,
    })),
  );
  host.forget();
  const repository = await publish({ url: host.urlOf("acme/many") });
  assert.equal((await names(repository)).length, TAGS + 1);
  const ofSync = host.log.length - TAGS / TAGS_PER_JOB;
  assert.ok(ofSync >= 2 && ofSync <= 4, `${ofSync} requests besides one for each ${TAGS_PER_JOB} archives`);
  const versions = await until("the metadata has every checksum", 10_000, async () => {
    const list = await metadata("acme/many");
    return list.every((version) => version.dist?.shasum) && list;
  });
  assert.equal(versions.length, TAGS);
  const versionsBefore = await versionsOf(registry, repository.id);
  host.forget();
  await syncAgain(registry, host.urlOf("acme/many"));
  assert.deepEqual(host.log.map((entry) => [entry.method, entry.path, entry.status]), [["POST", "/acme/many.git/git-upload-pack", 200]]);
  assert.deepEqual(await versionsOf(registry, repository.id), versionsBefore);
});

test("nothing went wrong that nobody saw", () => {
  assert.deepEqual(registry.logs.filter((line) => line.level === "error"), []);
});
