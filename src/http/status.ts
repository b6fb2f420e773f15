/**
 * GET /v1/status: what the server holds and does. Runs in the server; answers at once from what is
 * known, whatever else is running. It must never ask the engine or touch a file.
 */
import { freemem, totalmem } from 'node:os';
import type { HoshikageError } from '../errors.js';
import type { Figures, Times } from '../figures.js';
import type { PoolStatus, ResidentStatus } from '../resources/pool-status.js';
import type { AppDeps, LibraryReport } from './deps.js';
import { bilingual } from './error.js';
import { wireData } from './wire-names.js';

/** The answer. Times in ms unless named otherwise, memory in bytes. */
export function statusOf(deps: AppDeps): object {
  const { residents, queue, held } = deps.pool.status();
  const generating = residents.find(({ purpose }) => purpose === 'generate');
  return {
    status: 'ok',
    version: deps.version,
    uptime_s: Math.floor((Date.now() - deps.startedAt) / 1000),
    library: libraryOf(deps.library.status()),
    model: generating ? residentOf(generating) : null,
    residents: residents.map(residentOf),
    queue: queueOf(queue),
    held: heldOf(held),
    ramdisk: deps.ramdisk ? wireData(deps.ramdisk.status()) : null,
    states: deps.states ? wireData(deps.states.status()) : null,
    models: deps.catalog.list().length,
    problem: deps.catalog.problem && problemOf(deps.catalog.problem),
    figures: figuresOf(deps.figures),
    memory: {
      rss: process.memoryUsage.rss(),
      free: freemem(),
      total: totalmem(),
    },
  };
}

/** What has been counted since the start. */
function figuresOf(figures: Figures): object {
  const { requests, running, streams, tokens, loopDelay } = figures;
  return {
    requests: { running, ...requests },
    streams,
    tokens,
    queue_wait: timesOf(figures.queueWait),
    load_wait: timesOf(figures.loadWait),
    first_token: timesOf(figures.firstToken),
    per_token: timesOf(figures.perToken),
    event_loop_delay: { ...timesOf(loopDelay), p99_ms: exact(loopDelay.within(0.99)) },
  };
}

/** Times as a histogram: up to each of `le_ms` from the one before, and in the end above them all. */
function timesOf({ count, sumMs, maxMs, bounds, counts }: Times): object {
  return { count, sum_ms: exact(sumMs), max_ms: exact(maxMs), le_ms: bounds, counts };
}

/** The library as an answer shows it. */
export function libraryOf({ state, path, origin, identity, error, scan }: LibraryReport): object {
  return {
    state,
    path: identity?.path ?? path,
    origin,
    version: identity?.version ?? null,
    ggml_version: identity?.ggmlVersion ?? null,
    ggml_commit: identity?.ggmlCommit ?? null,
    layout: identity?.layout ?? null,
    minimal: identity?.minimal ?? false,
    bracket: scan?.bracket ?? identity?.bracket ?? null,
    newer: scan?.unknownSymbols.length ?? 0,
    devices: (identity?.devices ?? []).map((device) => ({
      name: device.name,
      description: device.description,
      type: device.type,
      total: device.totalBytes,
      free: device.freeBytes,
    })),
    error: error && problemOf(error),
  };
}

/** One model in memory, as an answer shows it. */
export function residentOf(resident: ResidentStatus): object {
  const { id, state, purpose, progress, info, slots, active, idleMs, unloadInMs, pid } = resident;
  const { estimate } = resident;
  return {
    id,
    state,
    purpose,
    progress,
    pid,
    active,
    idle_ms: rounded(idleMs),
    unload_in_ms: rounded(unloadInMs),
    memory: resident.memoryBytes,
    memory_estimate: estimate && {
      weights: estimate.weightsBytes,
      kv: estimate.kvBytes,
      compute: estimate.computeBytes,
    },
    loaded_from: resident.loadedFrom,
    description: info?.model.description ?? null,
    // After a switch it may still be another than the one in use.
    library: info?.library.path ?? null,
    size: info?.model.sizeBytes ?? null,
    context_length: info?.contextTokens ?? null,
    slot_choice: info?.slotChoice?.how ?? null,
    slots: slots.map((slot) => ({
      id: slot.id,
      state: slot.state,
      cached_tokens: slot.cachedTokens,
      prompt_tokens: slot.promptTokens,
      generated_tokens: slot.generatedTokens,
    })),
    counters: resident.counters && wireData(resident.counters),
  };
}

/** Who waits, as an answer shows it. */
export function queueOf({ length, limit, oldestWaitMs, waiting }: PoolStatus['queue']): object {
  return {
    length,
    limit,
    oldest_wait_ms: Math.round(oldestWaitMs),
    waiting: waiting.map(({ model, position, waitedMs, priority, state }) => ({
      model,
      position,
      waited_ms: Math.round(waitedMs),
      priority,
      state,
    })),
  };
}

/** Models that are held back, as an answer shows them. */
export function heldOf(held: PoolStatus['held']): object {
  return held.map(({ model, crashes }) => ({ model, crashes }));
}

/** To the microsecond. */
function exact(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}

/** What is wrong, in the same words as an error answer. */
function problemOf(error: Pick<HoshikageError, 'code' | 'details'>): object {
  return { code: error.code, message: bilingual(error) };
}
