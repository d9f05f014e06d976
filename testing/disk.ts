/**
 * disk.ts: all files as the disk has them, moved from step to step of a recording.
 *
 * @module
 */

import { DIRECTORY } from "./changes.ts";
import type { Chooser } from "./chooser.ts";
import { FileOnDisk } from "./file_on_disk.ts";
import { NamesOnDisk } from "./names_on_disk.ts";
import type { Recorded } from "./recording.ts";
import { Timeline } from "./timeline.ts";

/** Files that the disk may have. */
export interface DiskState {
  readonly files: Map<string, Uint8Array>;
  readonly directories: readonly string[];
}

/** The disk. */
export class Disk {
  readonly #recorded: Recorded<unknown>;
  readonly #timeline: Timeline;
  readonly #sectorBytes: number;
  readonly #names: NamesOnDisk;
  readonly #files: FileOnDisk[] = [];
  #steps = 0;
  #marks: number;

  /** At the beginning of a recording. */
  constructor(recorded: Recorded<unknown>, sectorBytes: number) {
    this.#recorded = recorded;
    this.#timeline = new Timeline(recorded);
    this.#sectorBytes = sectorBytes;
    this.#marks = recorded.marksBefore;
    const names = new Map<string, number>();
    for (const [path, bytes] of recorded.base) {
      names.set(path, bytes === null ? DIRECTORY : this.#files.length);
      if (bytes !== null) this.#files.push(new FileOnDisk(this.#timeline, sectorBytes, bytes));
    }
    this.#names = new NamesOnDisk(this.#timeline, names);
  }

  /** How many marks were made by now, and before. */
  get marks(): number {
    return this.#marks;
  }

  #file(node: number): FileOnDisk {
    const files = this.#files;
    while (files.length <= node) {
      files.push(new FileOnDisk(this.#timeline, this.#sectorBytes, new Uint8Array()));
    }
    return files[node]!;
  }

  /** Goes on to a later moment. @param steps that were taken by then */
  advance(steps: number): void {
    for (; this.#steps < steps; this.#steps++) {
      const step = this.#recorded.steps[this.#steps]!;
      if (step.kind === "mark") this.#marks++;
      else if (step.kind === "begin") this.#begin(step.change);
      else this.#end(step.change, step.ok);
    }
  }

  #begin(id: number): void {
    const change = this.#recorded.changes[id]!;
    if (change.kind === "name") this.#names.begin(id);
    else if (change.kind !== "flush" && change.kind !== "flushNames") {
      this.#file(change.node).begin(id);
    }
  }

  #end(id: number, ok: boolean): void {
    const change = this.#recorded.changes[id]!;
    const begin = this.#timeline.begins[id]!;
    if (change.kind === "name") this.#names.end(id, ok);
    else if (change.kind === "flushNames") this.#names.flush(change.directory, begin, ok);
    else if (change.kind === "flush") this.#file(change.node).flush(begin, ok);
    else this.#file(change.node).end(id, ok);
  }

  /** One of the states that the power cut may leave now. */
  state(chooser: Chooser): DiskState {
    const files = new Map<string, Uint8Array>();
    const directories: string[] = [];
    for (const [path, node] of this.#names.state(chooser)) {
      if (node === DIRECTORY) directories.push(path);
      else files.set(path, this.#file(node).state(chooser));
    }
    return { files, directories };
  }
}
