import { Component, memo, Suspense, useEffect, useSyncExternalStore, type ReactNode } from 'react';
import type { Place } from './discovery';
import type { Loaded, Panel, Panels } from './panels';
import type { PageEvent } from './record';
import type { Connection } from './stream';

interface BoundaryProps {
  onError: (error: unknown) => void;
  children: ReactNode;
}

class Boundary extends Component<BoundaryProps, { failed: boolean }> {
  override state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  override componentDidCatch(error: unknown) {
    this.props.onError(error);
  }
  override render() {
    return this.state.failed ? null : this.props.children;
  }
}

/** Sits behind a remote's page in the same boundary: its effect runs once the page is on the screen. */
function Rendered({ onRendered }: { onRendered: () => void }) {
  useEffect(onRendered, []);
  return null;
}

const Remote = memo(function Remote({ loaded, panels }: { loaded: Loaded; panels: Panels }) {
  const { id, Page } = loaded;
  return (
    <Boundary onError={(error) => panels.fail(id, error)}>
      <Suspense fallback={<Skeleton />}>
        <Page />
        <Rendered onRendered={() => panels.applied(id)} />
      </Suspense>
    </Boundary>
  );
});

function Skeleton() {
  return (
    <div className="mes-skeleton" aria-label="Loading">
      <span />
      <span />
      <span />
      <span />
    </div>
  );
}

/** The runtime's messages bring their arguments and a link along. */
function brief(error: string) {
  const text = error.replace(/^\[ Federation Runtime \]: /, '').split(/\s+(?=#RUNTIME)|\nargs/)[0] ?? '';
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function PanelView({ panel, panels }: { panel: Panel; panels: Panels }) {
  const { target, loaded, error, id } = panel;
  const state = error ? 'failed' : loaded?.id === id ? 'ready' : 'loading';
  return (
    <article
      className="mes-panel"
      data-testid={`panel-${target.app}`}
      data-app={target.app}
      data-version={target.version}
      data-state={state}
    >
      <header className="mes-panel-head">
        <span className="mes-app">{target.app}</span>
        {/* The key restarts the highlight with every version that arrives. */}
        <span key={loaded?.id ?? 0} className={panel.from && state === 'ready' ? 'mes-chip mes-new' : 'mes-chip'}>
          {target.version}
        </span>
      </header>
      <div className="mes-panel-body">
        {error ? (
          <div className="mes-error" role="alert" data-testid={`error-${target.app}`}>
            <h2>
              {target.app} {target.version} could not be shown
            </h2>
            <p title={error}>{brief(error)}</p>
            <button type="button" onClick={() => panels.retry(target.app)}>
              Try again
            </button>
          </div>
        ) : loaded ? (
          <Remote key={loaded.id} loaded={loaded} panels={panels} />
        ) : (
          <Skeleton />
        )}
      </div>
    </article>
  );
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

function describe(event: PageEvent): string {
  switch (event.kind) {
    case 'applied':
      return event.from && event.from !== event.version
        ? `${event.app} ${event.from} → ${event.version} in ${event.ms.toFixed(0)} ms`
        : `${event.app} ${event.version} in ${event.ms.toFixed(0)} ms`;
    case 'failed':
      return `${event.app} ${event.version} failed`;
    case 'removed':
      return `${event.app} ${event.version} removed`;
    case 'discovery':
      return 'discovery';
  }
}

export interface Status {
  connection: Connection;
  /** Why nothing can be shown at all, if so. */
  trouble: string | null;
}

export function App({ place, panels, status }: { place: Place; panels: Panels; status: Status }) {
  const { panels: shown, activity } = useSyncExternalStore(panels.subscribe, panels.read);
  const versions = Object.fromEntries(shown.map(({ target }) => [target.app, target.version]));
  return (
    <>
      <header className="mes-bar">
        <svg className="mes-mark" viewBox="0 0 28 28" aria-hidden="true">
          <rect x="1" y="1" width="15" height="15" rx="4.5" />
          <rect x="12" y="12" width="15" height="15" rx="4.5" />
        </svg>
        <h1 className="mes-place">
          <span data-testid="org">{place.org}</span>
          <span className="mes-slash" aria-hidden="true">
            /
          </span>
          <span data-testid="env">{place.env}</span>
        </h1>
        <p className="mes-versions" data-testid="versions" data-versions={JSON.stringify(versions)}>
          {shown.map(({ target, error }) => (
            <span key={target.app} className={error ? 'mes-version mes-bad' : 'mes-version'}>
              {target.app} <b>{target.version}</b>
            </span>
          ))}
        </p>
        <span className="mes-live" data-testid="live" data-state={status.connection} role="status">
          {status.connection === 'open' ? 'Live' : 'Connecting'}
        </span>
      </header>
      <main className="mes-panels">
        {shown.map((panel) => (
          <PanelView key={panel.target.app} panel={panel} panels={panels} />
        ))}
        {shown.length === 0 && (
          <p className="mes-empty" data-testid="empty">
            {status.trouble ?? 'Nothing is rolled out here yet. What is will appear by itself.'}
          </p>
        )}
      </main>
      <footer className="mes-activity" data-testid="activity">
        <ol>
          {activity.map((event) => (
            <li key={`${event.kind}${event.at}`} className={event.kind === 'failed' ? 'mes-bad' : undefined}>
              <time>{clock.format(event.at)}</time> {describe(event)}
            </li>
          ))}
        </ol>
      </footer>
    </>
  );
}
