// Puts the functions of a wasm next to those that look like them. gzip looks back 32 KiB: what repeats itself within is
// written once. The order of the linker knows nothing of that, and a better one makes the whole 4 % smaller.
//
// binaryen sorts functions by name. So each is named here by its place, and wasm-opt does the rest.

/** How many bytes make a piece; two functions are alike when they have many pieces in common. */
const PIECE = 6;
/** A piece that more functions have tells nothing. */
const MOST_OWNERS = 150;
/** How many bytes back a function finds its likes: a little less than gzip looks. */
const WINDOW = 30_000;
/** Between 0, by which the longest function that has anything in common comes next, and 1: the one with the largest share. */
const SHARE = 0.6;

const CUSTOM = 0;
const IMPORT = 2;
const CODE = 10;
/** Kinds of imports. */
const [FUNCTION, TABLE, MEMORY, GLOBAL, TAG] = [0, 1, 2, 3, 4];

/** `wasm`, its functions named in the order in which they should stand. Loses the names that they have. */
export function named(wasm) {
  const sections = sectionsOf(wasm);
  const code = sections.find(({ id }) => id === CODE);
  const imports = importedFunctions(wasm, sections);
  const place = [];
  orderOf(bodiesOf(wasm, code.start)).forEach((index, rank) => (place[index] = rank));
  const names = place.map((rank, index) => [...leb(imports + index), ...text(String(rank).padStart(6, "0"))]);
  const map = [...leb(names.length), ...names.flat()];
  const section = [...text("name"), 1, ...leb(map.length), ...map];
  const kept = sections.filter(({ id, start }) => id !== CUSTOM || textAt(wasm, start) !== "name");
  const parts = kept.map(({ from, end }) => wasm.subarray(from, end));
  return Buffer.concat([wasm.subarray(0, 8), ...parts, Buffer.from([CUSTOM, ...leb(section.length), ...section])]);
}

/** The functions, by their indices: each time the one that has most in common with those that were just put down. */
function orderOf(bodies) {
  const { pieces, owners } = piecesOf(bodies);
  const common = new Float64Array(bodies.length);
  const seen = new Map();
  const left = new Set(bodies.keys());
  const order = [];
  let [first, bytes] = [0, 0];
  const count = (index, step) => {
    for (const piece of pieces[index]) {
      const before = seen.get(piece) ?? 0;
      seen.set(piece, before + step);
      // It counts once, however many functions of the window have it.
      if (before === 0 || before + step === 0) for (const owner of owners.get(piece)) common[owner] += step;
    }
    bytes += step * bodies[index].length;
  };
  while (left.size > 0) {
    let [best, most] = [-1, -1];
    for (const index of left) {
      const score = common[index] / bodies[index].length ** SHARE;
      if (score > most) [best, most] = [index, score];
    }
    left.delete(best);
    order.push(best);
    count(best, 1);
    while (bytes > WINDOW && first < order.length - 1) count(order[first++], -1);
  }
  return order;
}

/** The pieces of each function that tell something, as hashes, and of each piece the functions that have it. */
function piecesOf(bodies) {
  const owners = new Map();
  const all = bodies.map((body, index) => {
    const pieces = new Set();
    for (let at = 0; at + PIECE <= body.length; at++) {
      let hash = 0;
      for (let next = at; next < at + PIECE; next++) hash = Math.imul(hash, 0x01000193) ^ body[next];
      pieces.add(hash);
    }
    for (const piece of pieces) {
      const having = owners.get(piece);
      if (having === undefined) owners.set(piece, [index]);
      else having.push(index);
    }
    return pieces;
  });
  const tells = (piece) => owners.get(piece).length > 1 && owners.get(piece).length <= MOST_OWNERS;
  return { pieces: all.map((pieces) => [...pieces].filter(tells)), owners };
}

// ------------------------------------------------------------------------------------------------ the format

/** The sections: where each begins with its head, where its content begins, where it ends. */
function sectionsOf(wasm) {
  const sections = [];
  for (let from = 8; from < wasm.length; ) {
    const [size, start] = number(wasm, from + 1);
    sections.push({ id: wasm[from], from, start, end: start + size });
    from = start + size;
  }
  return sections;
}

function bodiesOf(wasm, start) {
  let [count, at] = number(wasm, start);
  const bodies = [];
  while (count-- > 0) {
    const [size, body] = number(wasm, at);
    at = body + size;
    bodies.push(wasm.subarray(body, at));
  }
  return bodies;
}

/** How many functions are imported; theirs are the first indices. */
function importedFunctions(wasm, sections) {
  const section = sections.find(({ id }) => id === IMPORT);
  if (section === undefined) return 0;
  let [count, at] = number(wasm, section.start);
  let functions = 0;
  const skip = () => ([, at] = number(wasm, at));
  const skipText = () => {
    const [length, start] = number(wasm, at);
    at = start + length;
  };
  while (count-- > 0) {
    skipText();
    skipText();
    const kind = wasm[at++];
    if (kind === FUNCTION) functions++;
    // A table and a global say of what type they are before anything else, a tag after it.
    if (kind !== MEMORY) skip();
    if (kind === GLOBAL) at++;
    if (kind === TAG) skip();
    if (kind === TABLE || kind === MEMORY) {
      const hasMaximum = wasm[at++] & 1;
      skip();
      if (hasMaximum) skip();
    }
  }
  return functions;
}

function number(wasm, at) {
  let [value, shift, byte] = [0, 0, 0];
  do {
    byte = wasm[at++];
    value |= (byte & 127) << shift;
    shift += 7;
  } while (byte > 127);
  return [value >>> 0, at];
}

function leb(value) {
  const bytes = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

function text(string) {
  return [...leb(string.length), ...Buffer.from(string)];
}

function textAt(wasm, at) {
  const [length, start] = number(wasm, at);
  return wasm.subarray(start, start + length).toString();
}
