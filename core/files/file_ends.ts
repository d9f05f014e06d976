/**
 * file_ends.ts: where the files end that are appended to, for all threads.
 *
 * An append gets its place before it is written, so that any number of them are under way at once.
 * The end is the file's, not an opening's. So the first append to a file makes a *record* of its
 * end in the table of open files, and every opening of that file (by device and inode) is linked to
 * it, later ones as they are published. A record is free when no open file is linked to it.
 *
 * ```text
 * first append:   record linked to each opening ─► size asked ─► known, if it was not set back
 * an append:      handle in hand ─► intent ─► end moved ─► IO started, with the mark ─► intent gone
 * another write:  IO started ─► is its opening linked? ─► end moved
 * executed there: linked? ─► end moved ─► IO started, and over ─► linked? ─► end moved
 * of more IOs:    entered (long_writes.ts) ─► linked? ─► end moved ─► its IOs ─► taken out
 * end set back:   version asked for ─► writes looked for ─► size asked ─► set, if it has not moved
 * ```
 *
 * At any moment the end lies behind all writes that have begun and are not over. None is missed
 * while the end becomes known: a writer starts its IO, or enters it, and then looks for the link;
 * whoever links does so and then looks for writes under way. One of the two sees the other. In the
 * same way a writer looks whether the end is about to be set back.
 *
 * The end is whole after every store (memory/position.ts), and can be read without the lock.
 *
 * @module
 */

import { FALLOCATE_MODES } from "../../ffi/layout.ts";
import { fromWords, highWord, lowWord } from "../../ffi/memory.ts";
import { rangeIn } from "../io/operation.ts";
import { OPERATIONS } from "../io/operation_table.ts";
import { COMPLETED_IO, DEFINED } from "../memory/handle_state.ts";
import { type IsThreadAlive, locked } from "../memory/lock.ts";
import { positionAt, setPosition } from "../memory/position.ts";
import {
  APPEND_INTENT,
  BACKEND,
  type Control,
  FILE,
  HANDLE,
  HEADER,
} from "../memory/shared_memory.ts";
import { isSameNode, nodeAt } from "./file_node.ts";
import type { FileSlot } from "./file_slot.ts";
import { LongWrites } from "./long_writes.ts";

/** A part of a file, in bytes. */
export interface FilePart {
  readonly from: number;
  readonly to: number;
}

/** What tells whether anything has come into a place. */
export interface PlaceSince {
  /** From `FileEnds`: the end may have been set back since, and the place be another append's. */
  readonly takenAt: number;
  /** From {@linkcode FileEnds.askedVersion}: from there on writes that come there are noted. */
  readonly asked: number;
}

/** Whether a `fallocate` writes zeros, as far as they reach. */
function isZeroing(words: Int32Array, base: number): boolean {
  const { keepSize, zeroRange } = FALLOCATE_MODES;
  return (words[base + HANDLE.argumentFlags]! & (keepSize | zeroRange)) === zeroRange;
}

/** The ends of files, as one thread sees them. */
export class FileEnds {
  readonly #control: Control;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #threadId: number;
  readonly #isThreadAlive: IsThreadAlive;
  readonly #backendAt: number;
  readonly #uses: ReadonlyMap<number, number>;
  readonly #maxFiles: number;
  readonly #longWrites: LongWrites;
  /** The version of the end when {@linkcode reserve} gave this thread its last place. */
  takenAt = 0;

  /**
   * @param control where they are
   * @param threadId this thread's id, for locks
   * @param isThreadAlive asks the system whether another holder of a lock still runs
   * @param backendId whose intents are written
   * @param uses how often this thread uses each slot
   */
  constructor(
    control: Control,
    threadId: number,
    isThreadAlive: IsThreadAlive,
    backendId: number,
    uses: ReadonlyMap<number, number>,
  ) {
    this.#control = control;
    this.#words = control.words;
    this.#threadId = threadId;
    this.#isThreadAlive = isThreadAlive;
    this.#backendAt = control.backendAt(backendId);
    this.#uses = uses;
    this.#maxFiles = control.words[HEADER.maxFiles]!;
    this.#longWrites = new LongWrites(control, threadId, isThreadAlive, backendId);
  }

  #locked<T>(index: number, use: () => T): T {
    return locked(this.#words, index, this.#threadId, this.#isThreadAlive, use);
  }

