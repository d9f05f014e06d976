/**
 * soak_numbers.ts: numbers that a soak is given on its command line.
 *
 * @module
 */

/**
 * The number of an option.
 *
 * @param values of the options, as `parseArgs()` returns them
 * @throws {RangeError} if it is none from 0 on
 */
export function numberOf<Name extends string>(
  values: Readonly<Record<Name, string>>,
  name: Name,
): number {
  const number = Number(values[name]);
  if (Number.isFinite(number) && number >= 0) return number;
  throw new RangeError(`--${name} must be a number from 0: got ${values[name]}`);
}
