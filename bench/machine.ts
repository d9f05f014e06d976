/**
 * machine.ts: what a benchmark ran on, in words: figures of two machines are not to be compared.
 *
 * @module
 */

/** The first line of a file; "" if it cannot be read. */
function firstLine(path: string): string {
  try {
    return Deno.readTextFileSync(path).split("\n")[0]!.trim();
  } catch {
    return "";
  }
}

function processorName(): string {
  try {
    const info = Deno.readTextFileSync("/proc/cpuinfo");
    return /^model name\s*: (.*)$/m.exec(info)?.[1] ?? "";
  } catch {
    return "";
  }
}

/** The device that a folder lies on, with its file system; "" if the system does not tell. */
async function diskOf(dir: string): Promise<string> {
  const args = ["-n", "-o", "SOURCE,FSTYPE", "--target", dir];
  try {
    const { stdout, success } = await new Deno.Command("findmnt", { args }).output();
    return success ? new TextDecoder().decode(stdout).trim().replace(/\s+/, " ") : "";
  } catch {
    return "";
  }
}

/** The model of a disk, which virtual ones do not have. */
function modelOf(disk: string): string {
  const name = /^\/dev\/([a-z]+|nvme\d+n\d+)/.exec(disk)?.[1];
  return name === undefined ? "" : firstLine(`/sys/block/${name}/device/model`);
}

/**
 * Says what this machine is.
 *
 * @param dir the folder whose disk matters
 */
export async function describeMachine(dir: string): Promise<string> {
  const disk = await diskOf(dir);
  const clock = firstLine("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  return [
    `${navigator.hardwareConcurrency} processors${processorName() && ` (${processorName()})`}`,
    `${Deno.build.os} ${Deno.osRelease()}, ${Deno.build.arch}`,
    clock && `clock source ${clock}`,
    disk && `disk ${disk}${modelOf(disk) && ` (${modelOf(disk)})`}`,
    `Deno ${Deno.version.deno}`,
  ].filter((part) => part !== "").join("; ");
}
