/**
 * module_option.ts: the option `callbackModules`: where the modules are, and what each gets.
 *
 * @module
 */

import { shown } from "./errors.ts";

/**
 * Checks what was given as the option `callbackModules`.
 *
 * @returns the URLs as texts, with clones of the data
 * @throws {TypeError} for anything but URLs and `{ url, data }`, and for data that cannot be cloned
 */
export function callbackModulesOption(value: unknown): { url: string; data: unknown }[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    throw new TypeError(
      `Cannot open aio as "callbackModules" must be a list of URLs: got ${shown(value)}`,
    );
  }
  return value.map((one: unknown) => {
    if (one instanceof URL) return { url: one.href, data: undefined };
    const hasUrl = typeof one === "object" && one !== null && "url" in one;
    if (hasUrl && one.url instanceof URL) return moduleWithData(one.url.href, one);
    throw new TypeError(
      `Cannot open aio as "callbackModules" must hold URL objects, such as ` +
        `new URL("./callbacks.ts", import.meta.url), or { url, data }: got ${
          shown(hasUrl ? one.url : one)
        }`,
    );
  });
}

function moduleWithData(url: string, given: object): { url: string; data: unknown } {
  for (const name of Object.keys(given)) {
    if (name === "url" || name === "data") continue;
    throw new TypeError(
      `Cannot open aio with the unknown option "callbackModules.${name}": known are url, data`,
    );
  }
  try {
    return { url, data: structuredClone(Reflect.get(given, "data")) };
  } catch (cause) {
    throw new TypeError(
      `Cannot open aio as the data of the callback module ${url} cannot be cloned: ` +
        "it must be such as can be posted to a Worker",
      { cause },
    );
  }
}
