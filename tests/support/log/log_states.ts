/**
 * log_states.ts: very many power cuts of a small log, each looked at by the scan with which a log
 * is opened: what was acknowledged is in it, in order, and nothing that was not appended.
 *
 * A recording is of a log that is made, or of one that a power cut has left: so records that a
 * first cut tore are met by a second one. Some give up what they have: so segments are used again
 * that have whole records in them.
 *
 * @module
 */

import type { IoMethodName } from "../../../methods/mod.ts";
import type { Log, OpenLogOptions } from "../../../mod.ts";
import { CONTROL_NAME, type LogControl, parseControl } from "../../../storage/log/control_file.ts";
import { CrcSeed } from "../../../storage/log/record.ts";
import { type FragmentReader, RecordAssembler } from "../../../storage/log/record_reader.ts";
import { LogDamageError, scan, type ScanSource } from "../../../storage/log/scan.ts";
import { segmentAt, segmentName } from "../../../storage/log/segment_names.ts";
import { type CrashState, crashStates, type IoRecorder, recordIo } from "../../../testing/mod.ts";
import { Prng } from "../prng.ts";
import { BUFFER_BYTES } from "./log_fixture.ts";

/** A wrong way to keep a log. */
export type StatesCanary =
  | "acknowledged before the flush"
  | "a directory that is not flushed"
  | "a checksum without the record's position";

/** What is looked at. */
export interface StatesPlan {
  readonly method: IoMethodName;
  readonly seed: number;
  /** States in all. */
  readonly states: number;
  readonly options?: OpenLogOptions;
  /** Of one recording. Default: 20,000. */
  readonly statesEach?: number;
  readonly canary?: StatesCanary;
}

const STATES_EACH = 20_000;
/** Some fill a sector, so that one often ends where another one had. */
const LENGTHS = [8, 100, 464, 464, 464, 976, 1960];
const BATCHES_MAX = 12;
/** One opening in so many gives up what it has, before one in so many of its batches. */
const OPENINGS_A_CUT = 2;
const BATCHES_A_CUT = 2;
/** So many records of an opening at most: each has its number in its recording. */
const NUMBERS_PER_OPENING = 1000;
/** More than is ever written without a flush. */
const SEARCH_BYTES = 8192;
/** So that a log has several, within a few KiB. */
const SEGMENT_BYTES = 4096;

/** A record that tells its number and its length, with equal bytes behind. */
function numbered(number: number, length: number): Uint8Array {
  const record = new Uint8Array(length).fill(1);
  new DataView(record.buffer).setUint32(0, number);
  return record;
}

const SEGMENT_NAMES: string[] = [];

/** The bytes of a state's segments. */
class StateFiles implements ScanSource {
  readonly #files: ReadonlyMap<string, Uint8Array>;

  constructor(files: ReadonlyMap<string, Uint8Array>) {
    this.#files = files;
  }

  /** The numbers of those that are there. */
  get segments(): number[] {
    const numbers: number[] = [];
    for (const path of this.#files.keys()) {
      const number = segmentAt(path)?.number;
      if (number !== undefined && path.endsWith(".log")) numbers.push(number);
    }
    return numbers;
  }

  read(position: number, bytes: number): Uint8Array {
    const number = Math.floor(position / SEGMENT_BYTES);
    const file = this.#files.get(SEGMENT_NAMES[number] ??= `log/${segmentName(number)}`);
    const offset = position % SEGMENT_BYTES;
    return file?.subarray(offset, offset + bytes) ?? new Uint8Array();
  }
}

/** Looks at the states of recordings. */
class States {
  readonly #assembler = new RecordAssembler();
  /** Control files that were parsed: states share their bytes. */
  readonly #controls = new WeakMap<Uint8Array, LogControl>();
  #numbers: number[] = [];

  /** @returns what is wrong; null: nothing is */
  look({ files, acknowledged }: CrashState<number>): string | null {
    const bytes = files.get(`log/${CONTROL_NAME}`);
    if (bytes === undefined) return acknowledged.length === 0 ? null : "the log is gone";
    this.#numbers = [];
    try {
      this.#scan(new StateFiles(files), this.#controlOf(bytes));
    } catch (error) {
      if (error instanceof LogDamageError) return error.message;
      throw error;
    }
    const has = this.#numbers;
    const first = Math.max(0, ...acknowledged.map((number) => -number));
    // Appended in the order of their numbers, one opening after the other.
    for (let i = 1; i < has.length; i++) {
      const isNext = has[i] === has[i - 1]! + 1;
      const isNextOpening = has[i]! % NUMBERS_PER_OPENING === 0 && has[i]! > has[i - 1]!;
      if (!isNext && !isNextOpening) return `has ${has}`;
    }
    for (const number of acknowledged) {
      if (number < first || has.includes(number)) continue;
      return `${number} is lost: has ${has}; acknowledged are ${acknowledged}`;
    }
    return null;
  }

