/**
 * The methods: the ways to execute an IO, behind one interface. `Aio.open()` takes one by name;
 * this module is for those who ask what a machine has, or write a method of their own.
 *
 * @example What this machine has
 * ```ts
 * import { availableMethods } from "@deno-aio/aio/methods";
 *
 * const names = availableMethods().filter((method) => method.ok).map((method) => method.name);
 * if (!names.includes("sync")) throw new Error("sync is always there");
 * ```
 *
 * @module
 */

export { availableMethods, methodNames, METHODS } from "./registry.ts";
export type { IoMethodName, MethodAvailability } from "./registry.ts";
export type {
  Availability,
  Doorbell,
  IoMethod,
  MethodBackend,
  ReapingFrom,
  WorkerRow,
} from "../core/io/method.ts";
