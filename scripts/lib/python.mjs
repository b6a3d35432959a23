// Programs from Python's package index that the tests run, each installed once per version into the cache.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cache, root } from "./paths.mjs";
import { answers, run } from "./run.mjs";
import { step } from "./say.mjs";
import { installPackages } from "./system.mjs";

/** Whatever hangs, installing ends after 10 min. */
const INSTALL_LIMIT = 10 * 60_000;

const WHY = "The API tests need Python 3.10 or later with venv: install python3 and python3-venv and try again.";

/** Schemathesis, which fuzzes the API by its document. */
export const schemathesis = () => installed("schemathesis", "schemathesis.txt", "schemathesis");

/** What generates clients of the API from its document. */
export const openapiGenerator = () => installed("openapi-generator", "openapi-generator.txt", "openapi-generator-cli");

/** A program, installed on the first call; scripts/`list` has what it is made of, each in exactly one version. */
async function installed(name, list, program) {
  const requirements = join(root, "scripts", list);
  const version = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 16);
  const folder = join(cache, "tools", `${name}-${version}`);
  const path = join(folder, "bin", program);
  const complete = join(folder, ".complete");
  if (existsSync(complete) && existsSync(path)) return path;
  await requirePython();
  rmSync(folder, { recursive: true, force: true });
  await step(`Installing ${name} (once, a minute)`, async () => {
    const options = { timeout: INSTALL_LIMIT };
    await run("python3", ["-m", "venv", folder], { ...options, failure: WHY });
    await run(join(folder, "bin/pip"), ["install", "--quiet", "--no-deps", "-r", requirements], options);
  });
  writeFileSync(complete, "");
  return path;
}

/** Debian keeps what a virtual environment is made of in a package of its own. */
async function requirePython() {
  const test = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";
  if (!(await answers("python3", ["-c", test]))) await installPackages(["python3", "python3-venv"], WHY);
}
