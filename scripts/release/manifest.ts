/**
 * Whether package.json is the one of a release. Pure; what npm demands of a provenance is known here,
 * so that it is said before anything is built rather than by the registry at the very end.
 */

/** The parts of package.json that are looked at. */
export interface ReleaseManifest {
  readonly version: string;
  readonly repository?: string | { readonly url?: string };
}

/** What is being released: the tag, and the repository as `OWNER/NAME`. */
export interface ReleasePlace {
  readonly tag: string;
  readonly repository: string;
}

/** Why this package.json cannot be published from there; empty where it can. */
export function manifestProblems(
  { version, repository }: ReleaseManifest,
  place: ReleasePlace,
): readonly string[] {
  const problems: string[] = [];
  if (place.tag !== `v${version}`) {
    problems.push(`the tag ${place.tag} is not v${version}, the version of package.json`);
  }
  const url = typeof repository === 'string' ? repository : (repository?.url ?? '');
  const [, name = ''] =
    /^(?:(?:git\+)?https:\/\/github\.com\/|github:)?([\w.-]+\/[\w.-]+?)(?:\.git)?$/.exec(url) ?? [];
  if (name.toLowerCase() !== place.repository.toLowerCase()) {
    problems.push(
      `package.json does not name the repository, which a provenance needs: ` +
        `npm pkg set repository.type=git repository.url=git+https://github.com/${place.repository}.git`,
    );
  }
  return problems;
}
