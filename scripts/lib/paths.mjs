// Where things are: the project, its build, and the cache that outlives a `cargo clean` and a fresh clone.

import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's root folder. */
export const root = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** The built worker: `index.js` and `index_bg.wasm`. */
export const build = join(root, "build");

/** D1 migrations, applied in the order of their names. */
export const migrations = join(root, "migrations");

/** Tools built once per version, shared by every clone on this machine. */
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "rostrum");

/** A program that npm installed for the project. */
export function npmBin(name) {
  return join(root, "node_modules", ".bin", name);
}
