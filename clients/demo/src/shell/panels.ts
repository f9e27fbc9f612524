import type { ComponentType } from 'react';
import { loadRemote, registerRemotes } from '@module-federation/runtime';
import { sameTarget, type Target } from './discovery';
import { known, styles } from './integrity';
import { now, record, type PageEvent } from './record';

/** A version that has been loaded; `id` is new on every load, so no state outlives a swap. */
export interface Loaded {
  id: number;
  version: string;
  entry: string;
  Page: ComponentType;
}

export interface Panel {
  target: Target;
  /** Counts the loads asked for on this page: only the newest of a panel may change it. */
  id: number;
  /** What is on the screen; the previous version stays there until the next one is loaded. */
  loaded: Loaded | null;
  error: string | null;
  /** When this load was asked for. */
  since: number;
  /** The version that was on the screen before. */
  from: string | null;
  /** Loads of this target that have failed. */
  failures: number;
}

export interface State {
  panels: readonly Panel[];
  /** The newest few things that happened, newest first. */
  activity: readonly PageEvent[];
}

type ModuleLike = Record<string, unknown>;

/** A load that hangs must not keep the next version waiting. */
const patience = 2000;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const pauseAfter = (failures: number) => Math.min(1000 * 2 ** failures, 30_000);
const message = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** The panels on the page and what discovery last said about them. */
export class Panels {
  private state: State = { panels: [], activity: [] };
  private readonly listeners = new Set<() => void>();
  private readonly loading = new Map<string, Promise<unknown>>();
  /** The manifests that each container was loaded from and whose styles may be in the document. */
  private readonly entries = new Map<string, Set<string>>();
  private ids = 0;

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  readonly read = () => this.state;

  /** Makes the page show these and nothing else; panels that are as they should be are left alone. */
  show(targets: readonly Target[]) {
    const since = now();
    const before = new Map(this.state.panels.map((panel) => [panel.target.app, panel]));
    const owners = new Map<string, string>();
    const starts: Panel[] = [];
    const panels = targets.map((target): Panel => {
      const old = before.get(target.app);
      before.delete(target.app);
      const owner = owners.get(target.container);
      if (owner === undefined) owners.set(target.container, target.app);
      // A failed panel is tried again whenever discovery speaks, even of the same version.
      if (old && !old.error && owner === undefined && sameTarget(old.target, target)) return old;
      const panel: Panel = {
        target,
        id: ++this.ids,
        loaded: old?.loaded ?? null,
        error: owner === undefined ? null : `The container name “${target.container}” is taken by ${owner}.`,
        since,
        from: old ? (old.loaded?.version ?? old.from) : null,
        failures: 0,
      };
      if (!panel.error) starts.push(panel);
      return panel;
    });
    this.update({ panels });
    for (const gone of before.values()) {
      this.log(record({ kind: 'removed', app: gone.target.app, version: gone.target.version }));
      this.sweep(gone.target.container);
    }
    for (const panel of starts) void this.load(panel);
  }

  retry(app: string) {
    const old = this.state.panels.find((panel) => panel.target.app === app);
    if (!old) return;
    const panel: Panel = { ...old, id: ++this.ids, error: null, since: now(), failures: old.failures + 1 };
    this.replace(old.id, panel);
    void this.load(panel);
  }

  /** The version that a panel's load brought is on the screen. */
  applied(id: number) {
    const panel = this.find(id);
    if (!panel?.loaded || panel.loaded.id !== id) return;
    const { app, version } = panel.target;
    const ms = now() - panel.since;
    this.log(record({ kind: 'applied', app, version, from: panel.from, ms }));
  }

  fail(id: number, error: unknown) {
    const panel = this.find(id);
    if (!panel) return;
    const { app, version } = panel.target;
    this.replace(id, { ...panel, loaded: null, error: message(error), from: panel.loaded?.version ?? panel.from });
    this.log(record({ kind: 'failed', app, version, error: message(error) }));
    this.sweep(panel.target.container);
  }

  private async load(panel: Panel) {
    const { container } = panel.target;
    // One load of a container at a time: two of them would race for one global.
    const running = this.loading.get(container);
    if (running) await Promise.race([running, pause(patience)]);
    if (!this.find(panel.id)) return; // overtaken while waiting
    const { version, entry } = panel.target;
    this.entries.set(container, (this.entries.get(container) ?? new Set()).add(entry));
    const job = fetchPage(panel.target);
    const settled = job.then(
      () => {},
      () => {},
    );
    this.loading.set(container, settled);
    void settled.then(() => this.loading.get(container) === settled && this.loading.delete(container));
    try {
      const Page = await job;
      const current = this.find(panel.id);
      if (current) this.replace(panel.id, { ...current, loaded: { id: panel.id, version, entry, Page } });
      this.sweep(container);
    } catch (error) {
      this.fail(panel.id, error);
      // The line may have been down for a moment; one that throws while it renders is not tried again.
      setTimeout(() => this.find(panel.id)?.error && this.retry(panel.target.app), pauseAfter(panel.failures));
    }
  }

  /**
   * Takes away the styles of versions that are gone. Class names are each version's own, so they do
   * no harm, but they would pile up; and a stylesheet that failed must be asked for anew.
   */
  private sweep(container: string) {
    const kept = new Set<string>();
    for (const { target, loaded, error } of this.state.panels) {
      if (target.container !== container) continue;
      if (loaded) kept.add(loaded.entry);
      if (!error) kept.add(target.entry);
    }
    for (const entry of this.entries.get(container) ?? []) {
      if (kept.has(entry)) continue;
      dropStyles(entry);
      this.entries.get(container)?.delete(entry);
    }
  }

  private find(id: number) {
    return this.state.panels.find((panel) => panel.id === id);
  }

  private replace(id: number, panel: Panel) {
    this.update({ panels: this.state.panels.map((other) => (other.id === id ? panel : other)) });
  }

  private log(event: PageEvent) {
    this.update({ activity: [event, ...this.state.activity].slice(0, 4) });
  }

  private update(change: Partial<State>) {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}

async function fetchPage(target: Target): Promise<ComponentType> {
  const { container, entry, expose, integrity } = target;
  // The runtime takes an entry for a manifest only if its URL says so.
  if (!entry.includes('.json')) throw new Error(`${entry} is not a manifest.`);
  if (!expose) throw new Error('It exposes nothing to show.');
  for (const [url, hash] of integrity) known.set(url, hash);
  registerRemotes([{ name: container, entry }], { force: true });
  const name = expose.replace(/^\.\/?/, '');
  const module = await loadRemote<ModuleLike>(name ? `${container}/${name}` : container);
  const Page = module?.default ?? Object.values(module ?? {}).find((value) => typeof value === 'function');
  if (typeof Page !== 'function' && (typeof Page !== 'object' || Page === null)) {
    throw new Error(`${expose} exports no component.`);
  }
  await Promise.race([stylesOf(entry), pause(patience)]);
  return Page as ComponentType;
}

const folderOf = (entry: string) => new URL('.', entry).href;

/** Until its styles are there a page would show bare; without them it counts as failed. */
function stylesOf(entry: string) {
  const folder = folderOf(entry);
  return Promise.all([...styles].filter(([url]) => url.startsWith(folder)).map(([, loaded]) => loaded));
}

function dropStyles(entry: string) {
  const folder = folderOf(entry);
  for (const url of styles.keys()) {
    if (url.startsWith(folder)) styles.delete(url);
  }
  for (const link of document.querySelectorAll<HTMLLinkElement>('link[rel="stylesheet"]')) {
    if (link.href.startsWith(folder)) link.remove();
  }
}
