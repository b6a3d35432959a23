// Schemathesis, which fuzzes the API by its document: a Python program, installed once per version into the cache.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cache, root } from "./paths.mjs";
import { answers, run } from "./run.mjs";
import { step } from "./say.mjs";
import { installPackages } from "./system.mjs";

/** What is installed, each in exactly one version. */
const REQUIREMENTS = join(root, "scripts/schemathesis.txt");

/** Whatever hangs, installing ends after 10 min. */
const INSTALL_LIMIT = 10 * 60_000;

const WHY = "The API tests need Python 3.10 or later with venv: install python3 and python3-venv and try again.";

/** The program, installed on the first call. */
export async function schemathesis() {
  const version = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex").slice(0, 16);
  const folder = join(cache, "tools", `schemathesis-${version}`);
  const program = join(folder, "bin/schemathesis");
  const complete = join(folder, ".complete");
  if (existsSync(complete) && (await answers(program))) return program;
  await requirePython();
  rmSync(folder, { recursive: true, force: true });
  await step("Installing schemathesis (once, a minute)", async () => {
    const options = { timeout: INSTALL_LIMIT };
    await run("python3", ["-m", "venv", folder], { ...options, failure: WHY });
    await run(join(folder, "bin/pip"), ["install", "--quiet", "--no-deps", "-r", REQUIREMENTS], options);
  });
  writeFileSync(complete, "");
  return program;
}

/** Debian keeps what a virtual environment is made of in a package of its own. */
async function requirePython() {
  const test = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";
  if (!(await answers("python3", ["-c", test]))) await installPackages(["python3", "python3-venv"], WHY);
}
