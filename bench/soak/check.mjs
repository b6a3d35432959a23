// The end of a soak: whether everything that was acknowledged is there, and nothing that was acknowledged to be gone.

import { asComposer, asStranger, expand, sha1 } from "./readers.mjs";
import { pause } from "./world.mjs";

/** Says what is lost, each in a sentence. */
export async function findLost({ ask }, world) {
  const lost = [];
  const reader = asComposer({ token: await world.writer() });
  const versionsOf = async (name) => {
    const answer = await ask("check", { path: `/p2/${name}.json`, headers: reader });
    return expand(answer.body, name);
  };
  const { uploads, tags, tokens, consumers, advisories } = world.acknowledged;
  for (const [name, versions] of uploads) {
    const found = await versionsOf(name);
    for (const [version, hash] of versions) {
      const metadata = found.get(version);
      const zip = metadata && (await ask("check", { path: new URL(metadata.dist.url).pathname, headers: reader }));
      if (zip?.status !== 200 || sha1(zip.body) !== hash) lost.push(`${name} ${version}: not what was uploaded`);
    }
    const back = [...found.keys()].filter((version) => world.deleted.has(`${name} ${version}`));
    lost.push(...back.map((version) => `${name} ${version}: was deleted and is there`));
  }
  for (const [name, pushed] of tags) {
    const found = [...(await versionsOf(name)).keys()].sort();
    if (found.join() !== [...pushed].sort().join()) lost.push(`${name}: ${found} are published, ${pushed} are tagged`);
  }
  for (const [token, works] of tokens) {
    const expected = works ? 200 : 401;
    const { status } = await ask("check", { path: "/packages.json", headers: asStranger({ token }), expected: [expected] });
    if (status !== expected) lost.push(`a token that was ${works ? "issued" : "revoked"} is answered ${status}`);
  }
  for (const [id, { user, token, sees }] of consumers) {
    const path = sees === null ? "/packages.json" : `/p2/${sees}.json`;
    const expected = sees === null ? 401 : 200;
    const answer = await ask("check", { path, headers: asStranger({ user, token }), expected: [expected] });
    const isRight = answer?.status === expected && (sees === null || expand(answer.body, sees).size > 0);
    if (!isRight) lost.push(`consumer ${id}: ${path} is answered ${answer?.status}`);
  }
  for (const [id, isThere] of advisories) {
    const expected = isThere ? 200 : 404;
    const headers = { authorization: `Bearer ${world.manager}` };
    const { status } = await ask("check", { path: `/api/advisories/${id}`, headers, expected: [expected] });
    if (status !== expected) lost.push(`advisory ${id} is answered ${status}`);
  }
  return [...lost, ...(await findUntold(world))];
}

/**
 * How long it may take until the shop was told of everything, in milliseconds: 5 min. The local queue hands out one job after the
 * other, where production has ten at once.
 */
const TOLD_WITHIN = 5 * 60_000;

/** How often the cron trigger fires meanwhile, as in production: it queues again whatever is due, 200 deliveries at most. */
const CRON = 60_000;

/** What of the uploads the shop was not told. */
async function findUntold({ registry, shop, uploaded }) {
  const untold = () => [...uploaded].filter((version) => !shop.told.has(version));
  let next = 0;
  for (const end = Date.now() + TOLD_WITHIN; untold().length > 0 && Date.now() < end; await pause(1000, 1000)) {
    if (Date.now() < next) continue;
    next = Date.now() + CRON;
    await registry.runCron();
  }
  return untold().map((version) => `${version}: the shop was not told`);
}
