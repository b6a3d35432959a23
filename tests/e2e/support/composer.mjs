// Real Composer in a project of its own: its own home, its own cache, nothing of this machine's. COMPOSER_BIN says which
// one; `npm test` runs some files once with each that people use (scripts/lib/composers.mjs).

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROGRAM = process.env.COMPOSER_BIN || "composer";

let version;

/** Whether the composer of this run is of this version, such as "2.10", or a later one. */
export function composerIsAtLeast(wanted) {
  version ??= /Composer (?:version )?(\d+)\.(\d+)/.exec(
    execFileSync(PROGRAM, ["--version", "--no-ansi", "--no-interaction"], {
      encoding: "utf8",
      env: { PATH: process.env.PATH, HOME: tmpdir(), COMPOSER_ALLOW_SUPERUSER: "1" },
      stdio: ["ignore", "pipe", "ignore"],
    }),
  );
  const [major, minor] = wanted.split(".").map(Number);
  return Number(version[1]) > major || (Number(version[1]) === major && Number(version[2]) >= minor);
}

/** No Composer command of a test may take longer. */
const TIMEOUT = 60_000;

/**
 * Makes a project that knows one repository, `url`, and not packagist.org. `auth`: `{ username, password }` sent to it,
 * or `{ bearer }`. `composerJson` is merged over the project's file.
 */
export function createProject({ url, auth, composerJson = {} }) {
  const root = mkdtempSync(join(tmpdir(), "rostrum-composer-"));
  const folder = join(root, "project");
  mkdirSync(folder);
  const json = {
    name: "test/project",
    repositories: [{ type: "composer", url }, { "packagist.org": false }],
    config: { "secure-http": false, "allow-plugins": false },
    ...composerJson,
  };
  writeFileSync(join(folder, "composer.json"), JSON.stringify(json, null, 2));
  if (auth) writeFileSync(join(folder, "auth.json"), JSON.stringify(credentials(new URL(url).host, auth)));

  function run(program, args, env = {}) {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, {
        cwd: folder,
        env: {
          PATH: process.env.PATH,
          COMPOSER_HOME: join(root, "home"),
          COMPOSER_CACHE_DIR: join(root, "cache"),
          COMPOSER_ALLOW_SUPERUSER: "1",
          COMPOSER_NO_AUDIT: "1",
          HOME: root,
          ...env,
        },
        stdio: ["ignore", "pipe", "pipe"],
        timeout: TIMEOUT,
      });
      let stdout = "";
      let stderr = "";
      child.stdout.setEncoding("utf8").on("data", (piece) => (stdout += piece));
      child.stderr.setEncoding("utf8").on("data", (piece) => (stderr += piece));
      child.on("error", reject);
      child.on("close", (code, signal) => resolve({ code: code ?? signal, stdout, stderr, output: stderr + stdout }));
    });
  }

  const path = (name) => join(folder, name);
  return {
    folder,
    /** Runs one command and resolves to `{ code, stdout, stderr, output }`. */
    composer: (...args) =>
      run(PROGRAM, [...args, "--no-interaction", "--no-ansi", "--no-progress"].filter(wanted(args[0]))),
    /** The same of a line that somebody has copied into a shell; `env` is added to its environment. */
    shell: (line, env) =>
      run("bash", ["-c", `composer() { command "$PROGRAM" "$@"; }\n${line}`], { PROGRAM, COMPOSER_NO_INTERACTION: "1", ...env }),
    /** A file of the project as text, or `null`. */
    read: (name) => (existsSync(path(name)) ? readFileSync(path(name), "utf8") : null),
    /** A JSON file of the project, such as composer.lock. */
    readJson: (name) => JSON.parse(readFileSync(path(name), "utf8")),
    /** Empties Composer's cache, so that the next command asks the registry for everything. */
    clearCache: () => rmSync(join(root, "cache"), { recursive: true, force: true }),
    /** Removes what was installed, not the lock file. */
    uninstall: () => rmSync(path("vendor"), { recursive: true, force: true }),
    /** Removes the project. */
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** `--no-progress` is known to the commands that download, and an error to the others. */
function wanted(command) {
  const downloads = ["require", "install", "update", "remove", "create-project", "reinstall"].includes(command);
  return (option) => option !== "--no-progress" || downloads;
}

function credentials(host, { username, password, bearer }) {
  return bearer === undefined ? { "http-basic": { [host]: { username, password } } } : { bearer: { [host]: bearer } };
}
