import type { ModuleFederationRuntimePlugin } from '@module-federation/runtime';

/** SRI by absolute URL, for everything that discovery has named so far. */
export const known = new Map<string, string>();

/** The stylesheets of remotes that were asked for, by absolute URL. */
export const styles = new Map<string, Promise<void>>();

/**
 * registerRemotes() takes no integrity, so it is applied where the runtime lets a plugin in: the
 * manifest's fetch, and the scripts and stylesheets made for the entry and for what it preloads.
 */
export const integrityPlugin: ModuleFederationRuntimePlugin = {
  name: 'mes-integrity',
  fetch(url, init) {
    const integrity = known.get(url);
    return integrity ? fetch(url, { ...init, integrity }) : undefined;
  },
  createScript({ url }) {
    const script = document.createElement('script');
    script.src = url;
    script.crossOrigin = 'anonymous';
    const integrity = known.get(url);
    if (integrity) script.integrity = integrity;
    return script;
  },
  createLink({ url, attrs }) {
    const link = document.createElement('link');
    for (const [name, value] of Object.entries(attrs ?? {})) link.setAttribute(name, String(value));
    link.href = url;
    link.crossOrigin = 'anonymous';
    const integrity = known.get(url);
    if (integrity) link.integrity = integrity;
    if (link.rel === 'stylesheet') {
      const loaded = new Promise<void>((resolve, reject) => {
        link.addEventListener('load', () => resolve());
        link.addEventListener('error', () => reject(new Error(`The stylesheet ${url} did not load.`)));
      });
      loaded.catch(() => {}); // whoever shows the page looks at it
      styles.set(link.href, loaded);
    }
    return link;
  },
};
