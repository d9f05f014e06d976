/**
 * thinning.ts: which tests of a file the quick part leaves to the long one.
 *
 * A test that starts threads or programs takes a hundred times as long as one that does not, nearly
 * all of it to load modules once more. Of files full of those the quick part has one test in so
 * many; the long part has the others, and these with the methods that the quick part did not draw.
 *
 * @module
 */

import { fileUnderTest, LONG_FILE, type Part, partOfFile, partOfRun } from "./part.ts";

/** The quick part has one in so many of their tests. */
export const THINNED_FILES: Readonly<Record<string, number>> = {
  "tests/ci_run_test.ts": 3,
  "tests/core/backend/acquire_any_test.ts": 3,
  "tests/core/base/call_workers_test.ts": 5,
  "tests/core/base/promise_test.ts": 2,
  "tests/core/fuzz_test.ts": 5,
  "tests/core/fuzz_threads_test.ts": 2,
  "tests/core/io/callback_fault_test.ts": 3,
  "tests/core/io/counters_balance_test.ts": 2,
  "tests/core/io/counters_test.ts": 2,
  "tests/core/io/operation_test.ts": 3,
  "tests/core/io/wait_event_test.ts": 3,
  "tests/core/life/attach_slots_test.ts": 5,
  "tests/core/life/attach_test.ts": 3,
  "tests/core/life/callback_module_test.ts": 5,
  "tests/core/life/close_test.ts": 2,
  "tests/core/life/closing_any_fd_test.ts": 5,
  "tests/core/life/closing_fd_test.ts": 3,
  "tests/core/life/death_cases_test.ts": 3,
  "tests/core/life/deaths_test.ts": 3,
  "tests/core/life/layer_hooks_test.ts": 5,
  "tests/core/life/layer_threads_test.ts": 2,
  "tests/core/life/layers_test.ts": 3,
  "tests/core/life/module_init_test.ts": 3,
  "tests/core/life/reap_test.ts": 3,
  "tests/core/life/reapers_test.ts": 4,
  "tests/core/memory/layer_runs_test.ts": 3,
  "tests/core/memory/pinned_memory_test.ts": 3,
  "tests/core/peer/complete_foreign_test.ts": 5,
  "tests/core/peer/many_ios_test.ts": 2,
  "tests/core/sentinel_test.ts": 3,
  "tests/core/threads_test.ts": 5,
  "tests/core/views/backend_rows_test.ts": 3,
  "tests/core/views/ios_race_test.ts": 3,
  "tests/core/waiting/doorbell_test.ts": 4,
  "tests/core/waiting/doze_test.ts": 5,
  "tests/core/waiting/wake_up_test.ts": 5,
  "tests/core/waiting/words_test.ts": 3,
  "tests/docs/tour_test.ts": 3,
  "tests/examples/copy_test.ts": 5,
  "tests/examples/demo_test.ts": 5,
  "tests/examples/kv_store_test.ts": 5,
  "tests/examples/layered_callbacks_test.ts": 3,
  "tests/examples/page_store_test.ts": 5,
  "tests/examples/pg_checksums_test.ts": 5,
  "tests/examples/tail_test.ts": 3,
  "tests/examples/usage_patterns_test.ts": 3,
  "tests/ffi/library_test.ts": 3,
  "tests/import_by_url_test.ts": 5,
  "tests/methods/io_uring/fault_test.ts": 5,
  "tests/methods/io_uring/lifetime_test.ts": 5,
  "tests/methods/io_uring/permissions_test.ts": 3,
  "tests/methods/io_uring/refused_test.ts": 3,
  "tests/methods/io_uring_test.ts": 5,
  "tests/methods/linux_aio/deaths_test.ts": 5,
  "tests/methods/linux_aio_test.ts": 5,
  "tests/methods/stuck_disk_test.ts": 5,
  "tests/methods/worker/compile_test.ts": 3,
  "tests/methods/worker/deaths_test.ts": 3,
  "tests/methods/worker/log_test.ts": 3,
  "tests/methods/worker/loop_test.ts": 5,
  "tests/methods/worker/program_test.ts": 5,
  "tests/methods/worker_test.ts": 5,
  "tests/storage/close_test.ts": 3,
  "tests/storage/event_loop_test.ts": 3,
  "tests/storage/file/append_held_test.ts": 3,
  "tests/storage/file/append_killed_test.ts": 2,
  "tests/storage/file/append_test.ts": 3,
  "tests/storage/file/append_threads_test.ts": 3,
  "tests/storage/file/bounce_test.ts": 3,
  "tests/storage/file/copy_range_test.ts": 2,
  "tests/storage/file/faults_test.ts": 3,
  "tests/storage/file/flush_failure_test.ts": 3,
  "tests/storage/file/forgotten_test.ts": 3,
  "tests/storage/file/give_up_test.ts": 5,
  "tests/storage/file/held_transfer_test.ts": 3,
  "tests/storage/file/lease_test.ts": 3,
  "tests/storage/file/lock_test.ts": 3,
  "tests/storage/file/lost_write_back_test.ts": 2,
  "tests/storage/file/many_transfer_test.ts": 2,
  "tests/storage/file/model_test.ts": 2,
  "tests/storage/file/open_file_refusal_test.ts": 3,
  "tests/storage/file/read_write_test.ts": 2,
  "tests/storage/file/refused_opening_test.ts": 3,
  "tests/storage/file/replace_file_test.ts": 2,
  "tests/storage/file/server_closes_test.ts": 5,
  "tests/storage/file/shared_descriptors_test.ts": 5,
  "tests/storage/file/slow_files_test.ts": 3,
  "tests/storage/file/temporary_test.ts": 3,
  "tests/storage/file/worker_fd_test.ts": 3,
  "tests/storage/log/log_crash_test.ts": 3,
  "tests/storage/log/log_killed_test.ts": 2,
  "tests/storage/log/log_recovery_test.ts": 5,
  "tests/storage/log/log_states_test.ts": 3,
  "tests/storage/log/log_test.ts": 3,
  "tests/storage/log/log_threads_test.ts": 3,
  "tests/storage/log/record_test.ts": 3,
  "tests/storage/log/scan_damage_test.ts": 3,
  "tests/storage/permissions_test.ts": 3,
  "tests/storage/pool/background_writer_test.ts": 5,
  "tests/storage/pool/buffer_ring_test.ts": 3,
  "tests/storage/pool/deaths_test.ts": 5,
  "tests/storage/pool/foreign_test.ts": 5,
  "tests/storage/pool/held_test.ts": 3,
  "tests/storage/pool/inject_test.ts": 5,
  "tests/storage/pool/model_test.ts": 5,
  "tests/storage/pool/pool_test.ts": 5,
  "tests/storage/pool/scan_test.ts": 2,
  "tests/storage/pool/start_read_test.ts": 3,
  "tests/storage/pool/stream_faults_test.ts": 3,
  "tests/storage/pool/stream_test.ts": 3,
  "tests/storage/pool/verify_test.ts": 5,
  "tests/storage/saturation_test.ts": 2,
  "tests/storage/stream/file_stream_test.ts": 5,
  "tests/storage/stream/read_ahead_model_test.ts": 5,
  "tests/storage/stream/read_stream_test.ts": 3,
  "tests/storage/stream/readable_test.ts": 3,
  "tests/support/house/run_test.ts": 3,
  "tests/testing/crashes_test.ts": 3,
  "tests/testing/fail_nth_call_test.ts": 5,
};

