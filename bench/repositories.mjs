// Repositories to sync, written with one `git fast-import` each.

import { randomBytes } from "node:crypto";

/** Seconds between two commits: a day. */
const STEP = 86_400;
const FIRST = Date.UTC(2020, 0, 1) / 1000;

/**
 * A package with `versions` tags, `v{major}.{minor}.0`, fifty minors to a major, each a commit with a changed
 * composer.json and a few sources.
 */
export function manyVersions(host, name, versions) {
  const commits = Array.from({ length: versions }, (_, at) => {
    const tag = `v${Math.floor(at / 50)}.${at % 50}.0`;
    const files = {
      "composer.json": JSON.stringify({
        name,
        description: "A library of the benchmark",
        type: "library",
        license: "MIT",
        require: { php: ">=8.1", "psr/log": `^${1 + (at % 3)}.0` },
        autoload: { "psr-4": { "Bench\\": "src/" } },
      }),
      "README.md": `# ${name}\n\nVersion ${tag}.\n`,
      "src/Version.php": `<?php\nnamespace Bench;\nfinal class Version { const NAME = '${tag}'; }\n`,
    };
    return { tag, files };
  });
  write(host.repository(name), commits);
}

/**
 * A package with `versions` tags, whose README changes with each of them and whose CHANGELOG grows within a major: some
 * 30 kB a version, and 5 kB of composer.json, as those of frameworks have.
 */
export function longTexts(host, name, versions) {
  const line = (at) => `- Change ${at}: ${randomBytes(45).toString("base64")}\n`;
  const readme = Array.from({ length: 100 }, (_, at) => line(at)).join("");
  const parts = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`bench/part-of-many-${at}`, "^7.4.0|^8.0.0"]));
  let changelog = "";
  const commits = Array.from({ length: versions }, (_, at) => {
    const tag = `v${Math.floor(at / 50)}.${at % 50}.0`;
    if (at % 50 === 0) changelog = "";
    changelog = `## ${tag}\n\n${Array.from({ length: 12 }, (_, change) => line(change)).join("")}\n${changelog}`;
    const files = {
      "composer.json": JSON.stringify({ name, description: `Long texts ${tag}`, replace: parts, require: parts }, null, 4),
      "README.md": `# ${name} ${tag}\n\n${readme}`,
      "CHANGELOG.md": changelog,
      LICENSE: `The licence\n\n${readme}`,
    };
    return { tag, files };
  });
  write(host.repository(name), commits);
}

/** A package with one tag, `v1.0.0`, and `megabytes` files of a million random bytes each, which nothing compresses. */
export function incompressible(host, name, megabytes) {
  const files = { "composer.json": JSON.stringify({ name, description: "A large one" }) };
  for (let at = 0; at < megabytes; at += 1) files[`data/${at}.bin`] = randomBytes(1_000_000);
  write(host.repository(name), [{ tag: "v1.0.0", files }]);
}

/** A package with one tag, `v1.0.0`, and as many small sources. */
export function manyFiles(host, name, number) {
  const files = { "composer.json": JSON.stringify({ name, description: "One of many files" }) };
  for (let at = 0; at < number; at += 1) {
    const body = `final class Model${at} { const ID = '${randomBytes(12).toString("hex")}'; }\n`;
    files[`src/${at % 200}/Model${at}.php`] = `<?php\nnamespace Bench;\n${body.repeat(8)}`;
  }
  write(host.repository(name), [{ tag: "v1.0.0", files }]);
}

/** A package with one tag, `v1.0.0`, and one file of so many mebibytes, which nothing compresses. */
export function largeFile(host, name, mebibytes) {
  const files = { "composer.json": JSON.stringify({ name, description: "One large file" }) };
  files["data/large.bin"] = randomBytes(mebibytes << 20);
  write(host.repository(name), [{ tag: "v1.0.0", files }]);
}

function write(repository, commits) {
  const pieces = [];
  const data = (content) => {
    const bytes = Buffer.from(content);
    pieces.push(Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from("\n"));
  };
  for (const [at, { tag, files }] of commits.entries()) {
    pieces.push(Buffer.from(`commit refs/heads/main\ncommitter Ada <ada@example.com> ${FIRST + at * STEP} +0000\n`));
    data(`Version ${tag}`);
    for (const [path, content] of Object.entries(files)) {
      pieces.push(Buffer.from(`M 100644 inline ${path}\n`));
      data(content);
    }
    pieces.push(Buffer.from(`reset refs/tags/${tag}\nfrom refs/heads/main\n\n`));
  }
  repository.git(["fast-import", "--quiet"], { input: Buffer.concat(pieces) });
}
