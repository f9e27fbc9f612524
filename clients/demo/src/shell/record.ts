/** What happened on this page, for people who watch and for tests. */
export type PageEvent =
  | { kind: 'discovery'; id: string; at: number }
  | { kind: 'applied'; app: string; version: string; from: string | null; ms: number; at: number }
  | { kind: 'failed'; app: string; version: string; error: string; at: number }
  | { kind: 'removed'; app: string; version: string; at: number };

type Unstamped<T> = T extends unknown ? Omit<T, 'at'> : never;

declare global {
  interface Window {
    __mes: { events: PageEvent[] };
  }
}

const events: PageEvent[] = [];
window.__mes = { events };

/** Milliseconds since the epoch, with the page clock's resolution. */
export const now = () => performance.timeOrigin + performance.now();

export function record(event: Unstamped<PageEvent>): PageEvent {
  const stamped = { ...event, at: now() } as PageEvent;
  events.push(stamped);
  return stamped;
}
