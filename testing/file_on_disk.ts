/**
 * file_on_disk.ts: one file as the disk has it: what is durable, and what may have reached the disk
 * beside that.
 *
 * The size is one cell, each sector one of its own. A truncation, or zeros, count as on the disk
 * where the size counts them: then all sectors have them. If not, only those of a block that is
 * zeroed in part may: file systems write such a block as data, which may be there before the rest.
 *
 * @module
 */

import { Cell, type Wholes } from "./cell.ts";
import type { FileChange, WriteChange } from "./changes.ts";
import type { Chooser } from "./chooser.ts";
import type { Timeline } from "./timeline.ts";

/** What file systems write as a whole where they zero a part of it; some have smaller ones. */
const BLOCK_BYTES = 4096;

/** Which changes become durable. */
export type IsCovered = (id: number) => boolean;

/** The disk's side of one file. */
export class FileOnDisk {
  readonly #timeline: Timeline;
  readonly #sectorBytes: number;
  /** What is durable, as far as the file may reach. */
  #bytes: Uint8Array;
  /** The durable size. */
  #size: number;
  /** Behind it nothing was ever written. */
  #extent: number;
  /** The size that the program sees. */
  #seenSize: number;
  readonly #sizes: Cell;
  readonly #sectors = new Map<number, Cell>();
  /** Changes whose flush failed: no later one makes them durable. */
  readonly #lost = new Set<number>();
  /** What a state without anything pending shares with others. */
  #stable: Uint8Array | null = null;
  /** Changes that all of their cells have, or none, in the state that is being made. */
  readonly #whole = new Set<number>();
  #flags = new Uint8Array(16);

  /** @param bytes what it holds at first, all of it durable */
  constructor(timeline: Timeline, sectorBytes: number, bytes: Uint8Array) {
    this.#timeline = timeline;
    this.#sectorBytes = sectorBytes;
    this.#bytes = bytes.slice();
    this.#size = this.#seenSize = this.#extent = bytes.length;
    this.#sizes = new Cell(timeline);
  }

