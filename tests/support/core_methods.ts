/**
 * core_methods.ts: one suite for every method that the core is tested with: `held`, and every
 * method of this version, ignored by name where the machine lacks it.
 *
 * So that one test body fits all, `held` is here a {@linkcode LookedAtMethod}: IO stays in flight
 * until somebody looks for it, in `checkDone()`, in `waitSync()` or by awaiting it, whichever
 * thread does. A test that wants it to end otherwise calls `fixture.held` itself.
 *
 * A rule that holds in every state runs on every method. One about IO that is staged cannot be seen
 * with `sync` (needs {@linkcode STAGING}); one about IO that stays in flight until the test lets it
 * go can be seen with `held` alone, so such tests call `openHeld()` and are named after it.
 *
 * @module
 */

import { Doorbells } from "../../core/waiting/doorbell.ts";
import type { AioHandle } from "../../core/io/handle.ts";
import type { IoMethod, MethodBackend } from "../../core/io/method.ts";
import type { AioOptions } from "../../core/base/options.ts";
import type { Layer } from "../../core/life/layer.ts";
import { FILE_BYTES, fileContent, type Fixture, openAio, openHeld, type Warning } from "./core.ts";
import { HeldMethod } from "./held_method.ts";
import { isOfForgottenFiles } from "./forgotten.ts";
import { METHODS_UNDER_TEST, methodsOfPart } from "./methods.ts";
import { SharedCore } from "./shared_cores.ts";
import { tempDir } from "./temp.ts";
import type { Turns } from "./turns.ts";
import { METHODS_FOR_TESTS, ONE_WORKER, poolUp, SMALL_POOL } from "./workers/worker_pool.ts";

/** The name of the method that waits until somebody looks. */
export const HELD = "held";
/** Threads that may attach, if a test does not say. */
const BACKENDS = 4;

/** A method, and whether its tests can run here. */
export interface CoreMethod {
  /** Its name, as in the option `method`. */
  readonly name: string;
  /** Whether this machine lacks it. */
  readonly ignore: boolean;
}

/** Every method that the core is tested with. */
export const CORE_METHODS: readonly CoreMethod[] = [
  { name: HELD, ignore: false },
  ...METHODS_UNDER_TEST,
];

/** The methods that keep IO staged in a batch: `sync` executes each in its start call. */
export const STAGING: readonly string[] = CORE_METHODS.map(({ name }) => name)
  .filter((name) => name !== "sync");

/** What a test of one method is given. */
export interface CoreTest {
  /** The method's name. */
  readonly method: string;
  /** Opens an Aio with it, and a file; the options, and the layers, are in addition. */
  open(options?: AioOptions, layers?: readonly Layer[]): Promise<Fixture>;
}

/** What a test needs beside the method. */
export interface CoreNeeds {
  /** The methods that it makes sense for; default: all. */
  readonly only?: readonly string[];
  /** Whether the machine has what else it needs; default: yes. */
  readonly isPossible?: boolean;
  /** Those of its subject, in which it runs with some methods only in the quick part. */
  readonly turns?: Turns;
}

/** The same, of a test that shares its Aio. */
export interface SharedCoreNeeds extends CoreNeeds {
  /** The options of the Aio, in addition. */
  readonly options?: AioOptions;
  /** Its layers, in addition. */
  readonly layers?: readonly Layer[];
}

/**
 * Registers a test for each method, named `held: aio.wait() does x`, `sync: aio.wait() does x`.
 *
 * @param name what is shown, in words
 * @param fn opens what it needs with `test.open()`
 * @param needs where it does not run everywhere
 */
export function testEachCoreMethod(
  name: string,
  fn: (test: CoreTest) => void | Promise<void>,
  needs: CoreNeeds = {},
): void {
  for (const { name: method, ignore } of coreMethodsFor(name, needs)) {
    Deno.test({
      name: `${method}: ${name}`,
      ignore: ignore || needs.isPossible === false,
      fn: () => fn({ method, open: (options, layers) => openCore(method, options, layers) }),
    });
  }
}

/**
 * The same for a test that leaves its Aio as it found it: one Aio a method does for all such tests
 * of a file that want the same options. Its handles are idle, but were used before.
 *
 * @param name what is shown, in words
 * @param fn gets an Aio with a file, and the method's name
 * @param needs where it does not run everywhere, and the options of its Aio
 */
export function testSharedCores(
  name: string,
  fn: (fixture: Fixture, method: string) => void | Promise<void>,
  needs: SharedCoreNeeds = {},
): void {
  for (const { method, core } of sharedCores(name, needs)) {
    Deno.test({
      name: `${method}: ${name}`,
      ignore: core === null,
      async fn() {
        await using fixture = await core!.take();
        await fn(fixture, method);
      },
    });
  }
}

/**
 * The same for tests of which one part is done for all methods at once, by the first of them: such
 * as one thread that is attached to all their Aios and dies.
 *
 * @param name what is shown, in words
 * @param prepare is called once, with the Aios of all methods
 * @param check gets one of them afterwards, and the method's name
 * @param needs where it does not run everywhere, and the options of its Aio
 */
