/**
 * Makes the folder that is published, without a dependency and without a Node of its own: `npm run package`, or `node package.ts FOLDER`.
 * `npm pack` and `npm publish` take it from there.
 */
import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bundle } from './build.ts'
import packageManifest from './package.json' with { type: 'json' }

const [folder = 'dist/package'] = process.argv.slice(2)

const { name, version, description, license, repository, type, bin } = packageManifest

const published = {
  name,
  version,
  description,
  keywords: ['kubernetes', 'istio', 'virtualservice', 'admission-webhook', 'lint'],
  license,
  repository,
  type,
  bin,
  imports: { '#main': './meshvip.js' },
  // What undici asks for. Our own sources need a newer one, which strips their types.
  engines: { node: '>=22.19' },
}

await rm(folder, { recursive: true, force: true })
await mkdir(folder, { recursive: true })
await bundle(join(folder, 'meshvip.js'), { sourcemap: false })
await writeFile(join(folder, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`)
await cp('docs/npm.md', join(folder, 'README.md'))
for (const file of ['LICENSE', 'bin/meshvip.js', 'docs/configuration.schema.json']) await cp(file, join(folder, file))
