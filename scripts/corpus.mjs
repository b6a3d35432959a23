// `npm run corpus -- FOLDER`: syncs every bare repository of a folder (NAME.git) from a real git host into a registry of its
// own, and prints where the result differs from what Composer reads from the same repository: every field of every
// version, and the files of three zips of each compared with `git archive`. Ends with code 1 if anything differs.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { versionDifferences, zipDifferences } from "./corpus/compare.mjs";
import { ensurePackages } from "./lib/npm.mjs";
import { root } from "./lib/paths.mjs";
import { requirePrograms } from "./lib/programs.mjs";
import { attempt } from "./lib/run.mjs";
import { Stop, main, say } from "./lib/say.mjs";
import { buildWorker } from "./lib/worker.mjs";

/** No sync takes longer, and no look of Composer's at a repository: 10 min. */
const TIMEOUT = 10 * 60_000;

/** How many zips of each repository are compared. */
const ZIPS = 3;

/** How much of a value the table shows. */
const WIDTH = 60;

const PHP = join(root, "scripts/corpus/composer.php");

await main(async () => {
  const [folder] = process.argv.slice(2);
  const names = folder === undefined ? [] : readdirSync(resolve(folder)).filter((name) => name.endsWith(".git")).sort();
  if (names.length === 0) throw new Stop("Name a folder of bare repositories: `npm run corpus -- FOLDER`, with FOLDER/NAME.git.");
  await ensurePackages();
  await requirePrograms();
  await buildWorker();
  // Imported late: what they import may have been installed a moment ago.
  const { startGitHost } = await import("../tests/e2e/support/git-host.mjs");
  const { startRegistry } = await import("../tests/e2e/support/registry.mjs");
  const scratch = mkdtempSync(join(tmpdir(), "rostrum-corpus-"));
  const host = await startGitHost({ folder: resolve(folder) });
  const registry = await startRegistry();
  try {
    let [versions, rows] = [0, []];
    for (const name of names) {
      const repository = name.slice(0, -".git".length);
      const result = await compare({ repository, path: join(resolve(folder), name), host, registry, scratch });
      versions += result.versions;
      rows = rows.concat(result.differences.map((one) => ({ repository, ...one })));
    }
    print(rows);
    say(`${versions} versions of ${names.length} repositories, ${rows.length} differences`);
    if (rows.length > 0) process.exitCode = 1;
  } finally {
    await registry.stop();
    await host.stop();
    rmSync(scratch, { recursive: true, force: true });
  }
});

/** Where one repository differs: `{ versions, differences }`. */
async function compare({ repository, path, host, registry, scratch }) {
  say(`${repository} …`);
  const { register } = await import("../tests/e2e/support/registry.mjs");
  const registered = await register(registry, { url: host.urlOf(repository) }, { timeout: TIMEOUT });
  const failed = (composer, rostrum) => ({ versions: 0, differences: [{ version: "", field: "(sync)", composer, rostrum }] });
  const read = await php(["versions", path], scratch);
  if (read.error !== undefined || registered.sync_status !== "ok") {
    const both = read.error !== undefined && registered.sync_status !== "ok";
    return both ? { versions: 0, differences: [] } : failed(read.error, registered.error ?? undefined);
  }
  const ours = await published(registry, registered.package);
  const differences = versionDifferences(read.value, ours);
  for (const version of chosen(ours)) differences.push(...(await compareZip({ version, path, registry, scratch })));
  return { versions: ours.length, differences };
}

/** Every version that the registry publishes of a package, in full. */
async function published(registry, name) {
  const lists = await Promise.all(
    ["", "~dev"].map(async (kind) => {
      const answer = await registry.admin(`/p2/${name}${kind}.json`);
      return answer.status === 200 ? Object.values((await answer.json()).packages[name] ?? {}) : [];
    }),
  );
  return lists.flat();
}

/** The first, the last and those between that are as far apart as they can be. */
function chosen(versions) {
  const last = versions.length - 1;
  const places = Array.from({ length: ZIPS }, (_, index) => Math.round((last * index) / (ZIPS - 1)));
  return [...new Set(places)].filter((place) => place >= 0).map((place) => versions[place]);
}

async function compareZip({ version, path, registry, scratch }) {
  const { pathname } = new URL(version.dist.url, registry.url);
  const answer = await registry.admin(pathname, { signal: AbortSignal.timeout(TIMEOUT) });
  const told = (composer, rostrum) => [{ version: version.version, field: "zip", composer, rostrum }];
  if (answer.status !== 200) return told("a zip", `${answer.status} ${await answer.text()}`);
  const [ours, archived] = [join(scratch, "ours.zip"), join(scratch, "archived.zip")];
  writeFileSync(ours, Buffer.from(await answer.arrayBuffer()));
  // Below one directory, as the registry's own.
  const args = ["archive", "--format=zip", "--prefix=package/", `--output=${archived}`, version.source.reference];
  const made = await attempt("git", args, { cwd: path, env: gitEnvironment() });
  if (made.code !== 0) return told(made.stderr.trim(), "a zip");
  const [expected, found] = await Promise.all([archived, ours].map((zip) => php(["entries", zip], scratch)));
  if (expected.error !== undefined || found.error !== undefined) return told(expected.error, found.error);
  return zipDifferences(version.version, expected.value, found.value);
}

/** What the PHP script says: `{ value }` or `{ error }`. */
async function php(args, home) {
  const env = { ...gitEnvironment(), COMPOSER_HOME: home, COMPOSER_ALLOW_SUPERUSER: "1" };
  const { code, stdout, stderr } = await attempt("php", [PHP, ...args], { env, timeout: TIMEOUT });
  if (code === 0) return { value: JSON.parse(stdout) };
  const error = /(?:Uncaught )?\S*Exception: (.*)/.exec(stdout + stderr)?.[1] ?? (stdout + stderr).trim();
  return { error: error || `exit code ${code}` };
}

/** git serves whoever owns the repositories of the folder. */
function gitEnvironment() {
  const config = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" };
  return { ...process.env, ...config };
}

function print(rows) {
  const columns = ["repository", "version", "field", "composer", "rostrum"];
  const text = (value) => (value === undefined ? "—" : typeof value === "string" ? value : JSON.stringify(value));
  const cut = (value) => (value.length > WIDTH ? `${value.slice(0, WIDTH - 1)}…` : value).replaceAll("\n", " ");
  const table = [columns, ...rows.map((row) => columns.map((column) => cut(text(row[column]))))];
  if (rows.length === 0) return;
  const widths = columns.map((_, index) => Math.max(...table.map((row) => row[index].length)));
  for (const row of table) console.log(row.map((cell, index) => cell.padEnd(widths[index])).join("  ").trimEnd());
}
