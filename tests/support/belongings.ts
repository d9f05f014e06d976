/**
 * belongings.ts: what a program has taken of the system and of an Aio, to be the same again at the
 * end.
 *
 * @module
 */

import { backendOf } from "../../core/inside.ts";
import type { Aio } from "../../mod.ts";
import { hangs } from "./patience.ts";

const LOOK_AGAIN_MS = 10;
/** Looks in a row that find the same, until it is taken for quiet. */
const QUIET_LOOKS = 50;

/** What is counted of an Aio. */
export interface AioBelongings {
  readonly idleHandles: number;
  readonly ios: number;
  readonly backends: number;
  readonly freeArenaBytes: number;
  readonly openFiles: number;
}

/** The same, and what is counted of the system: 0 where that does not tell. */
export interface Belongings extends AioBelongings {
  readonly descriptors: number;
  readonly threads: number;
}

/** What is open in this process, on Linux: the paths that its descriptors lead to. */
export function openDescriptors(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`);
    } catch {
      return ""; // That of the listing itself, closed by now.
    }
  });
}

/** Counts what an Aio has. */
export function aioBelongingsOf(aio: Aio): AioBelongings {
  return {
    idleHandles: backendOf(aio).idleCount,
    ios: aio.ios().length,
    backends: aio.backends().length,
    freeArenaBytes: backendOf(aio).arena.freeBytes,
    openFiles: backendOf(aio).files.count,
  };
}

/**
 * Threads of this process but those of Deno's pool, which ends one that had nothing to do for 10 s,
 * and starts one when it likes.
 */
export function countThreads(): number {
  return [...Deno.readDirSync("/proc/self/task")].filter(({ name }) => {
    try {
      return !Deno.readTextFileSync(`/proc/self/task/${name}/comm`).startsWith("tokio-");
    } catch {
      return false; // It has ended meanwhile.
    }
  }).length;
}

/** Counts. */
export function belongingsOf(aio: Aio): Belongings {
  const isLinux = Deno.build.os === "linux";
  return {
    ...aioBelongingsOf(aio),
    descriptors: isLinux ? openDescriptors().length : 0,
    threads: isLinux ? countThreads() : 0,
  };
}

/** Counts once Workers that were ended are gone with all they had, which takes them a moment. */
export async function quietBelongings(aio: Aio): Promise<Belongings> {
  const isHanging = hangs();
  let now = belongingsOf(aio);
  for (let same = 0; same < QUIET_LOOKS && !isHanging(); same++) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    const next = belongingsOf(aio);
    if (JSON.stringify(next) !== JSON.stringify(now)) same = 0;
    now = next;
  }
  return now;
}

/**
 * Waits until everything is back, with no more descriptors and threads than before: Deno's own come
 * and go.
 *
 * @returns what differs still, such as `ios: 2 instead of 0`
 */
export async function missingBelongings(aio: Aio, before: Belongings): Promise<string[]> {
  for (const isHanging = hangs();;) {
    const missing = differences(belongingsOf(aio), before);
    if (missing.length === 0 || isHanging()) return missing;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

function differences(now: Belongings, before: Belongings): string[] {
  const names = Object.keys(before) as (keyof Belongings)[];
  return names
    .filter((name) =>
      name === "descriptors" || name === "threads"
        ? now[name] > before[name]
        : now[name] !== before[name]
    )
    .map((name) => `${name}: ${now[name]} instead of ${before[name]}`);
}

/** How many contexts of native AIO this process has, by their mappings. */
export function countNativeAio(): number {
  const mappings = Deno.readTextFileSync("/proc/self/maps").split("\n");
  return mappings.filter((line) => line.includes("/[aio]")).length;
}
