// The build puts functions of the wasm next to those that look like them (scripts/lib/order.mjs).

import assert from "node:assert/strict";
import { test } from "node:test";
import { named } from "../../scripts/lib/order.mjs";

const text = (string) => [string.length, ...Buffer.from(string)];

/** A section, its length in the two bytes that the longest of these needs. */
const section = (id, ...content) => {
  const bytes = content.flat();
  return [id, (bytes.length & 127) | 128, bytes.length >> 7, ...bytes];
};

/** A module with `bodies` as functions, behind imports of every kind, of which `functions` are functions. */
function moduleOf(bodies, functions) {
  const imports = [
    [...text("m"), ...text("table"), 1, 0x70, 1, 1, 2],
    [...text("m"), ...text("memory"), 2, 0, 1],
    [...text("m"), ...text("global"), 3, 0x7f, 0],
    ...Array.from({ length: functions }, (_, index) => [...text("m"), ...text(`f${index}`), 0, 0]),
  ];
  return Buffer.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(0, text("name"), text("m")),
    ...section(1, [1, 0x60, 0, 0]),
    ...section(2, [imports.length], imports.flat()),
    ...section(3, [bodies.length], bodies.map(() => 0)),
    ...section(10, [bodies.length], bodies.flatMap((body) => [body.length, ...body])),
  ]);
}

/** A function that drops `constants`, one after the other. */
const dropping = (constants) => [0, ...constants.flatMap((constant) => [0x41, constant, 0x1a]), 0x0b];

/** What the one section of names says: index → name. */
function namesOf(wasm) {
  const sections = WebAssembly.Module.customSections(new WebAssembly.Module(wasm), "name");
  assert.equal(sections.length, 1);
  const bytes = Buffer.from(sections[0]);
  assert.equal(bytes[0], 1);
  const names = new Map();
  for (let at = 3; at < bytes.length; at += 2 + bytes[at + 1]) {
    names.set(bytes[at], bytes.toString("latin1", at + 2, at + 2 + bytes[at + 1]));
  }
  return names;
}

test("functions that look alike get places next to each other, whatever is imported", () => {
  const families = [[1, 2, 3, 4, 5, 6], [11, 12, 13, 14, 15, 16], [21, 22, 23, 24, 25, 26]];
  const bodies = Array.from({ length: 9 }, (_, index) => dropping([...families[index % 3], 30 + index]));
  for (const functions of [0, 2]) {
    const names = namesOf(named(moduleOf(bodies, functions)));
    assert.deepEqual([...names.keys()], bodies.map((_, index) => functions + index));
    assert.deepEqual([...names.values()].sort(), bodies.map((_, place) => `00000${place}`));
    const inOrder = [...names].sort(([, one], [, other]) => (one < other ? -1 : 1));
    assert.equal(inOrder.map(([index]) => "abc"[(index - functions) % 3]).join("").replace(/(.)\1+/g, "$1").length, 3);
  }
});
