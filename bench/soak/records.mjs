// What became of every request of a soak: counted by kind, with what should not have happened.

/** No request may take longer, in milliseconds: 10 s. */
export const SLOWEST = 10_000;

/** How many of the things that went wrong are shown. */
const SHOWN = 10;

export function createRecords() {
  /** Kind → `{ statuses, slowest }`. */
  const kinds = new Map();
  const wrong = [];
  let wrongs = 0;
  const tell = (text) => {
    wrongs += 1;
    if (wrong.length < SHOWN) wrong.push(text);
  };
  const of = (kind) => {
    if (!kinds.has(kind)) kinds.set(kind, { statuses: {}, slowest: 0 });
    return kinds.get(kind);
  };
  return {
    /** Notes an answer, or with a `status` that is no number, what came in its place. `expected` are the statuses that are right. */
    note(kind, { method, path, status, milliseconds, expected, text }) {
      const entry = of(kind);
      entry.statuses[status] = (entry.statuses[status] ?? 0) + 1;
      entry.slowest = Math.max(entry.slowest, milliseconds);
      if (!expected.includes(status)) tell(`${kind}: ${method} ${path} was answered ${status}: ${text.slice(0, 200)}`);
    },
    /** Notes that something is wrong that no status tells. */
    tell,
    /** Rows of a table: kind, requests, statuses, slowest. */
    rows: () =>
      [...kinds].sort().map(([kind, { statuses, slowest }]) => {
        const count = Object.values(statuses).reduce((sum, each) => sum + each, 0);
        const list = Object.entries(statuses).map(([status, times]) => `${status} × ${times}`);
        return [kind, String(count), list.join(", "), `${slowest.toFixed(0)} ms`];
      }),
    /** Whether everything that was noted is right, for requests of the kind `what`. */
    rightness: (what) => ({
      ok: wrongs === 0,
      text: [`${wrongs} ${what} that went wrong, wanted none`, ...wrong].join("\n          "),
    }),
    /** What the soak promises of requests besides: `{ ok, text }` each. */
    verdicts() {
      const all = [...kinds.values()];
      const counts = all.flatMap(({ statuses }) => Object.entries(statuses));
      const count = (is) => counts.reduce((sum, [status, times]) => sum + (is(status) ? times : 0), 0);
      const requests = count(() => true);
      const errors = count((status) => Number(status) >= 500);
      const slowest = Math.max(...all.map((entry) => entry.slowest));
      return [
        { ok: requests > 0, text: `${requests} requests` },
        { ok: errors === 0, text: `${errors} answers of 5xx, wanted none` },
        { ok: slowest <= SLOWEST, text: `the slowest request took ${slowest.toFixed(0)} ms, wanted at most ${SLOWEST} ms` },
      ];
    },
  };
}
