// `npm run corpus` on a small folder that is made up here, and what it recognises as a difference.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { versionDifferences, zipDifferences } from "../../scripts/corpus/compare.mjs";
import { root } from "../../scripts/lib/paths.mjs";
import { repository } from "./support/git-host.mjs";

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "rostrum-folder-"));
  const library = repository(join(folder, "library.git"));
  const manifest = (extra = {}) =>
    JSON.stringify({
      name: "acme/library", description: "Größe", type: "library", license: ["MIT", "GPL-3.0-or-later"], keywords: ["a", "b"],
      authors: [{ name: "Ada", email: "ada@example.com" }], require: { php: ">=7.4", "psr/log": "^1.0 || ^2.0" },
      "require-dev": { "phpunit/phpunit": "*" }, suggest: { "ext-intl": "For names" }, bin: ["bin/run"],
      autoload: { "psr-4": { "Acme\\\\": "src/" } }, extra: { "branch-alias": { "dev-main": "2.x-dev" } },
      support: { issues: "https://acme.example/issues" }, ...extra,
    });
  const files = (extra) => ({
    "composer.json": manifest(extra), "src/A.php": "<?php\n", "bin/run": { mode: "100755", content: "#!/usr/bin/env php\n" },
    "current": { mode: "120000", content: "src/A.php" }, "tests/ATest.php": "<?php\n", ".gitattributes": "/tests export-ignore\n",
  });
  library.commit(files());
  library.tag("v1.0.0");
  library.commit(files({ abandoned: "acme/other", conflict: { "acme/old": "<1.0" } }));
  library.tag("1.1.0-beta2", { message: "Nearly" });
  library.commit(files({ provide: { "psr/log-implementation": "1.0" } }));
  library.tag("2.0.0");
  library.tag("not-a-version");
  library.commit(files(), { branch: "1.x" });
  const plain = repository(join(folder, "plain.git"));
  plain.commit({ "composer.json": JSON.stringify({ name: "acme/plain" }) });
});
after(() => rmSync(folder, { recursive: true, force: true }));

test("what the registry makes of a folder of repositories is what Composer makes of them", async () => {
  const result = await new Promise((done) =>
    execFile(process.execPath, [join(root, "scripts/corpus.mjs"), folder], { timeout: 120_000 }, (error, stdout, stderr) =>
      done({ code: error?.code ?? 0, output: stdout + stderr }),
    ),
  );
  assert.match(result.output, /6 versions of 2 repositories, 0 differences/);
  assert.equal(result.code, 0, result.output);
});

test("a field, a version and a file that differ are named", () => {
  const version = (fields) => ({ version: "1.0.0", time: "2024-01-01T00:00:00+00:00", source: { reference: "abc" }, ...fields });
  const same = version({ require: { a: "*", b: "*" }, dist: { url: "one" } });
  const ours = version({ require: { b: "*", a: "*" }, dist: { url: "two" }, time: "2024-01-01T01:00:00+01:00" });
  assert.deepEqual(versionDifferences([same], [ours]), []);
  assert.deepEqual(versionDifferences([same], [{ ...ours, type: "library" }]), []);
  assert.deepEqual(versionDifferences([same], [{ ...ours, type: "project" }]), [
    { version: "1.0.0", field: "type", composer: "library", rostrum: "project" },
  ]);
  assert.deepEqual(versionDifferences([same], [{ ...ours, source: { reference: "def" } }]), [
    { version: "1.0.0", field: "commit", composer: "abc", rostrum: "def" },
  ]);
  assert.deepEqual(versionDifferences([same], []).map(({ field, rostrum }) => [field, rostrum]), [["(version)", undefined]]);
  assert.deepEqual(versionDifferences([], [ours]).map(({ field, composer }) => [field, composer]), [["(version)", undefined]]);
  assert.deepEqual(zipDifferences("1.0.0", { "package/a.php": "file 1" }, { "acme-lib/a.php": "file 1" }), []);
  assert.deepEqual(zipDifferences("1.0.0", { "package/a.php": "file 1", "package/b": "file 2" }, { "x/a.php": "program 1" }), [
    { version: "1.0.0", field: "zip: a.php", composer: "file 1", rostrum: "program 1" },
    { version: "1.0.0", field: "zip: b", composer: "file 2", rostrum: undefined },
  ]);
});