  #controlOf(bytes: Uint8Array): LogControl {
    let control = this.#controls.get(bytes);
    if (control === undefined) {
      control = parseControl(CONTROL_NAME, new TextDecoder().decode(bytes));
      this.#controls.set(bytes, control);
    }
    return control;
  }

  #scan(source: StateFiles, { identity, opening, start, durable }: LogControl): void {
    scan(source, {
      from: start,
      identity,
      segmentBytes: SEGMENT_BYTES,
      newestOpening: opening,
      newestFrom: durable,
      openingAtFrom: 0,
      cleanEnd: null,
      searchBytes: SEARCH_BYTES,
      segments: source.segments,
      visit: this.#visit,
    });
  }

  readonly #visit = (fragment: FragmentReader): void => {
    if (!this.#assembler.push(fragment)) return;
    const { data } = this.#assembler;
    this.#numbers.push(new DataView(data.buffer, data.byteOffset).getUint32(0));
  };
}

/**
 * Appends a few batches, each as one task or several, and marks what is acknowledged; and before it
 * gives something up, the first record that is kept, by its negative number.
 */
async function append(
  log: Log,
  recorder: IoRecorder<number>,
  prng: Prng,
  first: number,
  lies: boolean,
): Promise<void> {
  let next = first;
  const batches = prng.between(2, BATCHES_MAX);
  const isCut = prng.chance(1, OPENINGS_A_CUT);
  for (let batch = 0; batch < batches; batch++) {
    if (isCut && batch > 0 && prng.chance(1, BATCHES_A_CUT)) {
      recorder.mark(-next);
      await log.truncateBefore(log.flushed);
    }
    await Promise.all(Array.from({ length: prng.between(1, 3) }, async () => {
      const number = next++;
      const appended = log.append(numbered(number, prng.pick(LENGTHS)));
      if (lies) recorder.mark(number);
      await appended;
      if (!lies) recorder.mark(number);
    }));
  }
}

/** Cuts the power very often. @throws for the first state that is wrong, with its seed */
export async function lookAtStates(plan: StatesPlan): Promise<void> {
  const { crc } = CrcSeed.prototype;
  if (plan.canary === "a checksum without the record's position") {
    CrcSeed.prototype.crc = function (_position, ...rest) {
      return crc.call(this, 0, ...rest);
    };
  }
  try {
    await lookAtAll(plan);
  } finally {
    CrcSeed.prototype.crc = crc;
  }
}

async function lookAtAll(plan: StatesPlan): Promise<void> {
  const prng = new Prng(plan.seed);
  const states = new States();
  let before: Before | null = null;
  for (let done = 0; done < plan.states;) {
    const count = Math.min(plan.statesEach ?? STATES_EACH, plan.states - done);
    before = await cutPower(plan, prng, states, before, count);
    done += count;
  }
}

/** What a power cut has left, for the next opening. */
interface Before {
  readonly state: CrashState<number>;
  readonly openings: number;
}

/** Records one opening, and looks at its states. @returns one of them that may be opened next */
async function cutPower(
  { method, canary, options }: StatesPlan,
  prng: Prng,
  states: States,
  before: Before | null,
  count: number,
): Promise<Before | null> {
  const openings = before?.openings ?? 0;
  const isEarly = canary === "acknowledged before the flush";
  const recording = await recordIo<number>(async (aio, directory, recorder) => {
    if (canary === "a directory that is not flushed") {
      Reflect.set(aio, "syncDirectory", () => Promise.resolve());
    }
    const all = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES, ...options };
    await using log = await aio.openLog(`${directory}/log`, all);
    await append(log, recorder, prng, openings * NUMBERS_PER_OPENING, isEarly);
  }, { aio: { method, arenaBytes: 1024 * 1024 }, ...(before && { from: before.state }) });
  const kept = prng.chance(1, 1 + openings) ? prng.below(count) : -1;
  let next: Before | null = null;
  let index = 0;
  for (const state of crashStates(recording, { seed: prng.below(2 ** 31), count })) {
    const wrong = states.look(state);
    if (wrong !== null) {
      throw new Error(`${state.seed} of opening ${openings + 1}, ${state.moment}: ${wrong}`);
    }
    if (index++ === kept) next = { state, openings: openings + 1 };
  }
  return next;
}
