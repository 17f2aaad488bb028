/**
 * Makes one file of meshvip and all that it depends on, for the image: `npm run build`, or `node build.ts FILE`. One file starts faster
 * than two thousand, and what nobody calls is left out.
 */
import { appendFile, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build, type Metafile, type Plugin } from 'esbuild'

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

/** The folders of the packages of which something is in the bundle. */
const bundledPackages = ({ outputs }: Metafile): string[] => {
  const files = Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? [file] : [])),
  )
  const folders = files.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? [])
  return [...new Set(folders)].sort()
}

/** What a package wants to be passed on with it. */
const licenseOf = async (folder: string): Promise<string> => {
  const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort()
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))
  return [`${name} ${version}: ${license}`, ...texts.map((text) => text.trim())].join('\n\n')
}

/**
 * Makes the file, and beside it the licences of all that is in it: esbuild keeps the comments that ask for it, and most packages have a
 * file instead.
 */
export const bundle = async (outfile: string, { sourcemap }: { sourcemap: 'linked' | false }): Promise<void> => {
  const { metafile } = await build({
    entryPoints: ['src/main.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    // The oldest that the package is for (package.ts).
    target: 'node22',
    format: 'esm',
    // Names and lines stay, so that a stack trace can be read as it is.
    minifySyntax: true,
    sourcemap,
    sourcesContent: false,
    legalComments: 'linked',
    metafile: true,
    // Dependencies in CommonJS ask for Node's own modules by it.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
    plugins: [withoutUnusedModels],
    logLevel: 'warning',
  })
  const licenses = await Promise.all(bundledPackages(metafile).map(licenseOf))
  await appendFile(`${outfile}.LEGAL.txt`, licenses.map((text) => `\n${'-'.repeat(80)}\n${text}\n`).join(''))
}

if (import.meta.main) {
  const [outfile = 'dist/meshvip.js'] = process.argv.slice(2)
  await bundle(outfile, { sourcemap: 'linked' })
}
