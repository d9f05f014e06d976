/**
 * descriptors.ts: how one thread opens and closes files: the calls, and what it holds open for
 * others.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { type FileCallForms, fileCalls } from "../files/file_calls.ts";
import { HeldFiles } from "../files/held_files.ts";

/** The descriptors of one thread. */
export class Descriptors {
  /** Whose they are. */
  readonly backend: Backend;
  /** Open and close files. */
  readonly calls: FileCallForms;
  /** What this thread opened, and others still use. */
  readonly held: HeldFiles;

  /** For one backend. */
  constructor(backend: Backend) {
    this.backend = backend;
    this.calls = fileCalls(backend);
    this.held = new HeldFiles(backend, this.calls);
  }
}
