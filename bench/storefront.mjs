// What selling costs: p2 documents of customers who bought some versions, with one customer and with ten thousand.

import { startGitHost } from "../tests/e2e/support/git-host.mjs";
import { step } from "../scripts/lib/say.mjs";
import { get } from "./load-client.mjs";
import { compare } from "./rates.mjs";
import { composerGet, insertConsumers, issueToken, register, startRegistry } from "./registry.mjs";
import { table } from "./report.mjs";
import { manyVersions } from "./repositories.mjs";

const LARGE = { name: "bench/large", versions: 500 };
const PATH = `/p2/${LARGE.name}.json`;

const CONSUMERS = 10_000;
const GRANTS = 20;
/** So many of them ask in turn: an isolate remembers 4,096 callers. */
const REGULARS = 2_000;

/** The least part of the unfiltered rate that a filtered document may come at. */
const FILTERED_TARGET = 0.7;
/** The least part of one consumer's rate that one among all the others may have: the same, but for the noise. */
const CROWD_TARGET = 0.9;

export async function storefront() {
  const host = await startGitHost();
  // Instrumented alike, so that their rates compare; a warm request does not ask what is counted.
  const [lone, crowded] = [await startRegistry({ instrumented: true }), await startRegistry({ instrumented: true })];
  try {
    await step(`Syncing a package of ${LARGE.versions} versions, twice`, async () => {
      manyVersions(host, LARGE.name, LARGE.versions);
      for (const registry of [lone, crowded]) await register(registry, host.urlOf(LARGE.name));
    });
    const [one] = await insertConsumers(lone, 1, () => [bought(LARGE.name)]);
    const crowd = await step(`Adding ${CONSUMERS} consumers with ${GRANTS} grants each`, () =>
      insertConsumers(crowded, CONSUMERS, grantsOf),
    );
    const calls = await countCalls([lone, one], [crowded, crowd[CONSUMERS / 2]]);
    return [...calls, ...(await compare(await scenarios(lone, one, crowded, crowd), "whole"))];
  } finally {
    await lone.stop();
    await crowded.stop();
    await host.stop();
  }
}

const bought = (target) => ({ target, version_constraint: "5.*" });

/** What the consumer at `at` bought; each paid for updates until a day of their own. */
function grantsOf(at) {
  const others = Array.from({ length: GRANTS - 1 }, (_, nth) => bought(`bench/other-${(at + nth) % 1000}`));
  return [...others, { ...bought(LARGE.name), updates_until: Date.UTC(2030, 0, 1) + at * 1000 }];
}

/** What a consumer's first request and the next one ask the database, in the two registries. */
async function countCalls(...pairs) {
  const lines = [];
  for (const [registry, consumer] of pairs) {
    const counted = [];
    for (const path of [PATH, PATH, "/packages.json", "/list.json"]) {
      const before = await registry.calls();
      await composerGet(registry, path, consumer);
      const after = await registry.calls();
      counted.push(after.statements - before.statements);
    }
    lines.push(counted.map(String));
  }
  const [few, many] = lines;
  table(
    ["D1 statements of", "first p2", "second p2", "packages.json", "list.json"],
    [["one consumer", ...few], [`one of ${CONSUMERS}`, ...many]],
  );
  const ok = few.join() === many.join() && few[1] === "0";
  return [{ ok, text: `${CONSUMERS} consumers with ${GRANTS} grants: as many D1 statements as with one consumer` }];
}

async function scenarios(lone, one, crowded, crowd) {
  const token = await issueToken(lone);
  const whole = await composerGet(lone, PATH, { token });
  const filtered = await composerGet(lone, PATH, one);
  const bytes = ({ text }) => `${(text.length / 1000).toFixed(1)} kB`;
  const [port, crowdedPort] = [await lone.portOf(), await crowded.portOf()];
  const regulars = crowd.slice(0, REGULARS);
  const rows = [
    { key: "whole", title: `all ${LARGE.versions} versions, ${bytes(whole)}`, requests: [get(PATH, { token })] },
    {
      key: "one",
      title: `one consumer, one grant of 5.*, ${bytes(filtered)}`,
      requests: [get(PATH, one)],
      base: "whole",
      target: FILTERED_TARGET,
    },
    {
      key: "among",
      title: `one of ${CONSUMERS}, ${GRANTS} grants`,
      port: crowdedPort,
      requests: [get(PATH, crowd[0])],
      base: "one",
      target: CROWD_TARGET,
    },
    {
      key: "regulars",
      title: `${REGULARS} of ${CONSUMERS} in turn, ${GRANTS} grants`,
      port: crowdedPort,
      requests: regulars.map((consumer) => get(PATH, consumer)),
      base: "one",
      disturbs: true,
    },
    {
      key: "first",
      title: `each asks once, ${GRANTS} grants`,
      port: crowdedPort,
      requests: crowd.slice(REGULARS).map((consumer) => get(PATH, consumer)),
      once: true,
      disturbs: true,
    },
  ];
  return rows.map((row) => ({ port, status: 200, ...row }));
}