  #changeOf(id: number): FileChange {
    return this.#timeline.changes[id] as FileChange;
  }

  /** A change begins. */
  begin(id: number): void {
    const change = this.#changeOf(id);
    switch (change.kind) {
      case "write": {
        const end = change.offset + change.bytes.length;
        if (change.bytes.length === 0) return;
        this.#reserve(end);
        this.#extent = Math.max(this.#extent, end);
        this.#addToSectors(id, change.offset, end);
        if (end > this.#seenSize) this.#sizes.add(id);
        return;
      }
      case "cut":
        this.#sizes.add(id);
        return this.#addToSectors(id, change.size, this.#extent);
      case "extend":
        return this.#sizes.add(id);
      case "zero":
        this.#sizes.add(id);
        return this.#addToSectors(id, change.from, Math.min(change.to, this.#extent));
    }
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(bytes, 2 * this.#bytes.length));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }

  #addToSectors(id: number, from: number, to: number): void {
    if (from >= to) return;
    const last = Math.floor((to - 1) / this.#sectorBytes);
    for (let sector = Math.floor(from / this.#sectorBytes); sector <= last; sector++) {
      let cell = this.#sectors.get(sector);
      if (cell === undefined) this.#sectors.set(sector, cell = new Cell(this.#timeline));
      cell.add(id);
    }
  }

  /** A change is over. */
  end(id: number, ok: boolean): void {
    const change = this.#changeOf(id);
    if (!ok) {
      // What is known of a failed write is that it may be there. All others are refused as a whole.
      if (change.kind !== "write") this.#forget(id);
      return;
    }
    const size = this.#seenSize;
    if (change.kind === "write") {
      const { bytes, offset } = change;
      if (bytes.length > 0) this.#seenSize = Math.max(size, offset + bytes.length);
      if (change.isDurable) this.#writeThrough(id);
    } else this.#seenSize = this.#sizeAfter(id, size);
  }

  #forget(id: number): void {
    const isIt = (other: number) => other === id;
    this.#sizes.remove(isIt);
    for (const cell of this.#sectors.values()) cell.remove(isIt);
  }

  /** What reading it back needs is durable with it: of the size, and of zeros that it is in. */
  #writeThrough(id: number): void {
    const timeline = this.#timeline;
    const isSizeNeeded = this.#endOf(id) > this.#leastSize();
    this.#makeDurable(
      (other) =>
        other === id ||
        timeline.isBefore(other, id) && (isSizeNeeded || this.#isWithin(id, other)),
      (other) => other === id,
    );
  }

  #endOf(id: number): number {
    const { offset, bytes } = this.#changeOf(id) as WriteChange;
    return offset + bytes.length;
  }

  /** The least size that the file may have on the disk. */
  #leastSize(): number {
    return this.#sizes.ids.reduce((least, id) => {
      const change = this.#changeOf(id);
      return change.kind === "cut" ? Math.min(least, change.size) : least;
    }, this.#size);
  }

  /** Whether some bytes of a write are among those that another change zeroes. */
  #isWithin(id: number, other: number): boolean {
    const { offset } = this.#changeOf(id) as WriteChange;
    const change = this.#changeOf(other);
    return change.kind === "zero" && offset < change.to && this.#endOf(id) > change.from;
  }

  /** A flush is over. @param begin the step at which it began */
  flush(begin: number, ok: boolean): void {
    const { ends } = this.#timeline;
    const isCovered = (id: number) => ends[id]! < begin && !this.#lost.has(id);
    if (ok) return this.#makeDurable(isCovered, isCovered);
    for (const cell of [this.#sizes, ...this.#sectors.values()]) {
      for (const id of cell.ids.filter(isCovered)) this.#lost.add(id);
    }
  }

  #makeDurable(isSizeCovered: IsCovered, isSectorCovered: IsCovered): void {
    this.#stable = null;
    const sizes = this.#sizes.takeDurable(isSizeCovered, () => false);
    for (const id of sizes) this.#size = this.#sizeAfter(id, this.#size);
    const isCovered = sizes.length === 0
      ? isSectorCovered
      : (id: number) => isSectorCovered(id) || sizes.includes(id) && this.#isWhole(id);
    for (const [sector, cell] of this.#sectors) {
      const isDropped = (failed: number, durable: number) => this.#covers(failed, durable, sector);
      for (const id of cell.takeDurable(isCovered, isDropped)) this.#apply(id, sector, this.#bytes);
      if (cell.ids.length === 0) this.#sectors.delete(sector);
    }
  }

  #isWhole(id: number): boolean {
    const { kind } = this.#changeOf(id);
    return kind === "cut" || kind === "zero";
  }

  /** Whether nothing of a failed write is left in a sector. */
  #covers(failed: number, durable: number, sector: number): boolean {
    if (this.#timeline.failures[failed]! > this.#timeline.begins[durable]!) return false;
    const [one, other] = [this.#changeOf(failed), this.#changeOf(durable)];
    if (one.kind !== "write" || other.kind !== "write") return false;
    const from = sector * this.#sectorBytes;
    const to = from + this.#sectorBytes;
    const start = Math.max(from, one.offset);
    const end = Math.min(to, one.offset + one.bytes.length);
    return other.offset <= start && other.offset + other.bytes.length >= end;
  }

  #sizeAfter(id: number, size: number): number {
    const change = this.#changeOf(id);
    switch (change.kind) {
      case "write":
        return Math.max(size, change.offset + change.bytes.length);
      case "cut":
        return change.size;
      case "extend":
        return Math.max(size, change.size);
      case "zero":
        return change.extends ? Math.max(size, change.to) : size;
    }
  }

  /** Makes one change in one sector. @param bytes of the file, from its beginning on */
  #apply(id: number, sector: number, bytes: Uint8Array): void {
    const change = this.#changeOf(id);
    const from = sector * this.#sectorBytes;
    const to = Math.min(from + this.#sectorBytes, bytes.length);
    if (change.kind === "write") {
      const start = Math.max(from, change.offset);
      const end = Math.min(to, change.offset + change.bytes.length);
      if (start >= end) return;
      bytes.set(change.bytes.subarray(start - change.offset, end - change.offset), start);
    } else if (change.kind === "cut") {
      bytes.fill(0, Math.min(to, Math.max(from, change.size)), to);
    } else if (change.kind === "zero") {
      const start = Math.min(to, Math.max(from, change.from));
      bytes.fill(0, start, Math.max(start, Math.min(to, change.to)));
    }
  }

  /** One state of it. The caller may keep what is returned, and must not change it. */
  state(chooser: Chooser): Uint8Array {
    const hasSizes = this.#sizes.ids.length > 0;
    if (!hasSizes && this.#sectors.size === 0) {
      return this.#stable ??= this.#durable(this.#size);
    }
    this.#whole.clear();
    const size = hasSizes ? this.#chooseSize(chooser) : this.#size;
    const bytes = this.#durable(size);
    for (const [sector, cell] of this.#sectors) {
      if (sector * this.#sectorBytes < size) this.#chooseSector(chooser, sector, cell, bytes);
    }
    return bytes;
  }

  /** What is durable, with zeros where nothing is. */
  #durable(size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    bytes.set(size < this.#bytes.length ? this.#bytes.subarray(0, size) : this.#bytes);
    return bytes;
  }

  #chooseSize(chooser: Chooser): number {
    const flags = this.#choose(chooser, this.#sizes, null);
    const { ids } = this.#sizes;
    let size = this.#size;
    let before = size;
    for (let i = 0; i < ids.length; i++) {
      if (flags[i] === 0) continue;
      const isWrite = this.#changeOf(ids[i]!).kind === "write";
      const present = size;
      size = this.#sizeAfter(ids[i]!, size);
      before = isWrite ? present : size;
      if (this.#isWhole(ids[i]!)) this.#whole.add(ids[i]!);
    }
    return size > before ? this.#torn(chooser, before, size) : size;
  }

  /** A file that a write lets grow can have any size on the way that ends with a sector. */
  #torn(chooser: Chooser, before: number, size: number): number {
    const first = Math.floor(before / this.#sectorBytes) + 1;
    const borders = Math.ceil(size / this.#sectorBytes) - first;
    if (borders <= 0 || chooser.coin()) return size;
    return (first + chooser.below(borders)) * this.#sectorBytes;
  }

  #chooseSector(chooser: Chooser, sector: number, cell: Cell, bytes: Uint8Array): void {
    const { ids } = cell;
    if (cell.isChain) {
      const count = chooser.prefix(ids.length);
      for (let i = 0; i < count; i++) this.#apply(ids[i]!, sector, bytes);
      return;
    }
    const flags = this.#choose(chooser, cell, {
      has: (id) => this.#whole.has(id),
      isOnItsOwn: (id) => this.#isInPart(id, sector),
    });
    for (let i = 0; i < ids.length; i++) {
      if (flags[i] === 1) this.#apply(ids[i]!, sector, bytes);
    }
  }

  /** Whether a truncation, or zeros, concern a part alone of the block that a sector is in. */
  #isInPart(id: number, sector: number): boolean {
    const blockBytes = Math.max(BLOCK_BYTES, this.#sectorBytes);
    const from = Math.floor(sector * this.#sectorBytes / blockBytes) * blockBytes;
    const change = this.#changeOf(id);
    if (change.kind === "cut") return change.size > from;
    return change.kind === "zero" && (change.from > from || change.to < from + blockBytes);
  }

  #choose(chooser: Chooser, cell: Cell, wholes: Wholes | null): Uint8Array {
    const { length } = cell.ids;
    if (length > this.#flags.length) this.#flags = new Uint8Array(2 * length);
    if (wholes !== null || !cell.isChain) cell.choose(chooser, wholes, this.#flags);
    else {
      const count = chooser.prefix(length);
      this.#flags.fill(1, 0, count).fill(0, count, length);
    }
    return this.#flags;
  }
}
