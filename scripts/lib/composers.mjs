// The composers that people run, for the end-to-end tests: the installed one, and those of other Debian suites. They are
// unpacked side by side into the cache and run by the installed PHP; nothing of the system is changed.
//
// `apt` gets them from the mirror that this machine is configured for, and checks its signatures as ever. The suites move
// on, so the version is asked of each program.

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cache } from "./paths.mjs";
import { attempt, answers } from "./run.mjs";
import { Stop, step } from "./say.mjs";

/** Suites whose composers differ in what matters here: 2.8, 2.10 and the latest when they were chosen. */
const SUITES = ["trixie", "forky", "sid"];

/** How old an unpacked one may get before a newer one is looked for. */
const MONTH = 30 * 24 * 3_600_000;

/** Getting one never takes longer, whatever hangs: 5 min. */
const LIMIT = 5 * 60_000;

/** Of PHP's own packages the installed ones are used. */
const INSTALLED_PHP = /^php-(cli|common|curl|mbstring|xml|json|intl|zip|cgi|fpm|phpdbg|bz2)$/;

/**
 * `{ found, missing }`: each found one is `{ name, version, program }`, the installed one first; each missing one is
 * `{ name, reason }`. With COMPOSER_BIN there is that one and no other.
 */
export async function composers() {
  const chosen = process.env.COMPOSER_BIN;
  if (chosen) return { found: [await asked("COMPOSER_BIN", chosen)], missing: [] };
  const found = [await asked("installed", "composer")];
  const missing = [];
  for (const suite of SUITES) {
    try {
      found.push(await asked(suite, await ofSuite(suite)));
    } catch (error) {
      missing.push({ name: suite, reason: error.message });
    }
  }
  return { found, missing };
}

/** A composer with the version that it says. */
async function asked(name, program) {
  const { code, stdout, stderr } = await attempt(program, ["--version", "--no-interaction", "--no-ansi"], {
    env: { ...process.env, COMPOSER_ALLOW_SUPERUSER: "1" },
    timeout: 20_000,
  });
  const version = /^Composer (?:version )?(\d+\.\d+\.\d+\S*)/m.exec(stdout)?.[1];
  if (code !== 0 || version === undefined) throw new Stop(`${program} does not tell its version: ${lastLine(stderr || stdout)}`);
  return { name, version, program };
}

/** The composer of a Debian suite; one that is unpacked already is as good when no newer one can be had. */
async function ofSuite(suite) {
  const folder = join(cache, "composers", suite);
  const program = join(folder, "composer");
  const isThere = existsSync(program);
  if (isThere && Date.now() - statSync(program).mtimeMs < MONTH) return program;
  try {
    return await step(`Getting the composer of Debian ${suite}`, () => unpack(suite, folder, program));
  } catch (error) {
    if (!isThere || !existsSync(program)) throw error;
    return program;
  }
}

async function unpack(suite, folder, program) {
  if (process.platform !== "linux" || !(await answers("apt-get"))) throw new Error("this machine has no apt");
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  for (const name of ["lists/partial", "archives/partial", "debs", "root"]) mkdirSync(join(fresh, name), { recursive: true });
  writeFileSync(join(fresh, "sources.list"), `deb ${await mirror()} ${suite} main\n`);
  const options = {
    "Dir::Etc::sourcelist": join(fresh, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State::lists": join(fresh, "lists"),
    "Dir::Cache": fresh,
    "APT::Default-Release": suite,
    // What was downloaded belongs to whoever runs this.
    "APT::Sandbox::User": "root",
  };
  const apt = (command, args, cwd) =>
    must(command, [...Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]), ...args], cwd);
  await apt("apt-get", ["update", "-q"]);
  const depends = ["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces"];
  const lines = (await apt("apt-cache", [...depends, "--no-enhances", "composer"])).split("\n");
  const wanted = lines.filter((line) => /^(composer|jsonlint|php-[a-z])/.test(line) && !INSTALLED_PHP.test(line));
  await apt("apt-get", ["download", "-q", ...new Set(wanted)], join(fresh, "debs"));
  for (const deb of readdirSync(join(fresh, "debs"))) {
    await must("dpkg-deb", ["--extract", join(fresh, "debs", deb), join(fresh, "root")]);
  }
  for (const name of ["lists", "archives", "debs"]) rmSync(join(fresh, name), { recursive: true, force: true });
  relocate(join(fresh, "root/usr/share/php"), folder);
  writeFileSync(join(fresh, "polyfill.php"), POLYFILL);
  const paths = [join(folder, "polyfill.php"), join(folder, "root/usr/share/php"), join(folder, "root/usr/bin/composer")];
  writeFileSync(join(fresh, "composer"), launcher(paths), { mode: 0o755 });
  rmSync(folder, { recursive: true, force: true });
  await must("mv", [fresh, folder]);
  return program;
}

/** The Debian mirror of this machine's apt. */
async function mirror() {
  const policy = await must("apt-cache", ["policy"]);
  const found = /https?:\/\/\S+\/debian(?= )/.exec(policy)?.[0];
  if (found === undefined) throw new Error("apt knows no Debian mirror here");
  return found;
}

/** Debian's loaders name each other by absolute paths. */
function relocate(php, folder) {
  for (const name of readdirSync(php, { recursive: true })) {
    const path = join(php, name);
    if (!name.endsWith(".php") || !statSync(path).isFile()) continue;
    const text = readFileSync(path, "utf8");
    const moved = text.replaceAll("'/usr/share/php/", `'${folder}/root/usr/share/php/`);
    if (moved !== text) writeFileSync(path, moved);
  }
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function launcher([polyfill, include, program]) {
  const options = [`auto_prepend_file=${polyfill}`, `include_path=${include}`].map((option) => `-d ${quoted(option)}`);
  return `#!/bin/sh\nexec php ${options.join(" ")} ${quoted(program)} "$@"\n`;
}

/** What the suites' own PHP has and an older one lacks. */
const POLYFILL = `<?php
if (!function_exists('array_find_key')) {
    function array_find_key(array $array, callable $callback) {
        foreach ($array as $key => $value) { if ($callback($value, $key)) { return $key; } }
        return null;
    }
    function array_find(array $array, callable $callback) {
        $key = array_find_key($array, $callback);
        return $key === null ? null : $array[$key];
    }
    function array_any(array $array, callable $callback): bool { return array_find_key($array, $callback) !== null; }
    function array_all(array $array, callable $callback): bool {
        return array_find_key($array, fn ($value, $key) => !$callback($value, $key)) === null;
    }
}
`;

/** Runs a program that has to succeed; what it writes. */
async function must(program, args, cwd) {
  const { code, stdout, stderr } = await attempt(program, args, { ...(cwd === undefined ? {} : { cwd }), timeout: LIMIT });
  if (code !== 0) throw new Error(`${program} ${args.at(-1)}: ${lastLine(stderr || stdout) || `exit code ${code}`}`);
  return stdout;
}

function lastLine(text) {
  return text.trim().split("\n").at(-1).trim();
}
