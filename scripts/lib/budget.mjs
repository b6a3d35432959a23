// What the Worker weighs, and what it may weigh.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "./paths.mjs";

/**
 * 2.5 MiB gzipped. The reason is start-up, not permission: whoever meets a new isolate waits until it has loaded and
 * compiled the wasm. Cloudflare itself would take several times as much.
 */
const BUDGET = 2.5 * 1024 * 1024;

/** The size of the built wasm beside its budget: `{ ok, text }`. It is gzipped as Cloudflare counts it. */
export function weigh() {
  const wasm = readFileSync(join(build, "index_bg.wasm"));
  const packed = gzipSync(wasm, { level: 9 }).length;
  const kib = (bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
  const text = `wasm: ${kib(packed)} gzipped (${kib(wasm.length)} as it is), wanted at most ${kib(BUDGET)}`;
  return { ok: packed <= BUDGET, text };
}
