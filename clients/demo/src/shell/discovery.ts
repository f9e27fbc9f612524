/** The AWS frontend discovery document, with the portal's extras. */
export interface Discovery {
  schema: string;
  microFrontends: Record<string, DiscoveredVersion[]>;
}

export interface DiscoveredVersion {
  url: string;
  metadata: { version: string; integrity: string };
  extras?: { moduleFederation?: ModuleFederationExtras };
  deployment?: { traffic: number; default: boolean };
}

export interface ModuleFederationExtras {
  /** The container's name, as it was built. */
  name?: string;
  kind?: 'remote' | 'host';
  /** SRI of the files beside the manifest, by relative path. */
  integrity?: Record<string, string>;
  exposes?: string[];
}

/** One application's version that this page is to show. */
export interface Target {
  app: string;
  version: string;
  container: string;
  /** The manifest's absolute URL. */
  entry: string;
  expose: string | undefined;
  /** SRI by absolute URL, the manifest's own included. */
  integrity: ReadonlyMap<string, string>;
}

export interface Place {
  org: string;
  env: string;
  url: string;
  events: string;
}

/** Which organization and environment this page shows; null if neither query nor path names one. */
export function whereAmI(at: Location): Place | null {
  const query = new URLSearchParams(at.search);
  const org = query.get('org') ?? /^\/assets\/([^/]+)\//.exec(at.pathname)?.[1];
  if (!org) return null;
  const env = query.get('env') ?? 'production';
  const url = new URL(`/discovery/${encodeURIComponent(org)}/${encodeURIComponent(env)}`, at.origin).href;
  return { org, env, url, events: `${url}/events` };
}

/** A number from 0 to 99 that stays with this browser, for versions that share the traffic. */
function bucket(): number {
  const key = 'mes.bucket';
  try {
    const kept = localStorage.getItem(key);
    if (kept !== null) return Number(kept);
    const drawn = Math.floor(Math.random() * 100);
    localStorage.setItem(key, String(drawn));
    return drawn;
  } catch {
    return 0; // no storage: always the same side
  }
}

function pick(versions: readonly DiscoveredVersion[]): DiscoveredVersion | undefined {
  if (versions.length > 1) {
    const mine = bucket();
    let upTo = 0;
    for (const version of versions) {
      upTo += version.deployment?.traffic ?? 0;
      if (mine < upTo) return version;
    }
  }
  return versions.find((version) => version.deployment?.default) ?? versions[0];
}

/** What to show of a document, in its order. Hosts are left out: a shell does not show itself. */
export function targets(document: Discovery, base: string): Target[] {
  const found: Target[] = [];
  for (const [app, versions] of Object.entries(document.microFrontends)) {
    const chosen = pick(versions);
    if (!chosen) continue;
    const extras = chosen.extras?.moduleFederation ?? {};
    if (extras.kind === 'host') continue;
    const entry = new URL(chosen.url, base).href;
    const integrity = new Map([[entry, chosen.metadata.integrity]]);
    for (const [file, hash] of Object.entries(extras.integrity ?? {})) {
      const url = new URL(file, entry).href;
      if (url !== entry) integrity.set(url, hash);
    }
    found.push({
      app,
      version: chosen.metadata.version,
      container: extras.name ?? app,
      entry,
      expose: extras.exposes?.[0],
      integrity,
    });
  }
  return found;
}

export const sameTarget = (a: Target, b: Target) =>
  a.version === b.version &&
  a.container === b.container &&
  a.entry === b.entry &&
  a.expose === b.expose &&
  a.integrity.get(a.entry) === b.integrity.get(b.entry);
