/**
 * Hosts for tests: network namespaces on a bridge, each with its name, its /etc/hosts, an address, and a link that can be cut. Where
 * the system forbids them, the same processes run over loopback.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Running, startProcess } from "./command.ts";

const network = "10.77.0";

/** Why there can be no hosts here; false where there can. */
export function skipWithoutHosts(): string | false {
  const tried = spawnSync(
    "unshare",
    ["-rnm", "sh", "-c", "ip link add b0 type bridge && nsenter --version"],
    {
      encoding: "utf8",
    },
  );
  if (tried.status === 0) return false;
  return `network namespaces are not to be had: ${(tried.stderr ?? tried.error?.message ?? "").trim()}`;
}

/** A host: a network of namespaces has several, else all are this one. */
interface Host {
  /** The process that holds its namespaces. */
  holder: ChildProcess;
  pid: number;
}

/** Several hosts on one network. */
export class Hosts implements Disposable {
  /** A folder that they share, a file system by itself; and its path outside of them. */
  readonly disk: string;
  readonly diskFromHere: string;
  readonly #switch: Host;
  readonly #hosts: Host[];
  readonly #folder: string;

  private constructor(switched: Host, hosts: Host[], folder: string) {
    this.#switch = switched;
    this.#hosts = hosts;
    this.#folder = folder;
    this.disk = join(folder, "disk");
    this.diskFromHere = `/proc/${switched.pid}/root${this.disk}`;
  }

  /**
   * Hosts called `host0`, `host1`, ...: the own name resolves to 127.0.0.1 on each, as on Debian.
   *
   * @param diskBytes - size of the disk that they share
   */
  static async start(count: number, diskBytes: number = 2 ** 20): Promise<Hosts> {
    const folder = mkdtempSync(join(tmpdir(), "preftune-hosts-"));
    mkdirSync(join(folder, "disk"));
    const mount = `mount -t tmpfs -o size=${diskBytes} tmpfs ${join(folder, "disk")}`;
    const bridge = "ip link add bridge type bridge && ip link set bridge up";
    const switched = await held(["-rnm"], `${mount} && ${bridge}`);
    const hosts: Host[] = [];
    const all = new Hosts(switched, hosts, folder);
    for (let i = 0; i < count; i++) {
      const names = join(folder, `hosts${i}`);
      const others = Array.from({ length: count }, (_, j) =>
        j === i ? "" : `${network}.${10 + j} host${j}`,
      );
      writeFileSync(names, `127.0.0.1 localhost host${i}\n${others.join("\n")}\n`);
      const own = `hostname host${i} && mount --bind ${names} /etc/hosts && ip link set lo up`;
      const host = await held(["-num"], own, inside(switched, ["-U", "-n", "-m"]));
      hosts.push(host);
      run(inside(switched, ["-U", "-n", "-m"]), [
        `ip link add port${i} type veth peer name eth0 netns ${host.pid}`,
        `ip link set port${i} master bridge up`,
      ]);
      run(inside(host, ["-U", "-n"]), [`ip addr add ${all.address(i)}/24 dev eth0`, "ip link set eth0 up"]);
    }
    return all;
  }

  address(host: number): string {
    return `${network}.${10 + host}`;
  }

  /** Starts a program of Node on a host. */
  start(host: number, args: readonly string[], variables: Record<string, string>): Running {
    return this.startAny(host, [process.execPath, "--conditions=preftune-source", ...args], variables);
  }

  /** Starts any program on a host. */
  startAny(host: number, command: readonly string[], variables: Record<string, string>): Running {
    const [program = "", ...before] = inside(this.#at(host), ["-U", "-n", "-u", "-m"]);
    return startProcess(program, [...before, ...command], { env: variables });
  }

  /** What a command prints on a host. */
  ask(host: number, command: string): string {
    return run(inside(this.#at(host), ["-U", "-n", "-u", "-m"]), [command]);
  }

  /** Bytes that the host has sent over its link, but for the headers of its packets (Ethernet, IP, TCP), whose number is the kernel's choice. */
  sentBytes(host: number): number {
    const line = readFileSync(`/proc/${this.#at(host).pid}/net/dev`, "utf8").split("eth0:")[1] ?? "";
    const [bytes = Number.NaN, packets = Number.NaN] = line.trim().split(/\s+/).slice(8).map(Number);
    return bytes - 66 * packets;
  }

  /** Cuts a host's link, or brings it back. */
  link(host: number, state: "down" | "up"): void {
    run(inside(this.#switch, ["-U", "-n", "-m"]), [`ip link set port${host} ${state}`]);
  }

  /** Lets all that a host sends wait for so many ms; why that cannot be, where the system has no such queue. */
  delay(host: number, ms: number): string | false {
    const [program = "", ...before] = inside(this.#at(host), ["-U", "-n"]);
    const command = `tc qdisc add dev eth0 root netem delay ${ms}ms`;
    const { status, stderr, error } = spawnSync(program, [...before, "sh", "-c", command], {
      encoding: "utf8",
    });
    return status === 0 ? false : `no delays by tc: ${(stderr ?? error?.message ?? "").trim()}`;
  }

  #at(host: number): Host {
    const found = this.#hosts[host];
    if (found === undefined) throw new Error(`expected a host below ${this.#hosts.length}, got ${host}`);
    return found;
  }

  [Symbol.dispose](): void {
    for (const { holder } of [...this.#hosts, this.#switch]) holder.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true });
  }
}

/** Namespaces made by `unshare`, held by a process that has run `setup` in them. */
async function held(flags: string[], setup: string, before: readonly string[] = []): Promise<Host> {
  // cat ends with this process, whose end of its input closes
  const command = [...before, "unshare", ...flags, "sh", "-c", `${setup} && echo ready && exec cat`];
  const holder = spawn(command[0] ?? "", command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
  const [text] = (await once(holder.stdout, "data")) as [Buffer];
  if (!text.toString().startsWith("ready") || holder.pid === undefined) throw new Error(`${setup}: failed`);
  return { holder, pid: holder.pid };
}

/** The start of a command line that runs in a host's namespaces. */
function inside({ pid }: Host, flags: readonly string[]): string[] {
  // a mount namespace has a working directory that is not this one
  return ["nsenter", "-t", String(pid), ...flags, `--wd=${process.cwd()}`, "--preserve-credentials", "--"];
}

function run(before: readonly string[], commands: readonly string[]): string {
  const [program = "", ...args] = [...before, "sh", "-ec", commands.join("\n")];
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${commands.join("; ")}: ${stderr}`);
  return stdout;
}
