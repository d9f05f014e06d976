/**
 * scan.ts: finds the end of a log after a crash, as one synchronous function.
 *
 * It reads fragment by fragment up to the first that is not whole. All that was flushed before the
 * crash is on the disk, so only the last writes may be torn. Each fragment says up to where the log
 * was durable when it was written: a whole fragment behind the end whose durable position lies
 * behind the end as well proves that durable bytes are lost. That is an error; nothing is guessed.
 *
 * An opening appends from where its scan stopped, once all before that place is durable, and its
 * own number with the place too. From there on only its own fragments count. The number in each
 * fragment is not enough for that: the missing sector of a torn fragment may be equal to the same
 * sector of what the next opening writes there. If a second crash keeps that sector and loses the
 * others, the old fragment is whole.
 *
 * @module
 */

import { fromWords } from "../../core/inside.ts";
import { FRAGMENT_BYTES_MAX, HEAD_BYTES, KIND, type LogIdentity, startOf } from "./record.ts";
import { FragmentReader, type FragmentState, wordAt } from "./record_reader.ts";

/** Bytes read at a time, at most. */
export const PIECE_BYTES_MAX = 256 * 1024;
/** Reads begin at multiples of this, as direct I/O requires. */
const READ_ALIGNMENT_BYTES = 4096;
/** Fragments begin at multiples of this. */
const STEP_BYTES = 8;
const UINT32_RANGE = 0x1_0000_0000;

/** The bytes of a log. */
export interface ScanSource {
  /**
   * Reads some bytes of one segment. Fewer come back only where its file is missing, or too short.
   *
   * @param position where they begin, a multiple of 4096
   * @param bytes how many, at most 256 KiB
   * @returns memory that the source may use again for the next read
   */
  read(position: number, bytes: number): Uint8Array;
}

/** What a scan must know. */
export interface ScanOptions {
  /** Where it begins: a fragment's place that is known good. */
  readonly from: number;
  /** Where it ends even if more follows; left out: where the log ends. */
  readonly until?: number;
  /** The log's own. */
  readonly identity: LogIdentity;
  /** Of each segment. */
  readonly segmentBytes: number;
  /** Number of the newest opening that may have appended. */
  readonly newestOpening: number;
  /** Where that opening began to append: all before that was durable. */
  readonly newestFrom: number;
  /** Number of the opening that wrote what is before `from`. */
  readonly openingAtFrom: number;
  /** Where the log was closed cleanly; null: it was not. */
  readonly cleanEnd: number | null;
  /**
   * Bytes behind the stop that are searched for proofs of damage: as many as may have been written
   * without a flush.
   */
  readonly searchBytes: number;
  /**
   * The numbers of the segments that are there. One that is missing as a whole may have more bytes
   * than are searched: of each one behind these the first fragment is looked at, too. Left out: of
   * none
   */
  readonly segments?: Iterable<number>;
  /**
   * Called for each fragment on the way.
   *
   * @param fragment valid during the call
   */
  readonly visit?: (fragment: FragmentReader) => void;
}

/**
 * Why a scan stopped.
 *
 * - `until`: its caller asked for no more.
 * - `closed`: the log was closed there.
 * - `empty`: nothing was written there.
 * - `torn or damaged`: what is there is no whole fragment of this place.
 * - `stale`: an earlier opening wrote the fragment, and it does not count any more.
 * - `missing`: the file of the segment is not there, or ends within the fragment.
 */
export type ScanStop = "until" | "closed" | "empty" | "torn or damaged" | "stale" | "missing";

/** What a scan found. */
export interface ScanResult {
  /** Where the next record is appended: behind the last whole fragment, where the scan stopped. */
  readonly end: number;
  /** The segment that has it. */
  readonly segment: number;
  /** Its offset in that segment. */
  readonly offset: number;
  /** Why the scan stopped there. */
  readonly stop: ScanStop;
  /** Number of the opening that wrote the last fragment. */
  readonly opening: number;
  /** The greatest position that a fragment says was durable; 0: none says so. */
  readonly durable: number;
  /** Where the record begins whose last fragments are missing at the end; null: all are whole. */
  readonly unfinished: number | null;
}

/** Bytes of a log that were durable are lost or changed. */
export class LogDamageError extends Error {
  /** The position of the first fragment that is not whole. */
  readonly position: number;
  /** The segment that has it. */
  readonly segment: number;
  /** Its offset in that segment. */
  readonly offset: number;

