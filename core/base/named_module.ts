/**
 * named_module.ts: how threads of our own find an object with functions, a layer or a method.
 * Functions cannot be posted, so such a thread gets the object's name and imports its module.
 *
 * @module
 */

import { AioInvariantError } from "./assert.ts";

/** Where an object is exported. */
export interface NamedModule {
  /** The object's property `name`; the export may be named otherwise. */
  readonly name: string;
  /** The URL of the module that exports it. */
  readonly module: string;
}

/**
 * Imports the module and finds the object. Deno wants the permission to read the module though the
 * program has loaded it already, because the URL is computed.
 *
 * @param is tells whether an object of that name is of the right kind
 */
export async function importNamed<T extends object>(
  { name, module }: NamedModule,
  is: (value: object) => value is T,
): Promise<T> {
  const exported: Record<string, unknown> = await import(module);
  for (const value of Object.values(exported)) {
    if (typeof value !== "object" || value === null) continue;
    if (Reflect.get(value, "name") === name && is(value)) return value;
  }
  throw new AioInvariantError(`"${name}" is not exported by ${module}`);
}
