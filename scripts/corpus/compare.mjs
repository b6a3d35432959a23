// Where two sides differ: versions field by field, zips file by file.

/**
 * What is not compared: where the files are had from, which is each side's own affair (the commit is compared), and the date of
 * publication, which only a registry knows.
 */
const OWN_AFFAIR = new Set(["dist", "source", "published-time", "notification-url"]);

/** A difference: `{ version, field, composer, rostrum }`; what one side lacks is `undefined`. */
export function versionDifferences(composers, ours) {
  const byVersion = (list) => new Map(list.map((version) => [version.version, version]));
  const [expected, found] = [byVersion(composers), byVersion(ours)];
  return [...new Set([...expected.keys(), ...found.keys()])].flatMap((version) => {
    const [theirs, our] = [expected.get(version), found.get(version)];
    if (theirs === undefined) return [{ version, field: "(version)", composer: undefined, rostrum: our.version }];
    if (our === undefined) return [{ version, field: "(version)", composer: version, rostrum: undefined }];
    return fieldDifferences(version, comparable(theirs), comparable(our));
  });
}

function comparable({ source, time, ...version }) {
  const fields = Object.entries(version).filter(([field]) => !OWN_AFFAIR.has(field));
  return {
    ...Object.fromEntries(fields),
    commit: source?.reference,
    // Composer's loader gives this type to a package that states none.
    type: version.type ?? "library",
    // A moment, however it is written.
    time: time === undefined ? undefined : new Date(time).toISOString(),
  };
}

function fieldDifferences(version, composer, rostrum) {
  const fields = new Set([...Object.keys(composer), ...Object.keys(rostrum)]);
  return [...fields]
    .filter((field) => canonical(composer[field]) !== canonical(rostrum[field]))
    .map((field) => ({ version, field, composer: composer[field], rostrum: rostrum[field] }));
}

/** JSON in which objects have their keys in order. */
function canonical(value) {
  const sorted = (_, one) =>
    one !== null && typeof one === "object" && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one;
  return JSON.stringify(value, sorted);
}

/** The same for the files of two zips, each `{ path: "kind sha1" }`. The one directory that all are in, if so, is cut. */
export function zipDifferences(version, archived, ours) {
  return fieldDifferences(version, belowTop(archived), belowTop(ours)).map((one) => ({ ...one, field: `zip: ${one.field}` }));
}

/** Paths without the one directory that all of them are in, if there is one. */
function belowTop(entries) {
  const tops = new Set(Object.keys(entries).map((path) => (path.includes("/") ? path.slice(0, path.indexOf("/") + 1) : "")));
  const [top] = tops;
  const cut = tops.size === 1 ? top.length : 0;
  return Object.fromEntries(Object.entries(entries).map(([path, file]) => [path.slice(cut), file]));
}