  /**
   * Made by {@linkcode scan}.
   *
   * @param position of the first fragment that is not whole
   * @param segmentBytes of each segment
   * @param state what is there
   * @param proof why it is damage and not a crash
   * @ignore
   */
  constructor(position: number, segmentBytes: number, state: ScanStop, proof: string) {
    super(`The log is damaged at ${placeOf(position, segmentBytes)} (${state}): ${proof}`);
    this.name = "LogDamageError";
    this.position = position;
    this.segment = Math.floor(position / segmentBytes);
    this.offset = position % segmentBytes;
  }
}

function placeOf(position: number, segmentBytes: number): string {
  return `segment ${Math.floor(position / segmentBytes)}, offset ${position % segmentBytes}`;
}

/** The piece of the log that was read last. */
class Piece {
  bytes: Uint8Array = new Uint8Array();
  readonly #source: ScanSource;
  readonly #segmentBytes: number;
  /** The position where it begins. */
  #from = 0;

  constructor(source: ScanSource, segmentBytes: number) {
    this.#source = source;
    this.#segmentBytes = segmentBytes;
  }

  /**
   * The index of a position in `bytes`; reads if fewer bytes than are needed are there from it on.
   * Fewer are there afterwards only where the segment or its file ends.
   *
   * @param bytesMax how much is read; less only where nothing behind is likely to be needed
   */
  at(position: number, bytesNeeded: number, bytesMax = PIECE_BYTES_MAX): number {
    const at = position - this.#from;
    if (at >= 0 && at + bytesNeeded <= this.bytes.length) return at;
    this.#from = position - position % READ_ALIGNMENT_BYTES;
    const rest = this.#segmentBytes - this.#from % this.#segmentBytes;
    this.bytes = this.#source.read(this.#from, Math.min(bytesMax, rest));
    return position - this.#from;
  }
}

/** What to call it where the log ends with what the reader found. */
function stopOf(state: Exclude<FragmentState, "valid">): ScanStop {
  switch (state) {
    case "empty":
    case "stale":
      return state;
    case "cut off":
      return "missing";
    case "damaged":
      return "torn or damaged";
  }
}

/** One scan. */
class Scan {
  readonly #options: ScanOptions;
  readonly #piece: Piece;
  readonly #reader: FragmentReader;
  #opening: number;
  #durable = 0;
  #unfinished: number | null = null;

  constructor(source: ScanSource, options: ScanOptions) {
    const { segmentBytes, identity, openingAtFrom } = options;
    this.#options = options;
    this.#piece = new Piece(source, segmentBytes);
    this.#reader = new FragmentReader(segmentBytes, identity);
    this.#opening = openingAtFrom;
  }

  run(): ScanResult {
    const { from, until, segmentBytes } = this.#options;
    const last = until ?? Infinity;
    let position = startOf(from, segmentBytes);
    while (position < last) {
      const state = this.#read(position);
      if (state !== "valid") return this.#stopAt(position, stopOf(state));
      this.#take(this.#reader);
      position = this.#reader.end;
    }
    return this.#result(position, "until");
  }

