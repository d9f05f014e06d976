/**
 * core.ts: an Aio with a file, for the tests of the core: what it warns of and logs is kept, and
 * what a test leaves held is done before it is closed.
 *
 * @module
 */

import { backendOf } from "../../core/inside.ts";
import { type Aio, aioOf } from "../../storage/aio.ts";
import type { AioHandle, StartOptions } from "../../core/io/handle.ts";
import type { HandleState } from "../../core/memory/handle_state.ts";
import type { IoMethod } from "../../core/io/method.ts";
import type { Layer } from "../../core/life/layer.ts";
import { openBackend } from "../../core/life/open_aio.ts";
import type { AioOptions } from "../../core/base/options.ts";
import type { ResourceOwner } from "../../core/life/resource_owner.ts";
import { AioReturn } from "../../core/io/result.ts";
import { HANDLE } from "../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../core/io/wait_ref.ts";
import { METHODS } from "../../methods/registry.ts";
import { LAYERS } from "../../storage/layers.ts";
import type { AioFile } from "../../storage/file/file.ts";
import { HeldMethod } from "./held_method.ts";
import { isOfForgottenFiles } from "./forgotten.ts";
import { contentAt, tempDir, writeRandomFile } from "./temp.ts";

/** Bytes of the file. */
export const FILE_BYTES = 65_536;
const FILE_SEED = 20_260;

/** A warning as the hook got it. */
export interface Warning {
  readonly message: string;
  readonly cause: unknown;
}

/**
 * An Aio, a file of {@linkcode FILE_BYTES} bytes opened for reading and writing, its warnings and
 * its log.
 */
export interface Fixture extends AsyncDisposable {
  readonly aio: Aio;
  readonly held: HeldMethod;
  readonly file: AioFile;
  readonly warnings: Warning[];
  readonly logs: string[];
  /** How many IOs each call of the method's `submit` took. */
  readonly submissions: number[];
  /** The messages of the warnings. */
  messages(): string[];
}

/** An IO that {@linkcode startRead} started. */
export interface StartedRead {
  readonly ref: WaitRef;
  readonly view: Uint8Array;
  readonly ret: AioReturn;
  readonly offset: number;
}

/** What the file holds from an offset on. */
export function fileContent(offset: number, length: number): Uint8Array {
  return contentAt(FILE_SEED, offset, length);
}

/** As `Aio.open()`, with layers beside those of this version. */
export async function openAio(
  options: AioOptions,
  methods: readonly IoMethod[],
  layers: readonly Layer[] = [],
): Promise<Aio> {
  return aioOf(await openBackend(options, methods, [...LAYERS, ...layers]));
}

/** Opens with `sync`: each IO is executed in its start call. */
export function openSync(options: AioOptions = {}): Promise<Fixture> {
  return openFixture(options);
}

/** Opens with a {@linkcode HeldMethod}: each IO waits until the test lets it go. */
export function openHeld(
  options: AioOptions = {},
  held = new HeldMethod(),
  layers: readonly Layer[] = [],
): Promise<Fixture> {
  return openFixture({ method: held.name, ...options }, [held], held, layers);
}

/** Opens an Aio and a file with the methods there are. */
export async function openFixture(
  options: AioOptions,
  methods: readonly IoMethod[] = METHODS,
  held = new HeldMethod(),
  layers: readonly Layer[] = [],
): Promise<Fixture> {
  const warnings: Warning[] = [];
  const logs: string[] = [];
  const dir = await tempDir();
  await writeRandomFile(dir.join("data"), FILE_BYTES, FILE_SEED);
  const aio = await openAio(
    {
      method: "sync",
      arenaBytes: 1024 * 1024,
      maxBackends: 2,
      onWarning: (message, cause) => {
        if (!isOfForgottenFiles(message)) warnings.push({ message, cause });
      },
      onLog: (message) => logs.push(message),
      logLevel: "log",
      ...options,
    },
    methods,
    layers,
  );
  const file = await aio.openFile(dir.join("data"), { read: true, write: true });
  return {
    aio,
    held,
    file,
    warnings,
    logs,
    submissions: held.submissions,
    messages: () => warnings.map((warning) => warning.message),
    async [Symbol.asyncDispose]() {
      if (held !== null && !aio.isClosed) {
        aio.errorCleanup();
        held.letGo(aio);
      }
      // A file that is left open would be warned of, and hooks are the tests' own.
      await using _dir = dir;
      await using _aio = aio;
      if (!file.isClosed) await file[Symbol.asyncDispose]();
    },
  };
}

/** Starts a read of arena memory on a handle that is already there. */
export function startOn(
  fixture: Fixture,
  handle: AioHandle,
  offset = 0,
  options?: StartOptions,
): Uint8Array {
  const view = fixture.aio.alloc(512);
  handle.setIovec(view);
  fixture.file.startReadv(handle, offset, options);
  return view;
}

/** Acquires a handle and starts a read of 512 bytes at an offset into arena memory. */
export function startRead(
  fixture: Fixture,
  offset = 0,
  options?: StartOptions & { readonly owner?: ResourceOwner },
): StartedRead {
  const ret = new AioReturn();
  const handle = fixture.aio.acquire(options?.owner ?? null, ret);
  const ref = handle.waitRef();
  const view = startOn(fixture, handle, offset, options);
  return { ref, view, ret, offset };
}

/** The state of a handle by its number. */
export function stateOf(fixture: Fixture, io: number | WaitRef): HandleState {
  return backendOf(fixture.aio).handleOf(typeof io === "number" ? io : io.index).state;
}

/**
 * Sets a handle's state word, without regard to the table of transitions, to show a call each
 * state.
 */
export function pokeState(fixture: Fixture, index: number, state: number): void {
  const { control } = backendOf(fixture.aio);
  control.words[control.handleAt(index) + HANDLE.state] = state;
}

/** A value of the wrong type, for what the compiler would refuse and JavaScript does not. */
export function wrong<T>(value: unknown): T {
  return value as T;
}
