// Packages of the operating system, where they can be had without asking anybody: Debian and its kin, as root
// or with a password-less sudo.

import { attempt, answers, run } from "./run.mjs";
import { Stop, step } from "./say.mjs";

let listsUpdated = false;

/** The command that installs Debian packages here, or `null`. */
async function apt() {
  if (process.platform !== "linux" || !(await answers("apt-get"))) return null;
  if (process.getuid?.() === 0) return [];
  return (await answers("sudo", ["-n", "true"])) ? ["sudo", "-n"] : null;
}

/** Installs Debian `packages`; stops with one sentence where that is not possible. `why` completes "… is missing: ". */
export async function installPackages(packages, why) {
  const prefix = await apt();
  if (prefix === null) throw new Stop(why);
  const call = (...args) => {
    const [program, ...rest] = [...prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", ...args];
    return run(program, rest);
  };
  await step(`Installing Debian packages: ${packages.join(" ")}`, async () => {
    if (!listsUpdated) await call("update", "-q");
    listsUpdated = true;
    await call("install", "-y", "-q", "--no-install-recommends", ...packages);
  });
}

/** Whether Debian's package lists know all of `packages`. */
export async function packagesExist(packages) {
  if ((await apt()) === null) return false;
  return (await attempt("apt-cache", ["show", "--no-all-versions", ...packages])).code === 0;
}
