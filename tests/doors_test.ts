/**
 * doors_test.ts: the doors for users are narrow, show nothing of the machinery, and begin with what
 * a new user wants. Beside each rule that could pass by finding nothing stands a canary.
 *
 * @module
 */

import { assert, assertEquals, assertLess } from "@std/assert";
import { AioCore, AioHandle, ResourceOwner } from "../core/mod.ts";
import * as inside from "../core/inside.ts";
import { Aio, AioFile, OpenFile } from "../mod.ts";
import * as rules from "./support/house/doors.ts";
import { runChild, tempDir } from "./support/temp.ts";

const root = (path: string) => new URL(`../${path}`, import.meta.url);

/** Each door, and how many names it may have. */
const NAMES_MAX = {
  "mod.ts": 75,
  "core/mod.ts": 85,
  "methods/mod.ts": 15,
  "testing/mod.ts": 15,
} as const;
/** `deno doc mod.ts`, which a new user reads, has fewer lines. */
const LINES_MAX = 2400;
/** The names that storage takes from the core beside those of users are fewer. */
const INSIDE_MAX = 80;

type DoorPath = keyof typeof NAMES_MAX;
const PATHS = Object.keys(NAMES_MAX) as DoorPath[];

const DOORS = new Map(
  await Promise.all(
    PATHS.map(async (path) => [path, await rules.readDoor(root(path).href)] as const),
  ),
);

function nameIn(path: DoorPath, name: string): rules.ShownName {
  const shown = DOORS.get(path)!.names.find((one) => one.name === name);
  if (shown === undefined) throw new Error(`${path} does not export ${name}`);
  return shown;
}

/** The door of a made-up module. */
async function sampleDoor(text: string): Promise<rules.Door> {
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("mod.ts"), text);
  return await rules.readDoor(dir.join("mod.ts"));
}

for (const path of PATHS) {
  const door = DOORS.get(path)!;

  Deno.test(`doors: ${path} has few names`, () => {
    assertEquals(rules.findTooMany(door, NAMES_MAX[path]), []);
  });

  Deno.test(`doors: ${path} shows nothing of the machinery`, () => {
    assertEquals(rules.findMachinery(door), []);
  });

  Deno.test(`doors: ${path} describes all parameters of a call or none, a line for each tag`, () => {
    assertEquals(rules.findSqueezed(door), []);
  });
}

Deno.test("doors canary: too many names, machinery and squeezed comments are found", async () => {
  const door = await sampleDoor(`
    /** Adds. @param a one; @param b two */
    export function add(a: number, b: number): number { return a + b; }
    /** A box. */
    export class Box {
      /** Made by the core, not by users. */
      constructor() {}
      /**
       * Puts.
       *
       * @param what what
       */
      put(what: string, where = 1): void { void [what, where]; }
      /**
       * Takes.
       *
       * @internal
       */
      take(): void {}
    }
  `);
  assertEquals(rules.findTooMany(door, 1), ["2 names, at most 1"]);
  assertEquals(rules.findTooMany(door, 2), []);
  assertEquals(rules.findMachinery(door).map((line) => line.trim()), [
    "Made by the core, not by users.",
    "@internal",
  ]);
  assertEquals(rules.findSqueezed(door), ["add: a tag in a line", "Box.put: nothing of where"]);
});

Deno.test("doors: deno doc mod.ts begins with Aio and AioFile, and is not long", () => {
  const { text } = DOORS.get("mod.ts")!;
  const firstOf = (pattern: RegExp) => text.search(pattern);
  const [first] = /^(?:function|const|class|interface|type) \w+/m.exec(text) ?? [];
  assertEquals(first, "class Aio");
  assert(firstOf(/^class AioFile /m) > 0);
  assertLess(firstOf(/^class AioFile /m), firstOf(/^interface /m));
  assertLess(text.split("\n").length, LINES_MAX);
});

Deno.test("doors: an Aio and a file have no member that is not shown", () => {
  assertEquals(rules.findHidden(Aio.prototype, nameIn("mod.ts", "Aio")), []);
  assertEquals(rules.findHidden(AioFile.prototype, nameIn("mod.ts", "AioFile")), []);
  assertEquals(rules.findHidden(OpenFile.prototype, nameIn("mod.ts", "OpenFile")), []);
  assertEquals(rules.findHidden(AioCore.prototype, nameIn("core/mod.ts", "AioCore")), []);
});

Deno.test("doors canary: a member that is not shown is found", () => {
  // Users do not see what a backend does with an owner; it is public as each IO needs it.
  const hidden = rules.findHidden(ResourceOwner.prototype, nameIn("core/mod.ts", "ResourceOwner"));
  assertEquals(hidden, ["remember", "forget"]);
});

Deno.test("doors: what users do not make has no constructor for them", () => {
  const made = [["mod.ts", "Aio"], ["mod.ts", "AioFile"], ["core/mod.ts", AioHandle.name]] as const;
  for (const [path, name] of made) {
    const { members } = nameIn(path, name);
    assertEquals(members.filter((member) => member.name === "constructor"), [], name);
  }
});

Deno.test("doors: every option says its default, range, unit and which methods heed it", () => {
  for (const name of ["AioOptions", "WorkerPoolOptions", "LibraryPaths"]) {
    assertEquals(rules.findVagueOptions(nameIn("mod.ts", name), true), [], name);
  }
  assertEquals(rules.findVagueOptions(nameIn("mod.ts", "OpenFileOptions"), false), []);
});

Deno.test("doors canary: an option that lacks a word is found", async () => {
  const { names } = await sampleDoor(`
    /** Options. */
    export interface Options {
      /** Good. Default: 1. Range: 1..2 ms. Methods: all. */
      good?: number;
      /** No unit. Default: 1. Range: 1..2. Methods: all. */
      unit?: number;
      /** No range. Default: 1 ms. Methods: all. */
      range?: number;
      /** Nothing. */
      none?: string;
    }
  `);
  assertEquals(rules.findVagueOptions(names[0]!, true), [
    "unit: no unit",
    "range: no range",
    "range: no unit",
    "none: no default",
    "none: no methods",
  ]);
  assertEquals(rules.findVagueOptions(names[0]!, false), ["range: no range", "none: no default"]);
});

Deno.test("doors: every type that a door shows is exported by one, and has a comment", async () => {
  const { code, stderr } = await runChild([
    "doc",
    "--lint",
    ...PATHS.map((path) => root(path).href),
  ]);
  assertEquals(code, 0, stderr);
});

Deno.test("doors: core/inside.ts is short enough to read", async () => {
  const paths = ["core/inside.ts", "core/inside_layers.ts"];
  const text = (await Promise.all(paths.map((path) => Deno.readTextFile(root(path))))).join();
  const lists = [...text.matchAll(/\{([^}]*)\}|\* as (\w+)/g)];
  const names = lists.flatMap(([, list, name]) => name ?? list!.split(","))
    .map((name) => name.replace("type ", "").trim()).filter((name) => name !== "");
  for (const name of Object.keys(inside)) assert(names.includes(name), name);
  assertLess(names.length, INSIDE_MAX);
});
