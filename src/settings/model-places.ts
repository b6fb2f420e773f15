/**
 * Variables by which other programs are told where to keep their models. Any process; pure. They are no
 * settings of ours: nothing but the search for those models looks at them.
 */

const NAMES = [
  'OLLAMA_MODELS',
  'LLAMA_CACHE',
  'HF_HOME',
  'HF_HUB_CACHE',
  'HUGGINGFACE_HUB_CACHE',
  'XDG_CACHE_HOME',
  'LOCALAPPDATA',
] as const;

/** What they say, and whose home this is. */
export interface ModelPlaces {
  readonly variables: Readonly<Partial<Record<(typeof NAMES)[number], string>>>;
  readonly home: string;
  readonly platform: NodeJS.Platform;
}

/** Those that are set in an environment. */
export function modelPlacesIn({
  env,
  home,
  platform,
}: {
  readonly env: NodeJS.ProcessEnv;
  readonly home: string;
  readonly platform: NodeJS.Platform;
}): ModelPlaces {
  const set = NAMES.flatMap((name) => (env[name] ? [[name, env[name]]] : []));
  return { variables: Object.fromEntries(set), home, platform };
}
