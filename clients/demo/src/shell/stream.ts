import { targets, type Discovery, type Place } from './discovery';
import type { Panels } from './panels';
import { record } from './record';

export type Connection = 'connecting' | 'open';

const apply = (document: Discovery, place: Place, panels: Panels, id: string) => {
  const found = targets(document, place.url);
  record({ kind: 'discovery', id });
  panels.show(found);
};

/**
 * Keeps the panels at what discovery says: one read to begin with, then every document that the
 * stream pushes. EventSource reconnects by itself unless the server refuses; then we start afresh.
 */
export function follow(place: Place, panels: Panels, onConnection: (connection: Connection) => void) {
  let pushed = 0;

  async function read() {
    const before = pushed;
    const answer = await fetch(place.url, { cache: 'no-store', headers: { accept: 'application/json' } });
    if (!answer.ok) throw new Error(`Discovery answered ${answer.status}.`);
    const document = (await answer.json()) as Discovery;
    // What the stream has pushed in the meantime is at least as new.
    if (pushed === before) apply(document, place, panels, '');
  }

  function listen(delay: number) {
    onConnection('connecting');
    const source = new EventSource(place.events);
    let opened = false;
    source.onopen = () => {
      opened = true;
      onConnection('open');
    };
    source.onmessage = (event: MessageEvent<string>) => {
      try {
        apply(JSON.parse(event.data) as Discovery, place, panels, event.lastEventId);
        pushed++;
      } catch (error) {
        console.error('A pushed document could not be applied.', error);
      }
    };
    source.onerror = () => {
      onConnection('connecting');
      if (source.readyState !== EventSource.CLOSED) return;
      const wait = opened ? 250 : Math.min(delay * 2, 10_000);
      setTimeout(() => {
        read().catch(console.error);
        listen(wait);
      }, wait);
    };
  }

  listen(250);
  return read();
}
