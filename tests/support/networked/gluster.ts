/**
 * gluster.ts: a GlusterFS volume with three replicas, whose servers and bricks are in one machine
 * of their own (machine.ts). A brick is a folder on an XFS, and a process that serves it.
 *
 * @module
 */

import { hangs } from "../patience.ts";
import { ADDRESS, type Machine, machineAvailable } from "./machine.ts";

/** The bricks, by their names. */
export const BRICKS = ["1", "2", "3"] as const;
const VOLUME = "replicated";
const IMAGE_BYTES = 1024 * 1024 * 1024;
const PROGRAMS = ["glusterd", "gluster", "glusterfs", "mkfs.xfs"] as const;

/** Whether such a volume can be made here. */
export const glusterAvailable: boolean = machineAvailable(...PROGRAMS);

/** The volume. */
export class GlusterVolume {
  readonly #machine: Machine;

  private constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Makes an empty one in a machine, and starts it. */
  static async make(machine: Machine): Promise<GlusterVolume> {
    const volume = new GlusterVolume(machine);
    const [image, folder] = [machine.join("image"), machine.join("bricks")];
    await machine.run("truncate", `--size=${IMAGE_BYTES}`, image);
    await machine.run("mkfs.xfs", "-q", image);
    await machine.run("mkdir", folder);
    await machine.run("mount", "-o", "loop", image, folder);
    const bricks = BRICKS.map((brick) => `${folder}/${brick}`);
    await machine.run("mkdir", ...bricks);
    const isUp = async () => (await machine.tryRun("gluster", "pool", "list")).code === 0;
    await machine.start(isUp, "glusterd", "--no-daemon");
    const places = bricks.map((path) => `${ADDRESS}:${path}`);
    await volume.#say("create", VOLUME, "replica", `${BRICKS.length}`, ...places, "force");
    await volume.#say("start", VOLUME);
    return volume;
  }

  #say(...command: string[]): Promise<string> {
    return this.#machine.run("gluster", "--mode=script", "volume", ...command);
  }

  /** Mounts it, as another machine would. @returns the path */
  async mount(name: string): Promise<string> {
    const path = this.#machine.join(name);
    await this.#machine.run("mkdir", path);
    const isUp = () => this.#machine.mounts.includes(` ${path} fuse.glusterfs `);
    const options = [`--volfile-server=${ADDRESS}`, `--volfile-id=${VOLUME}`];
    await this.#machine.start(isUp, "glusterfs", "--no-daemon", ...options, path);
    return this.#machine.outside(path);
  }

  /** Unmounts it. */
  async unmount(name: string): Promise<void> {
    await this.#machine.run("umount", this.#machine.join(name));
  }

  /** The path of the folder that a brick serves. */
  brick(name: string): string {
    return this.#machine.outside(this.#machine.join("bricks", name));
  }

  /** Kills the process of a brick, which is not warned. */
  async kill(brick: string): Promise<void> {
    const path = this.#machine.join("bricks", brick).replaceAll("/", "-");
    await this.#machine.kill(`/run/gluster/vols/${VOLUME}/${ADDRESS}${path}.pid`);
  }

  /** Starts the processes of bricks again that were killed. */
  async startBricks(): Promise<void> {
    await this.#say("start", VOLUME, "force");
  }

  /** The same, and waits until each brick holds what the others hold. */
  async heal(): Promise<void> {
    await this.startBricks();
    let state = "";
    const isHealed = async () => {
      // This is refused until the brick is back.
      await this.#machine.tryRun("gluster", "volume", "heal", VOLUME);
      state = (await this.#machine.tryRun("gluster", "volume", "heal", VOLUME, "info")).stdout;
      return state.split("\nNumber of entries: 0\n").length > BRICKS.length;
    };
    for (const isHanging = hangs(); !await isHealed();) {
      if (isHanging()) throw new Error(`The bricks do not become equal: ${state}`);
    }
  }
}
