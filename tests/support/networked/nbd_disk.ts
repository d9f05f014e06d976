/**
 * nbd_disk.ts: a file system on a disk over NBD. The server keeps writes in a cache until they are
 * flushed; a kill loses them, as a power cut does.
 *
 * ```text
 * ext4 ─► loop device ─► file of nbdfuse ─► socket ─► nbdkit: cache ─► image
 * ```
 *
 * Many kernels have no NBD driver, so nbdfuse shows the disk as a file.
 *
 * @module
 */

import { fuseAvailable } from "../disks/fuse_server.ts";
import { type Machine, machineAvailable } from "./machine.ts";

const IMAGE_BYTES = 320 * 1024 * 1024;
const PROGRAMS = ["nbdkit", "nbdfuse", "mkfs.ext4"] as const;

/** Whether such a disk can be made here. */
export const nbdAvailable: boolean = machineAvailable(...PROGRAMS) && fuseAvailable();

/** What the server does at a flush: writes its cache to the image, or nothing. */
export type NbdCache = "writeback" | "unsafe";

/** The disk. */
export class NbdDisk {
  readonly #machine: Machine;
  /** How often it was mounted: each server has a socket of its own. */
  #mounts = 0;
  #isServed = false;

  private constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Makes an empty one in a machine. */
  static async make(machine: Machine): Promise<NbdDisk> {
    const image = machine.join("image");
    await machine.run("truncate", `--size=${IMAGE_BYTES}`, image);
    await machine.run("mkfs.ext4", "-q", image);
    await machine.run("mkdir", machine.join("nbd"), machine.join("mounted"));
    return new NbdDisk(machine);
  }

  /** The path of something on it. */
  join(name: string): string {
    return this.#machine.outside(this.#machine.join("mounted", name));
  }

  /** Starts the server, and mounts the disk. */
  async mount(cache: NbdCache = "writeback"): Promise<void> {
    const machine = this.#machine;
    const socket = machine.join(`socket${++this.#mounts}`);
    // Requests pass the filters in this order.
    const filters = ["log", "delay", "error", "cache"].map((name) => `--filter=${name}`);
    const settings = [
      `logfile=${machine.join("requests")}`,
      "logappend=true",
      "delay-write=1ms",
      "error=EIO",
      "error-pwrite-rate=100%",
      `error-file=${machine.join("errors")}`,
      `cache=${cache}`,
    ];
    const server = ["nbdkit", "--foreground", `--pidfile=${machine.join("pid")}`];
    const image = machine.join("image");
    await machine.start(
      () => machine.has(socket),
      ...[...server, `--unix=${socket}`, ...filters, "file", image, ...settings],
    );
    this.#isServed = true;
    const file = machine.join("nbd", "nbd");
    const url = `nbd+unix:///?socket=${socket}`;
    await machine.start(() => machine.has(file), "nbdfuse", machine.join("nbd"), url);
    await machine.run("mount", "-o", "loop", file, machine.join("mounted"));
  }

  /** Kills the server: it loses what was not flushed. */
  async killServer(): Promise<void> {
    this.#isServed = false;
    await this.#machine.kill(this.#machine.join("pid"));
  }

  /** Has each write fail from now on, or no longer. */
  async fail(isFailing: boolean): Promise<void> {
    const [verb, ...options] = isFailing ? ["touch"] : ["rm", "-f"];
    await this.#machine.run(verb!, ...options, this.#machine.join("errors"));
  }

  /** How many flushes have reached the server. */
  async flushes(): Promise<number> {
    const requests = await Deno.readTextFile(this.#machine.join("requests"));
    return requests.split(/\bFlush id=/).length - 1;
  }

  /** Unmounts it, whether its server lives or not, and ends that. */
  async unmount(): Promise<void> {
    const machine = this.#machine;
    await machine.run("umount", machine.join("mounted"));
    await machine.untilNoLoops();
    await machine.run("umount", machine.join("nbd"));
    if (this.#isServed) await this.killServer();
  }
}