  /** Whether the end of an open file is of interest: somebody has appended to it. */
  isLinked(slot: number): boolean {
    return Atomics.load(this.#words, this.#control.fileAt(slot) + FILE.endRecord) !== 0;
  }

  /** Whether appends to an open file can have their places. */
  isKnown(slot: number): boolean {
    const record = this.#recordOf(slot);
    return record >= 0 && Atomics.load(this.#words, record + FILE.isEndKnown) !== 0;
  }

  /**
   * Whether another thread, another opening, or another user of this one in this thread, may append
   * to the file that a slot has open.
   */
  mayOthersAppend(slot: number): boolean {
    if (this.#uses.get(slot) !== 1) return true;
    const words = this.#words;
    const at = this.#control.fileAt(slot);
    const users = words[at + FILE.references]!;
    if ((users & (users - 1)) !== 0) return true;
    const number = words[at + FILE.endRecord]!;
    for (let other = 0; other < this.#maxFiles; other++) {
      if (other === slot) continue;
      const otherAt = this.#control.fileAt(other);
      if (words[otherAt + FILE.endRecord] !== number) continue;
      if (words[otherAt + FILE.references] !== 0) return true;
    }
    return false;
  }

  /** Where the record is that an open file is linked to; -1: it is linked to none. */
  #recordOf(slot: number): number {
    const number = Atomics.load(this.#words, this.#control.fileAt(slot) + FILE.endRecord);
    return number === 0 ? -1 : this.#control.fileAt(number - 1);
  }

  /** Links all openings of an open file to one record. */
  link(slot: number): void {
    Atomics.store(this.#words, HEADER.hasAppends, 1);
    this.#locked(HEADER.filesLock, () => {
      const openings = this.#openingsOf(slot);
      const linked = openings.map((one) =>
        this.#words[this.#control.fileAt(one) + FILE.endRecord]!
      );
      const number = linked.find((record) => record !== 0) ?? this.#makeRecord() + 1;
      for (const one of openings) {
        Atomics.store(this.#words, this.#control.fileAt(one) + FILE.endRecord, number);
      }
    });
  }

  /**
   * Links a file that was just opened, if it has been appended to. The mark of the header is set
   * before whoever links for the first time looks for open files, and looked at after this one is
   * one: one of the two sees the other.
   */
  linkPublished(slot: number): void {
    if (Atomics.load(this.#words, HEADER.hasAppends) === 0) return;
    this.#locked(HEADER.filesLock, () => {
      const at = this.#control.fileAt(slot);
      for (const one of this.#openingsOf(slot)) {
        const number = this.#words[this.#control.fileAt(one) + FILE.endRecord]!;
        if (number !== 0) Atomics.store(this.#words, at + FILE.endRecord, number);
      }
    });
  }

  /** The slots of all openings of the file that a slot has open, that one included. */
  #openingsOf(slot: number): number[] {
    const openings: number[] = [];
    const own = nodeAt(this.#words, this.#control.fileAt(slot));
    for (let other = 0; other < this.#maxFiles; other++) {
      const at = this.#control.fileAt(other);
      if (Atomics.load(this.#words, at + FILE.references) === 0) continue;
      // The mark may be for its descriptor alone: whoever asks still uses it.
      if (Atomics.load(this.#words, at + FILE.closing) !== 0 && other !== slot) continue;
      if (isSameNode(nodeAt(this.#words, at), own)) openings.push(other);
    }
    return openings;
  }

  /** Takes a record to which no open file is linked. There are as many as open files. */
  #makeRecord(): number {
    const taken = new Set<number>();
    for (let slot = 0; slot < this.#maxFiles; slot++) {
      const at = this.#control.fileAt(slot);
      if (this.#words[at + FILE.references] !== 0) taken.add(this.#words[at + FILE.endRecord]! - 1);
    }
    let number = 0;
    while (taken.has(number)) number++;
    const record = this.#control.fileAt(number);
    this.#words.fill(0, record + FILE.endLock, record + FILE.isEndKnown + 1);
    // Nobody has asked for its version: what the record's last file has noted is none of its own.
    this.#words[record + FILE.endAsked] = -1;
    this.#words[record + FILE.endLowered] = 0;
    return number;
  }

  /** Where an open file ends. */
  endOf(slot: number): number {
    return positionAt(this.#words, this.#recordOf(slot) + FILE.endVersion);
  }

  /** The version of that, which moves with each change of it: see {@linkcode takenAt}. */
  versionOf(slot: number): number {
    return Atomics.load(this.#words, this.#recordOf(slot) + FILE.endVersion);
  }

  /**
   * Changes the end.
   *
   * @param change is given the end, and returns the new one
   * @returns what it was before
   */
  #change(record: number, change: (end: number) => number): number {
    return this.#locked(record + FILE.endLock, () => {
      const at = record + FILE.endVersion;
      const end = positionAt(this.#words, at);
      const next = change(end);
      if (next !== end) setPosition(this.#words, at, next);
      return end;
    });
  }

  /** A write has reached so far. The caller has started it, and found the file linked. */
  raise(slot: number, to: number): void {
    const record = this.#recordOf(slot);
    if (positionAt(this.#words, record + FILE.endVersion) >= to && !this.#isAsked(record)) return;
    this.#change(record, (end) => {
      if (to <= end && this.#isAsked(record)) this.#note(record, to);
      return Math.max(end, to);
    });
  }

  /** Whether somebody may be about to set the end back, and it has not moved since. */
  #isAsked(record: number): boolean {
    const asked = Atomics.load(this.#words, record + FILE.endAsked);
    return asked === Atomics.load(this.#words, record + FILE.endVersion);
  }

  #note(record: number, to: number): void {
    const at = record + FILE.notedVersion;
    if (positionAt(this.#words, at) < to) setPosition(this.#words, at, to);
  }

  /**
   * A write begins that takes several IOs, or waits for its first: until {@linkcode endWrite} the
   * end stays behind all of it. The caller has not started it.
   */
  beginWrite(slot: number, to: number): void {
    this.#longWrites.begin(slot, to);
    if (this.isLinked(slot)) this.raise(slot, to);
  }

  /** Such a write is known to reach less far. */
  narrowWrite(slot: number, before: number, to: number): void {
    this.#longWrites.narrow(slot, before, to);
  }

  /** Such a write is over: `to` is what it was begun with, or is known since. */
  endWrite(slot: number, to: number): void {
    this.#longWrites.end(slot, to);
  }

  /** The version of the end that has set it back last, or may have before it was known. */
  setBackAt(slot: number): number {
    return Atomics.load(this.#words, this.#recordOf(slot) + FILE.endLowered);
  }

  /**
   * The end is known from now on, if it was not set back meanwhile.
   *
   * @param setBack from {@linkcode setBackAt}, after the file was linked
   * @param size what the system says after that, and after {@linkcode writesEnd} was called
   * @param reached what that returned
   * @returns false if it was: the size may be that of before
   */
  tryLearn(slot: number, setBack: number, size: number, reached: number): boolean {
    const record = this.#recordOf(slot);
    return this.#locked(record + FILE.endLock, () => {
      // Appends may have gone on from it, if another thread was faster.
      if (this.#words[record + FILE.isEndKnown] !== 0) return true;
      if (this.#words[record + FILE.endLowered] !== setBack) return false;
      const at = record + FILE.endVersion;
      // It moves in any case: whoever is about to set it back may have looked before all openings
      // were linked.
      setPosition(this.#words, at, Math.max(positionAt(this.#words, at), size, reached));
      Atomics.store(this.#words, record + FILE.isEndKnown, 1);
      return true;
    });
  }

  /**
   * Before the end is set back: from here on writes are noted that reach less far than it does.
   *
   * @returns the version of the end, which moves with each change of it
   */
  askedVersion(slot: number): number {
    const record = this.#recordOf(slot);
    return this.#locked(record + FILE.endLock, () => {
      const version = this.#words[record + FILE.endVersion]!;
      // Another thread may have asked at this version: what was noted since is for both.
      if (this.#isAsked(record)) return version;
      setPosition(this.#words, record + FILE.notedVersion, 0);
      Atomics.store(this.#words, record + FILE.endAsked, version);
      return version;
    });
  }

  /**
   * After something that may have cut the file: the end is what the system says, or how far writes
   * have reached since.
   *
   * @param version from {@linkcode askedVersion}
   * @param end its size, or what {@linkcode writesEnd} returned before that, if it is greater; both
   *   after the version
   * @returns false if the end has moved meanwhile: nothing is changed. Else what a thread has heard
   *   before does not count any more in {@linkcode tryLearn}; but the end is no more known than it
   *   was, as another opening may not be linked yet
   */
  tryReset(slot: number, version: number, end: number): boolean {
    const record = this.#recordOf(slot);
    return this.#locked(record + FILE.endLock, () => {
      const at = record + FILE.endVersion;
      if (this.#words[at] !== version) return false;
      const lowered = version + 1 | 0;
      // A thread has died behind the store below: whoever has seen that is to see another one.
      if (this.#words[record + FILE.endLowered] === lowered) {
        setPosition(this.#words, at, positionAt(this.#words, at));
        return false;
      }
      const next = Math.max(end, positionAt(this.#words, record + FILE.notedVersion));
      // Before, as this thread may die in between.
      const isKnown = this.#words[record + FILE.isEndKnown] !== 0;
      if (!isKnown || next < positionAt(this.#words, at)) {
        Atomics.store(this.#words, record + FILE.endLowered, lowered);
      }
      // It moves in any case: from here on nothing is noted.
      setPosition(this.#words, at, next);
      return true;
    });
  }

  /**
   * How far writes to a file reach that are in flight, have begun or have their place, in any
   * thread.
   *
   * @returns 0 if there are none
   */
  writesEnd(slot: number): number {
    for (let uses = this.#usesOf(slot);;) {
      const end = this.#reachOf(uses);
      const now = this.#usesOf(slot);
      const isSame = now.length === uses.length && now.every((word, i) => word === uses[i]);
      // Else the place or the descriptor of one that was closed may be another file's by now.
      if (isSame) return end;
      uses = now;
    }
  }

  /** The openings of a file: of each its slot, its generation, and its descriptor. */
  #usesOf(slot: number): number[] {
    return this.#openingsOf(slot).flatMap((one) => {
      const at = this.#control.fileAt(one);
      const generation = Atomics.load(this.#words, at + FILE.generation);
      return [one, generation, Atomics.load(this.#words, at + FILE.fd)];
    });
  }

  #reachOf(uses: readonly number[]): number {
    const openings = uses.filter((_word, i) => i % 3 === 0);
    const fds = uses.filter((_word, i) => i % 3 === 2);
    // Intents first, then long writes: if one is gone, its IO is there.
    const { threadCount, handleCount } = this.#control;
    let end = 0;
    for (let id = 0; id < threadCount; id++) {
      const at = this.#control.backendAt(id) + BACKEND.appending;
      const intended = Atomics.load(this.#words, at + APPEND_INTENT.slot) - 1;
      if (!openings.includes(intended)) continue;
      const { to } = this.#intentAt(at);
      // The next one may have come there: then the IO of this one is there.
      const isIt = Atomics.load(this.#words, at + APPEND_INTENT.slot) - 1 === intended;
      if (isIt) end = Math.max(end, to);
    }
    for (const one of openings) end = Math.max(end, this.#longWrites.reachOf(one));
    for (let index = 0; index < handleCount; index++) {
      end = Math.max(end, this.#writeEnd(this.#control.handleAt(index), fds));
    }
    return end;
  }

  /** How far a handle's IO reaches, if it writes one of some descriptors; else 0. */
  #writeEnd(base: number, fds: readonly number[]): number {
    const words = this.#words;
    const generation = Atomics.load(words, base + HANDLE.generationLow);
    const state = Atomics.load(words, base + HANDLE.state);
    if (state < DEFINED) return 0;
    // Of one that was short more is to come, and its issuer has not heard of that.
    if (state > COMPLETED_IO && words[base + HANDLE.rawResult] === words[base + HANDLE.length]) {
      return 0;
    }
    const operation = words[base + HANDLE.operation];
    const isWrite = operation === OPERATIONS.writev.code;
    if (!isWrite && (operation !== OPERATIONS.fallocate.code || !isZeroing(words, base))) return 0;
    if (!fds.includes(words[base + HANDLE.fd]!)) return 0;
    const range = rangeIn(words, base);
    // If it went on to another use, the IO is over, and the file's size tells of it.
    const isOver = Atomics.load(words, base + HANDLE.generationLow) !== generation;
    return isOver || range === null ? 0 : range.offset + range.length;
  }

  /**
   * Takes a place at the end of a file whose end is known. The place is this thread's intent, too,
   * until {@linkcode started} is called.
   *
   * @returns where it begins
   */
  reserve({ slot, generation }: FileSlot, bytes: number): number {
    const record = this.#recordOf(slot);
    return this.#change(record, (end) => {
      this.#intend(BACKEND.appending, { slot, generation }, { from: end, to: end + bytes });
      this.takenAt = this.#words[record + FILE.endVersion]! + 1 | 0;
      return end + bytes;
    });
  }

  #intend(kind: number, { slot, generation }: FileSlot, { from, to }: FilePart): void {
    const at = this.#backendAt + kind;
    const words = this.#words;
    words[at + APPEND_INTENT.slotGeneration] = generation;
    words[at + APPEND_INTENT.fromLow] = lowWord(from);
    words[at + APPEND_INTENT.fromHigh] = highWord(from);
    words[at + APPEND_INTENT.toLow] = lowWord(to);
    words[at + APPEND_INTENT.toHigh] = highWord(to);
    Atomics.store(words, at + APPEND_INTENT.slot, slot + 1);
  }

  /** The IO of the last place was started, or that was given back. */
  started(): void {
    Atomics.store(this.#words, this.#backendAt + BACKEND.appending + APPEND_INTENT.slot, 0);
  }

  /**
   * An append of this thread takes more than one IO: its place stays an intent until it is over, so
   * that others hear of it if this thread dies. Of several such places at once, only the first is
   * one.
   *
   * @returns whether it is: {@linkcode endLong} is to be called
   */
  beginLong(file: FileSlot, part: FilePart): boolean {
    const at = this.#backendAt + BACKEND.appendingLong + APPEND_INTENT.slot;
    if (Atomics.load(this.#words, at) !== 0) return false;
    this.#intend(BACKEND.appendingLong, file, part);
    return true;
  }

  /** It is over. */
  endLong(): void {
    Atomics.store(this.#words, this.#backendAt + BACKEND.appendingLong + APPEND_INTENT.slot, 0);
  }

  /**
   * Gives a place back, or the rest of one, in which nothing was written.
   *
   * @param since if its IO is over: what may have come since the place was taken
   * @returns false if others have their places behind it, or may have them in it, or write there
   */
  giveBack(slot: number, { from, to }: FilePart, since?: PlaceSince): boolean {
    const record = this.#recordOf(slot);
    let isGivenBack = false;
    this.#change(record, (end) => {
      isGivenBack = end === to && (since === undefined || this.#isLeft(record, from, since));
      return isGivenBack ? from : end;
    });
    return isGivenBack;
  }

  /** Whether a place is no other append's, and no write has come into it. */
  #isLeft(record: number, from: number, { takenAt, asked }: PlaceSince): boolean {
    const lowered = this.#words[record + FILE.endLowered]!;
    return (lowered - takenAt | 0) <= 0 && this.#words[record + FILE.endVersion] === asked &&
      positionAt(this.#words, record + FILE.notedVersion) <= from;
  }

  #intentAt(at: number): FilePart {
    const word = (field: number) => Atomics.load(this.#words, at + field);
    return {
      from: fromWords(word(APPEND_INTENT.fromLow), word(APPEND_INTENT.fromHigh)),
      to: fromWords(word(APPEND_INTENT.toLow), word(APPEND_INTENT.toHigh)),
    };
  }

  /** An IO of a dead thread was found on the place where it was about to append. */
  foundStarted(deadId: number, from: number): void {
    const at = this.#control.backendAt(deadId) + BACKEND.appending;
    const isIt = this.#intentAt(at).from === from;
    if (isIt) Atomics.store(this.#words, at + APPEND_INTENT.slot, 0);
  }

  /**
   * Places that a dead thread had taken and not written: of its intents. They are gone then, and so
   * is all that is left of its writes. Its IOs are over.
   */
  takeIntents(deadId: number): { readonly file: FileSlot; readonly part: FilePart }[] {
    const words = this.#words;
    this.#longWrites.forgetBackend(deadId);
    return [BACKEND.appending, BACKEND.appendingLong].flatMap((kind) => {
      const at = this.#control.backendAt(deadId) + kind;
      const slot = Atomics.exchange(words, at + APPEND_INTENT.slot, 0) - 1;
      if (slot < 0) return [];
      const generation = words[at + APPEND_INTENT.slotGeneration]!;
      return [{ file: { slot, generation }, part: this.#intentAt(at) }];
    });
  }
}
