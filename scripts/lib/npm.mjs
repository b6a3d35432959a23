// The project's npm packages, installed whenever they are not what package-lock.json says.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.mjs";
import { run } from "./run.mjs";
import { step } from "./say.mjs";

/** Makes node_modules match the lock file. Only after this may a script import a package. */
export async function ensurePackages() {
  const lock = createHash("sha256").update(readFileSync(join(root, "package-lock.json"))).digest("hex");
  const stamp = join(root, "node_modules", ".rostrum-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  await step("Installing the npm packages", async () => {
    // None of them needs its install script; leaving them out keeps the set-up the same everywhere.
    await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    writeFileSync(stamp, lock);
  });
}