/** The tests of each thinned file in the order of their registration, by their names. */
const places = new Map<string, number>();
/** How many there are of each file. */
const counts = new Map<string, number>();

function placeOf(name: string, file: string): number {
  const key = `${file}: ${name}`;
  const place = places.get(key) ?? counts.get(file) ?? 0;
  if (places.has(key)) return place;
  places.set(key, place);
  counts.set(file, place + 1);
  return place;
}

/**
 * Whether the quick part leaves a test to the long one. It has the second of a file, as the first
 * has often the most to show, and each one that is so many behind. Called while the tests are
 * registered.
 *
 * @param name of the test, without a method's
 * @param file whose it is
 */
export function isLeftToLong(name: string, file = fileUnderTest()): boolean {
  const share = THINNED_FILES[file] ?? 1;
  return share > 1 && placeOf(name, file) % share !== 1;
}

/**
 * The methods of a test in this part of the suite that the quick part leaves to the long one: none
 * there, all here.
 *
 * @returns null: it is not left
 */
export function thinned<T>(name: string, methods: readonly T[]): readonly T[] | null {
  const part = partOfFile();
  if ((part !== "quick" && part !== "long") || !isLeftToLong(name)) return null;
  return part === "quick" ? [] : methods;
}

/** Registers the tests of a file that are for this part of the suite. */
export class PartOfTests {
  /** What chooses its methods by itself knows by itself what each part has. */
  static readonly #chosen = new Set<string>();
  readonly #part: Part;
  readonly #file: string;
  /** Whether its tests do more in the long part. */
  readonly #isSized: boolean;
  /** How many tests this part has. */
  count = 0;

  /**
   * @param file whose tests they are
   * @param text what is in it
   * @param part the part of the suite
   */
  constructor(file: string, text: string, part: Part = partOfRun()) {
    this.#file = file;
    this.#isSized = text.includes("isQuickPart");
    this.#part = LONG_FILE.test(file) ? "" : part;
  }

  /** Whether the part has all tests of the file. */
  get hasAll(): boolean {
    if (this.#part === "quick") return !(this.#file in THINNED_FILES);
    return this.#part !== "long" || this.#isSized;
  }

  /** Says that the methods of a test are chosen by its part. */
  static choose(name: string): void {
    this.#chosen.add(name);
  }

  /** Whether this part has a test; counts it. */
  has(name: string): boolean {
    const has = this.#has(name);
    if (has) this.count++;
    return has;
  }

  #has(name: string): boolean {
    const isChosen = PartOfTests.#chosen.has(name.slice(name.indexOf(": ") + 2));
    return this.hasAll || isChosen || isLeftToLong(name, this.#file) === (this.#part === "long");
  }
}
