/**
 * Makes one file of meshvip and all that it depends on, for the image: `npm run build`, or `node build.ts FILE`. One file starts faster
 * than two thousand, and what nobody calls is left out.
 */
import { build, type Plugin } from 'esbuild'

const [outfile = 'dist/meshvip.js'] = process.argv.slice(2)

/**
 * Lets go of the generated models of client-node, of which we use none. Its package does not say that they only define things, so that
 * all would stay that its collections (index.js, models/all.js, types/ObjectParamAPI.js) name.
 */
const withoutUnusedModels: Plugin = {
  name: 'without-unused-models',
  setup: ({ onResolve, resolve }) => {
    const name = '@kubernetes/client-node'
    const again = Symbol()
    onResolve(
      { filter: /^@kubernetes\/client-node$|\/(index|all|ObjectParamAPI)\.js$/ },
      async ({ path, kind, importer, resolveDir, pluginData }) => {
        if (pluginData === again || (path !== name && !importer.includes(`/${name}/`))) return undefined
        return { ...(await resolve(path, { kind, importer, resolveDir, pluginData: again })), sideEffects: false }
      },
    )
  },
}

await build({
  entryPoints: ['src/main.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // Names and lines stay, so that a stack trace can be read as it is.
  minifySyntax: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'linked',
  // Dependencies in CommonJS ask for Node's own modules by it.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  plugins: [withoutUnusedModels],
  logLevel: 'warning',
})