export function testCoresAtOnce(
  name: string,
  prepare: (fixtures: readonly Fixture[]) => Promise<void>,
  check: (fixture: Fixture, method: string) => void | Promise<void>,
  needs: SharedCoreNeeds = {},
): void {
  const all = sharedCores(name, needs);
  const run = async () => {
    const taken = new Map<string, Fixture>();
    for (const { method, core } of all) {
      if (core !== null) taken.set(method, await core.take());
    }
    const prepared = prepare([...taken.values()]);
    const faults = new Map<string, unknown>();
    for (const [method, own] of taken) {
      try {
        await using fixture = own;
        await prepared;
        await check(fixture, method);
      } catch (error) {
        faults.set(method, error);
      }
    }
    return faults;
  };
  let outcome: ReturnType<typeof run> | null = null;
  for (const { method, core } of all) {
    Deno.test({
      name: `${method}: ${name}`,
      ignore: core === null,
      async fn() {
        const faults = await (outcome ??= run());
        if (faults.has(method)) throw faults.get(method);
      },
    });
  }
}

/** The methods that a test is registered for. */
function coreMethodsFor(name: string, { only, turns }: CoreNeeds): readonly CoreMethod[] {
  const sensible = CORE_METHODS.filter((method) => only?.includes(method.name) !== false);
  return methodsOfPart(name, sensible, turns);
}

/** The shared Aios of the methods that such a test is registered for; null: it cannot run. */
function sharedCores(
  name: string,
  needs: SharedCoreNeeds,
): { method: string; core: SharedCore | null }[] {
  return coreMethodsFor(name, needs).map(({ name: method, ignore }) => {
    const isPossible = !ignore && needs.isPossible !== false;
    const core = isPossible ? SharedCore.of(method, openShared, needs.options, needs.layers) : null;
    return { method, core };
  });
}

function openShared(
  method: string,
  options: AioOptions,
  layers: readonly Layer[],
): Promise<Fixture> {
  return openCore(method, { workers: ONE_WORKER, ...options }, layers);
}

/** Opens an Aio and a file; the method is one of {@linkcode CORE_METHODS}. */
function openCore(
  method: string,
  options: AioOptions = {},
  layers: readonly Layer[] = [],
): Promise<Fixture> {
  const all = { maxBackends: BACKENDS, ...options };
  return method === HELD
    ? openHeld(all, new LookedAtMethod(), layers)
    : openMethod(method, all, METHODS_FOR_TESTS, layers);
}

/** The methods that a thread knows which attaches to an Aio of one of {@linkcode CORE_METHODS}. */
export function methodsFor(method: string): readonly IoMethod[] {
  return method === HELD ? [new LookedAtMethod()] : METHODS_FOR_TESTS;
}

/**
 * A held method that behaves like a ring of the kernel whose IO takes no time: a wait for an IO
 * ends it, and a look for completions of the own thread takes all that there are. Submitting rings
 * the thread's own doorbell, as such a ring does.
 */
export class LookedAtMethod extends HeldMethod {
  readonly #submitted = new Set<AioHandle>();

  override submit(backend: MethodBackend, staged: readonly AioHandle[], count: number): number {
    const taken = super.submit(backend, staged, count);
    for (const handle of staged.slice(0, count)) this.#submitted.add(handle);
    new Doorbells(backend.control, backend.libc, backend.id).ringSelf();
    return taken;
  }

  override waitOne(backend: MethodBackend, handle: AioHandle): void {
    this.waits.push(handle.index);
    this.#letGo(backend, handle);
  }

  override checkOne(backend: MethodBackend, handle: AioHandle): void {
    this.checks.push(handle.index);
    this.#letGo(backend, handle);
    if (handle.backendId !== backend.id) return;
    for (const own of this.#submitted) this.#letGo(backend, own);
  }

  /** Several threads may look at one IO: only the one that claims it performs it. */
  #letGo(backend: MethodBackend, handle: AioHandle): void {
    this.#submitted.delete(handle);
    if (backend.claim(handle)) backend.performSynchronously(handle);
  }
}

/** As `openHeld()`, with a method of this version, or of those that are given. */
export async function openMethod(
  method: string,
  options: AioOptions,
  methods: readonly IoMethod[] = METHODS_FOR_TESTS,
  layers: readonly Layer[] = [],
): Promise<Fixture> {
  const warnings: Warning[] = [];
  const logs: string[] = [];
  const submissions: number[] = [];
  await using opened = new AsyncDisposableStack();
  const dir = opened.use(await tempDir());
  await Deno.writeFile(dir.join("data"), fileContent(0, FILE_BYTES));
  const aio = opened.use(
    await openAio(
      {
        method,
        arenaBytes: 1024 * 1024,
        workers: SMALL_POOL,
        onWarning: (message, cause) => {
          if (!isOfForgottenFiles(message)) warnings.push({ message, cause });
        },
        onLog: (message) => logs.push(message),
        logLevel: "log",
        ...options,
      },
      methods.map((one) => countSubmissions(one, submissions)),
      layers,
    ),
  );
  await poolUp(aio);
  // A file that is left open would be warned of, and hooks are the tests' own.
  const file = await aio.openFile(dir.join("data"), { read: true, write: true });
  opened.defer(async () => {
    if (!file.isClosed) await file[Symbol.asyncDispose]();
  });
  const kept = opened.move();
  return {
    aio,
    held: new HeldMethod(),
    file,
    warnings,
    logs,
    submissions,
    messages: () => warnings.map((warning) => warning.message),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** The same method, which also keeps how many IOs each submit took. */
function countSubmissions(method: IoMethod, submissions: number[]): IoMethod {
  return {
    ...method,
    submit(backend, staged, count) {
      submissions.push(count);
      return method.submit(backend, staged, count);
    },
  };
}
