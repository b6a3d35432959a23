// What a script tells the person in front of it: progress lines, and one sentence when it cannot go on.

/** The reason a script stops, in one sentence that says what to do about it. */
export class Stop extends Error {}

/** A progress line. */
export function say(line) {
  console.log(`» ${line}`);
}

/** Says what is being done, does it, and says how long it took when that was worth noticing. */
export async function step(line, work) {
  const begun = Date.now();
  say(`${line} …`);
  const result = await work();
  const seconds = (Date.now() - begun) / 1000;
  if (seconds > 3) say(`${line}: done in ${seconds.toFixed(0)} s`);
  return result;
}

/** Runs a script's body; a `Stop` becomes its sentence, anything else a stack trace, both a non-zero exit. */
export async function main(body) {
  try {
    if (process.platform === "win32") throw new Stop("Rostrum is built on Linux and macOS: on Windows, use WSL.");
    await body();
  } catch (error) {
    console.error(error instanceof Stop ? `✗ ${error.message}` : error);
    process.exit(1);
  }
}