  /** Reads the fragment at a position, from the next piece if it goes beyond this one. */
  #read(position: number): FragmentState {
    const { newestOpening, newestFrom } = this.#options;
    const openingMin = position < newestFrom ? this.#opening : newestOpening;
    const piece = this.#piece;
    const reader = this.#reader;
    const at = piece.at(position, HEAD_BYTES);
    const state = reader.read(piece.bytes, at, position, openingMin, newestOpening);
    if (state !== "cut off" || at < READ_ALIGNMENT_BYTES) return state;
    const again = piece.at(position, Infinity);
    return reader.read(piece.bytes, again, position, openingMin, newestOpening);
  }

  #take(fragment: FragmentReader): void {
    const { kind, position, opening, durable } = fragment;
    this.#opening = opening;
    if (durable > this.#durable) this.#durable = durable;
    if (kind === KIND.first) this.#unfinished = position;
    else if (kind !== KIND.middle) this.#unfinished = null;
    this.#options.visit?.(fragment);
  }

  #stopAt(position: number, stop: ScanStop): ScanResult {
    const { segmentBytes, cleanEnd } = this.#options;
    const proof = this.#findProof(position);
    if (proof !== null) throw new LogDamageError(position, segmentBytes, stop, proof);
    return this.#result(position, position === cleanEnd ? "closed" : stop);
  }

  /** What proves that bytes behind the stop were durable; null: nothing does. */
  #findProof(stop: number): string | null {
    const { segmentBytes, cleanEnd, newestOpening, newestFrom } = this.#options;
    const place = (position: number) => placeOf(position, segmentBytes);
    if (cleanEnd !== null && stop < cleanEnd) return `it was closed cleanly at ${place(cleanEnd)}`;
    if (stop < newestFrom) {
      return `when opening ${newestOpening} began, all before ${place(newestFrom)} was durable`;
    }
    const witness = this.#findWitness(stop) ?? this.#findFartherWitness(stop);
    if (witness === null) return null;
    const { position, durable } = witness;
    return `when the record at ${place(position)} was written, all before ${place(durable)} ` +
      `was durable`;
  }

  #result(end: number, stop: ScanStop): ScanResult {
    const { segmentBytes } = this.#options;
    return {
      end,
      segment: Math.floor(end / segmentBytes),
      offset: end % segmentBytes,
      stop,
      opening: this.#opening,
      durable: this.#durable,
      unfinished: this.#unfinished,
    };
  }

  /** A whole fragment behind the stop that says the log was durable beyond it. */
  #findWitness(stop: number): FragmentReader | null {
    const { segmentBytes, searchBytes } = this.#options;
    const piece = this.#piece;
    for (let position = stop + STEP_BYTES; position < stop + searchBytes;) {
      const at = piece.at(position, HEAD_BYTES);
      if (at + HEAD_BYTES > piece.bytes.length) {
        position += segmentBytes - position % segmentBytes;
        continue;
      }
      if (this.#isWitness(at, position, stop)) return this.#reader;
      position += STEP_BYTES;
    }
    return null;
  }

  /** The same at the beginning of each segment behind: a fragment begins there, if any has. */
  #findFartherWitness(stop: number): FragmentReader | null {
    const { segmentBytes, searchBytes, segments = [], cleanEnd } = this.#options;
    // Nothing follows; and there may be many segments that were made ahead.
    if (stop === cleanEnd) return null;
    for (const number of segments) {
      const position = number * segmentBytes;
      if (position < stop + searchBytes) continue;
      const at = this.#piece.at(position, HEAD_BYTES, READ_ALIGNMENT_BYTES);
      if (at + HEAD_BYTES > this.#piece.bytes.length) continue;
      if (this.#isWitness(at, position, stop)) return this.#reader;
    }
    return null;
  }

  /** @param at the index of the position in the piece */
  #isWitness(at: number, position: number, stop: number): boolean {
    const piece = this.#piece;
    if (!mayBeWitness(piece.bytes, at, position, stop)) return false;
    // A fragment of an earlier opening proves as much.
    const again = piece.at(position, HEAD_BYTES + FRAGMENT_BYTES_MAX);
    return this.#reader.read(piece.bytes, again, position, 0, UINT32_RANGE) === "valid";
  }
}

/** A cheap look at what may be a fragment's head: nearly all that is none is refused. */
function mayBeWitness(bytes: Uint8Array, at: number, position: number, stop: number): boolean {
  const kind = bytes[at + 12]!;
  if (kind < KIND.whole || kind > KIND.void) return false;
  if (bytes[at + 13] !== 0 || bytes[at + 14] !== 0 || bytes[at + 15] !== 0) return false;
  if (wordAt(bytes, at + 4) > FRAGMENT_BYTES_MAX) return false;
  const durable = fromWords(wordAt(bytes, at + 16), wordAt(bytes, at + 20));
  return durable > stop && durable <= position;
}

/**
 * Finds the end of a log.
 *
 * A record whose last fragments are missing at the end stays there: nothing continues it, as each
 * opening begins with a new record, and the assembler drops it.
 *
 * @param source the log's bytes
 * @param options where to begin, and what is known of the log
 * @throws {LogDamageError} if bytes are not whole that were durable: a whole fragment behind them
 * says so, or the place where the newest opening began, or where the log was closed
 */
export function scan(source: ScanSource, options: ScanOptions): ScanResult {
  return new Scan(source, options).run();
}
