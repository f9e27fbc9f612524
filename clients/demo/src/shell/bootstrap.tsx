import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { registerGlobalPlugins, registerPlugins } from '@module-federation/runtime';
import { App, type Status } from './App';
import { whereAmI } from './discovery';
import { integrityPlugin } from './integrity';
import { Panels } from './panels';
import { follow } from './stream';
import './shell.css';

// The first reaches instances that remotes make for themselves, the second this shell's own.
registerGlobalPlugins([integrityPlugin]);
registerPlugins([integrityPlugin]);

const root = createRoot(document.getElementById('root')!);
const place = whereAmI(location);

if (!place) {
  root.render(<p className="mes-empty">Say which organization: add ?org=… to the address.</p>);
} else {
  document.title = `${place.org} / ${place.env}`;
  const panels = new Panels();
  let status: Status = { connection: 'connecting', trouble: null };
  const set = (change: Partial<Status>) => {
    status = { ...status, ...change };
    root.render(
      <StrictMode>
        <App place={place} panels={panels} status={status} />
      </StrictMode>,
    );
  };
  follow(place, panels, (connection) => set({ connection })).catch((error: unknown) => {
    console.error(error);
    set({ trouble: error instanceof Error ? error.message : String(error) });
  });
}
