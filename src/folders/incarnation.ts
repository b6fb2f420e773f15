/**
 * Tells one process from all others, also where its number is used again or means another process (a
 * container has numbers of its own). Reads /proc where there is one; owns nothing, and never guesses:
 * what cannot be told counts as living.
 */
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { isAlive } from '../models/pid-file.js';

/** One life of one process. Empty texts: this system does not tell. */
export interface Incarnation {
  readonly pid: number;
  /** When it started, in ticks since the boot. */
  readonly startTicks: string;
  readonly bootId: string;
  /** Within which its number is unique. */
  readonly pidNamespace: string;
  readonly host: string;
}

/** This process. */
export async function thisIncarnation(): Promise<Incarnation> {
  return {
    pid: process.pid,
    startTicks: await startTicksOf(process.pid),
    bootId: await textOf('/proc/sys/kernel/random/boot_id'),
    pidNamespace: await pidNamespace(),
    host: hostname(),
  };
}

/** Whether that process has certainly ended. False wherever it cannot be known from here. */
export async function hasEnded(other: Incarnation): Promise<boolean> {
  const here = await thisIncarnation();
  if (other.host !== here.host) return false;
  if (other.bootId !== here.bootId) return other.bootId !== '' && here.bootId !== '';
  if (other.pidNamespace !== here.pidNamespace) return false;
  if (!isAlive(other.pid)) return true;
  const startTicks = await startTicksOf(other.pid);
  return other.startTicks !== '' && startTicks !== '' && other.startTicks !== startTicks;
}

/** Whether something read from a file is an incarnation. */
export function isIncarnation(value: unknown): value is Incarnation {
  if (typeof value !== 'object' || value === null) return false;
  const texts = ['startTicks', 'bootId', 'pidNamespace', 'host'];
  // Only looked at by name, and checked here.
  const fields = value as Readonly<Record<string, unknown>>;
  return Number.isSafeInteger(fields.pid) && texts.every((key) => typeof fields[key] === 'string');
}

async function startTicksOf(pid: number): Promise<string> {
  const stat = await textOf(`/proc/${pid}/stat`);
  // The name in parentheses may hold anything; the state follows the last one, the start is 20th.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

async function pidNamespace(): Promise<string> {
  return readlink('/proc/self/ns/pid').catch(() => '');
}

async function textOf(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim();
}
