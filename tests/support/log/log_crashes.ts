/**
 * log_crashes.ts: a log that is opened, appended to, and cut off from power, again and again. Of
 * what was not flushed, any sector may have reached the disk. Wrong ways to keep a log, the
 * canaries, are found by the same check.
 *
 * @module
 */

import type { Prng } from "../prng.ts";
import { LogDisk, scanRecords } from "./log_disk.ts";
import { type LogShape, ModelLog, type ModelRecord } from "./log_model.ts";

/** A wrong way to keep a log. */
export type Canary = "no number of the opening" | "acknowledged before the flush" | "none";

const SECTOR_BYTES = 512;
const OPENINGS = 5;
/** Some fill a sector, so that one often ends where another one had. */
const LENGTHS = [0, 1, 100, 488, 488, 488, 1000, 1512];

function isSame(one: ModelRecord, other: ModelRecord | undefined): boolean {
  return other !== undefined && one.position === other.position &&
    one.data.length === other.data.length && one.data.every((byte, i) => byte === other.data[i]);
}

/** No two are equal, but all have equal ends: a torn one may be made whole by another's sector. */
function alikeData(length: number, prng: Prng): Uint8Array {
  const data = new Uint8Array(length).fill(1);
  data.set(prng.bytes(Math.min(8, length)));
  return data;
}

/** Writes each sector, or not. */
function tear(prng: Prng, disk: LogDisk, from: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    const length = SECTOR_BYTES - (from + done) % SECTOR_BYTES;
    if (prng.chance(1, 2)) disk.write(from + done, bytes.subarray(done, done + length));
    done += length;
  }
}

/** One log through several crashes. */
class CrashingLog {
  readonly #prng: Prng;
  readonly #canary: Canary;
  readonly #shape: LogShape = { segmentBytes: 65536, identity: [1, 2] };
  readonly #disk = new LogDisk(65536, 3);
  readonly #from: number;
  /** The newest opening: its number, and where it began. */
  #newest: readonly [number, number];
  /** What was appended, of which the first ones are acknowledged. */
  #appended: readonly ModelRecord[] = [];
  #acknowledged = 0;

  constructor(prng: Prng, canary: Canary) {
    this.#prng = prng;
    this.#canary = canary;
    this.#from = 65536 - 8 * prng.between(4, 800);
    this.#newest = [1, this.#from];
  }

  /** @returns what is wrong, or null */
  run(): string | null {
    for (let opening = 1; opening <= OPENINGS; opening++) {
      const number = this.#canary === "no number of the opening" ? 1 : opening;
      const { records, result, damage } = scanRecords(this.#disk, this.#shape, {
        from: this.#from,
        newestOpening: this.#newest[0],
        newestFrom: this.#newest[1],
        searchBytes: 16384,
      });
      if (result === null) return `lost or damaged: ${damage}`;
      if (records.length < this.#acknowledged) return "lost";
      if (!records.every((one, i) => isSame(one, this.#appended[i]))) return "invented";
      this.#appended = records;
      this.#acknowledged = records.length;
      this.#newest = [number, result.end];
      this.#append(result.end, number);
    }
    return null;
  }

  /** A few batches; the power is cut within one. */
  #append(from: number, opening: number): void {
    const model = new ModelLog(this.#shape, from);
    let durable = from;
    for (let batch = this.#prng.below(4); batch > 0; batch--) {
      this.#add(model, opening, durable);
      this.#disk.write(from, model.bytes());
      durable = model.end;
      this.#appended = [...this.#appended, ...model.records.splice(0)];
      this.#acknowledged = this.#appended.length;
    }
    this.#add(model, opening, durable);
    tear(this.#prng, this.#disk, durable, model.bytes().subarray(durable - from));
    this.#appended = [...this.#appended, ...model.records];
    const isEarly = this.#canary === "acknowledged before the flush";
    if (isEarly) this.#acknowledged = this.#appended.length;
  }

  #add(model: ModelLog, opening: number, durable: number): void {
    const prng = this.#prng;
    for (let record = prng.below(6); record > 0; record--) {
      const length = prng.pick(LENGTHS);
      // A thread died, and left a place that was filled.
      if (prng.chance(1, 8)) model.addFragment(5, new Uint8Array(8), opening, durable);
      else model.append(alikeData(length, prng), opening, durable);
    }
  }
}

/** What is wrong with a log after crashes; null if nothing is. */
export function crashLog(prng: Prng, canary: Canary = "none"): string | null {
  return new CrashingLog(prng, canary).run();
}
