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
    /** What the soak promises of its requests: `{ ok, text }` each. */
    verdicts() {
      const all = [...kinds.values()];
      const count = (is) =>
        all.flatMap(({ statuses }) => Object.entries(statuses)).reduce((sum, [status, times]) => sum + (is(status) ? times : 0), 0);
      const errors = count((status) => Number(status) >= 500);
      const slowest = Math.max(...all.map((entry) => entry.slowest));
      return [
        { ok: count(() => true) > 0, text: `${count(() => true)} requests` },
        { ok: errors === 0, text: `${errors} answers of 5xx, wanted none` },
        { ok: wrongs === 0, text: [`${wrongs} answers that were not the right ones, wanted none`, ...wrong].join("\n          ") },
        { ok: slowest <= SLOWEST, text: `the slowest request took ${slowest.toFixed(0)} ms, wanted at most ${SLOWEST} ms` },
      ];
    },
  };
}
