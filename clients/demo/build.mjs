// Builds every remote version and the shell into dist/.
import { readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ModuleFederationPlugin } from '@module-federation/enhanced/rspack';
import { rspack } from '@rspack/core';

const root = path.dirname(fileURLToPath(import.meta.url));
const singleton = { singleton: true, requiredVersion: '^18.2.0' };
const shared = { react: singleton, 'react-dom': singleton };

const remotes = [
  { name: 'orders', expose: 'OrdersPage', versions: ['1.0.0', '1.1.0'] },
  { name: 'inventory', expose: 'InventoryPage', versions: ['1.0.0', '1.1.0'] },
];

/** What every build has in common; `name` and `version` make its globals and CSS classes its own. */
function config({ name, version, output, federation, entry = {}, plugins = [] }) {
  return {
    name: `${name}@${version}`,
    context: root,
    mode: 'production',
    devtool: false,
    target: ['web', 'es2022'],
    entry,
    output: {
      path: output,
      clean: true,
      // Assets resolve next to the file that asks for them, so a build works under any prefix.
      publicPath: 'auto',
      // Two versions of one remote may be on a page in turn: no shared chunk-loading global.
      uniqueName: `${name}_${version.replaceAll('.', '_')}`,
      filename: '[name].[contenthash:8].js',
      chunkFilename: '[name].[contenthash:8].js',
      cssFilename: '[name].[contenthash:8].css',
      cssChunkFilename: '[name].[contenthash:8].css',
      assetModuleFilename: '[name].[contenthash:8][ext]',
      crossOriginLoading: 'anonymous',
    },
    resolve: { extensions: ['.tsx', '.ts', '.js'] },
    module: {
      parser: { 'css/auto': { namedExports: false } },
      generator: { 'css/auto': { localIdentName: '[uniqueName]-[local]' } },
      rules: [
        {
          test: /\.tsx?$/,
          loader: 'builtin:swc-loader',
          options: {
            jsc: {
              parser: { syntax: 'typescript', tsx: true },
              transform: { react: { runtime: 'automatic' } },
              target: 'es2022',
            },
          },
          type: 'javascript/auto',
        },
        { test: /\.css$/, type: 'css/auto' },
      ],
    },
    optimization: {
      chunkIds: 'named',
      moduleIds: 'natural',
      minimizer: [
        new rspack.SwcJsMinimizerRspackPlugin({ extractComments: false }),
        // Targets that know light-dark(): what it is lowered to would need the shell's help.
        new rspack.LightningCssMinimizerRspackPlugin({
          minimizerOptions: { targets: ['chrome >= 123', 'firefox >= 120', 'safari >= 17.5'] },
        }),
      ],
    },
    performance: false,
    plugins: [
      new ModuleFederationPlugin({ name, shared, manifest: true, dts: false, ...federation }),
      // The entry carries the hashes of the chunks that it loads; the shell checks the entry itself.
      new rspack.SubresourceIntegrityPlugin({ hashFuncNames: ['sha384'] }),
      new rspack.DefinePlugin({ __VERSION__: JSON.stringify(version) }),
      ...plugins,
    ],
  };
}

function build(options) {
  // The manifest's buildInfo is read from here.
  process.env.MF_BUILD_NAME = options.name;
  process.env.MF_BUILD_VERSION = options.version;
  return new Promise((resolve, reject) => {
    const compiler = rspack(config(options));
    compiler.run((error, stats) => {
      compiler.close(() => {});
      if (error) return reject(error);
      if (stats.hasErrors()) return reject(new Error(stats.toString({ all: false, errors: true })));
      if (stats.hasWarnings()) console.warn(stats.toString({ all: false, warnings: true }));
      resolve();
    });
  });
}

function size(dir) {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(path.join(entry.parentPath ?? entry.path, entry.name)).size, 0);
}

async function timed(label, output, options) {
  const start = performance.now();
  await build({ ...options, output });
  const kib = (size(output) / 1024).toFixed(0);
  console.log(`${label.padEnd(18)} ${kib.padStart(4)} KiB  ${(performance.now() - start).toFixed(0)} ms`);
}

const dist = path.join(root, 'dist');
rmSync(dist, { recursive: true, force: true });

for (const { name, expose, versions } of remotes) {
  for (const version of versions) {
    await timed(`${name} ${version}`, path.join(dist, name, version), {
      name,
      version,
      federation: {
        filename: 'remoteEntry.js',
        exposes: { [`./${expose}`]: `./src/remotes/${name}/${version}/${expose}.tsx` },
      },
    });
  }
}

const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
await timed(`shell ${version}`, path.join(dist, 'shell'), {
  name: 'shell',
  version,
  entry: { main: './src/shell/index.ts' },
  // No remote is compiled in: all of them come from discovery.
  federation: { remotes: {} },
  plugins: [
    new rspack.HtmlRspackPlugin({ template: './src/shell/index.html', scriptLoading: 'defer' }),
    new rspack.CopyRspackPlugin({
      patterns: [{ from: 'node_modules/@fontsource-variable/inter/LICENSE', to: 'inter-LICENSE.txt' }],
    }),
  ],
});
console.log(`dist ${(size(dist) / 1024).toFixed(0)} KiB`);
