/**
 * What an engine process is told on its command line: what it needs before its first message.
 * Pure functions, both processes. It must never carry a path or anything secret: `ps` shows it.
 */

/** How an engine process behaves, whatever it loads. */
export interface HostBehaviour {
  /** 0 to 19; 0 = its priority is left alone. */
  readonly nice: number;
  /** How long it may have work and make no progress, ms; 0 = for ever. */
  readonly hangLimitMs: number;
}

/** The command line that says this. */
export function hostArguments({ nice, hangLimitMs }: HostBehaviour): string[] {
  return [`--nice=${nice}`, `--hang-limit=${hangLimitMs}`];
}

/** What a command line says; what it does not say is as in a plain process. */
export function hostBehaviour(args: readonly string[]): HostBehaviour {
  return { nice: numberOf(args, 'nice', 0), hangLimitMs: numberOf(args, 'hang-limit', 0) };
}

function numberOf(args: readonly string[], name: string, usual: number): number {
  const start = `--${name}=`;
  const text = args.find((one) => one.startsWith(start))?.slice(start.length);
  const value = Number(text || Number.NaN);
  return Number.isFinite(value) ? value : usual;
}
