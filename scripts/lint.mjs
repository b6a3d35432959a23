// `npm run lint`: formatting, clippy with warnings as errors, and the scripts' syntax.

import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { root } from "./lib/paths.mjs";
import { attempt } from "./lib/run.mjs";
import { Stop, main, step } from "./lib/say.mjs";
import { requireRust } from "./lib/toolchain.mjs";

const CLIPPY = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];

await main(async () => {
  await requireRust();
  const failed = [];
  const check = (line, program, args, env = {}) =>
    step(line, async () => {
      const { code, stdout, stderr } = await attempt(program, args, { env: { ...process.env, ...env } });
      if (code !== 0) failed.push(line);
      if (code !== 0) process.stderr.write(stdout + stderr);
    });
  await check("Formatting", "cargo", ["fmt", "--all", "--check"]);
  await check("Clippy", "cargo", CLIPPY);
  // The Cloudflare room exists only for wasm; this cfg brings it in natively, where clippy always works.
  const native = { RUSTFLAGS: "--cfg lint_cloudflare", CARGO_TARGET_DIR: join(root, "target/lint-cloudflare") };
  await check("Clippy on the Cloudflare room", "cargo", CLIPPY, native);
  await step("Syntax of the scripts", async () => {
    for (const file of scripts()) {
      const { code, stderr } = await attempt(process.execPath, ["--check", file]);
      if (code !== 0) failed.push(relative(root, file));
      if (code !== 0) process.stderr.write(stderr);
    }
  });
  if (failed.length > 0) throw new Stop(`Not clean: ${failed.join(", ")}.`);
});

function scripts() {
  return ["scripts", "tests", "bench"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => name.endsWith(".mjs"))
      .map((name) => join(root, folder, name)),
  );
}
