/**
 * crash_states.ts: the states that a power cut may leave the files of a recorded program in.
 *
 * What was flushed is there. Of what was not, each sector is as it was after some of its writes;
 * the size is one that the file had, or had on its way to it; a name is there or not.
 *
 * @module
 */

import { type Chooser, ExhaustiveChooser, RandomChooser } from "./chooser.ts";
import { type CrashState, crashStateOf } from "./crash_state.ts";
import { Disk } from "./disk.ts";
import { fileNames, type Recorded, recordedOf, type Recording, stepInWords } from "./recording.ts";
import { momentsOf } from "./timeline.ts";

/** Which states. */
export interface CrashStateOptions {
  /** How many, drawn by chance, at moments from the beginning to the end. Default: 1000. */
  readonly count?: number | undefined;
  /** Chooses them: 0 to 2^32 - 1. Default: another one each time. */
  readonly seed?: number | undefined;
  /** All there are, each at least once: of small recordings only. Default: false. */
  readonly exhaustive?: boolean | undefined;
  /** What the disk writes as a whole. Default: 512 bytes. */
  readonly sectorBytes?: number | undefined;
}

const COUNT = 1000;
const SECTOR_BYTES = 512;
const UINT32_RANGE = 2 ** 32;
/** A step, how it was chosen, and the choices. */
const SEED = /^(\d+)([:=])([\da-f.]*)$/;

/**
 * The states that a power cut may leave, in the order of the moments at which it comes. They are
 * made one by one.
 *
 * @param recording what {@linkcode recordIo} returned
 * @param options how many, and which
 * @throws {RangeError} for a number that is none of these
 */
export function* crashStates<T>(
  recording: Recording<T>,
  options: CrashStateOptions = {},
): Generator<CrashState<T>, void, undefined> {
  const { count = COUNT, seed = randomSeed(), exhaustive = false } = options;
  checkInteger("count", count, Number.MAX_SAFE_INTEGER);
  checkInteger("seed", seed, UINT32_RANGE - 1);
  const states = new States(recordedOf(recording), options);
  if (exhaustive) yield* states.all();
  else yield* states.drawn(count, seed);
}

/**
 * One state once more.
 *
 * @param recording the same as before; another one of the same program may differ in its order
 * @param seed `state.seed`
 * @param options the same `sectorBytes` as before
 * @throws {TypeError} for what is no seed of a state
 */
export function crashState<T>(
  recording: Recording<T>,
  seed: string,
  options: Pick<CrashStateOptions, "sectorBytes"> = {},
): CrashState<T> {
  const [, step, kind, choices] = SEED.exec(seed) ?? [];
  const recorded = recordedOf(recording);
  if (step === undefined || Number(step) > recorded.steps.length) {
    throw new TypeError(`Cannot make the state "${seed}": that is no seed of this recording`);
  }
  const states = new States(recorded, options);
  return kind === ":"
    ? states.drawnAt(Number(step), parseInt(choices!, 16))
    : states.chosenAt(Number(step), choices === "" ? [] : choices!.split(".").map(Number));
}

function checkInteger(name: string, value: number, max: number, min = 0): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(
    `The option "${name}" must be an integer from ${min} to ${max}: got ${value}`,
  );
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

/** The states of one recording. */
class States<T> {
  readonly #recorded: Recorded<T>;
  readonly #disk: Disk;

  constructor(recorded: Recorded<T>, { sectorBytes = SECTOR_BYTES }: CrashStateOptions) {
    checkInteger("sectorBytes", sectorBytes, UINT32_RANGE - 1, 1);
    this.#recorded = recorded;
    this.#disk = new Disk(recorded, sectorBytes);
  }

  *drawn(count: number, seed: number): Generator<CrashState<T>, void, undefined> {
    const moments = momentsOf(this.#recorded);
    const seeds = new RandomChooser();
    const chooser = new RandomChooser();
    seeds.begin(seed);
    for (let i = 0; i < count; i++) {
      const place = (i + seeds.below(UINT32_RANGE) / UINT32_RANGE) / count;
      const step = moments[Math.floor(place * moments.length)]!;
      chooser.begin(seeds.below(UINT32_RANGE));
      yield this.#make(step, chooser, ":");
    }
  }

  *all(): Generator<CrashState<T>, void, undefined> {
    for (const step of momentsOf(this.#recorded)) {
      const chooser = new ExhaustiveChooser();
      do {
        chooser.begin();
        yield this.#make(step, chooser, "=");
      } while (chooser.next());
    }
  }

  drawnAt(step: number, seed: number): CrashState<T> {
    const chooser = new RandomChooser();
    chooser.begin(seed);
    return this.#make(step, chooser, ":");
  }

  chosenAt(step: number, choices: readonly number[]): CrashState<T> {
    return this.#make(step, new ExhaustiveChooser(choices), "=");
  }

  #make(step: number, chooser: Chooser, kind: ":" | "="): CrashState<T> {
    this.#disk.advance(step);
    const { files, directories } = this.#disk.state(chooser);
    const { marks } = this.#recorded;
    const seed = `${step}${kind}${chooser.seed}`;
    const describe = () => describeMoment(this.#recorded, step);
    return crashStateOf({
      files,
      directories,
      marks,
      markCount: this.#disk.marks,
      seed,
      describe,
    });
  }
}

function describeMoment(recorded: Recorded<unknown>, step: number): string {
  const last = recorded.steps[step - 1];
  if (last === undefined) return "at the beginning";
  return `after step ${step}: ${stepInWords(recorded, last, fileNames(recorded))}`;
}
