import { cp, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import ownManifest from '../package.json' with { type: 'json' }
import { installPackage } from './support/packed.ts'

const { folder, files, run } = await installPackage(t)
const installed = join(folder, 'node_modules/meshvip')

t.test('the package is one file of code, and what belongs to it', async (t) => {
  t.strictSame(files.sort(), [
    'LICENSE',
    'README.md',
    'bin/meshvip.js',
    'docs/configuration.schema.json',
    'meshvip.js',
    'meshvip.js.LEGAL.txt',
    'package.json',
  ])
  const { version, description, repository } = ownManifest
  t.strictSame(JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')), {
    name: 'meshvip',
    version,
    description,
    keywords: ['kubernetes', 'istio', 'virtualservice', 'admission-webhook', 'lint'],
    license: 'Apache-2.0',
    repository,
    type: 'module',
    bin: { meshvip: 'bin/meshvip.js' },
    imports: { '#main': './meshvip.js' },
    engines: { node: '>=22.19' },
  })
  const packages = (await readdir(join(folder, 'node_modules'))).filter((name) => !name.startsWith('.'))
  t.strictSame(packages, ['meshvip'], 'nothing comes with it, and no Node')
  const legal = await readFile(join(installed, 'meshvip.js.LEGAL.txt'), 'utf8')
  for (const name of Object.keys(ownManifest.dependencies)) t.match(legal, `\n${name} `, `the licence of ${name}`)
  t.match(legal, 'Copyright (c) 2016-present The Fastify team', 'with its holder')
})

t.test('installed where there is no network, it runs', async (t) => {
  const npx = (...args: string[]) => run('npx', ['--no-install', 'meshvip', ...args])
  t.strictSame(await npx('--version'), { code: 0, stdout: `${ownManifest.version}\n`, stderr: '' })
  await cp('examples', join(folder, 'deploy'), { recursive: true })
  t.match(await npx('check', 'deploy/orders'), { code: 0, stderr: '' })
  const mistakes = await npx('check', 'deploy')
  t.match(mistakes, { code: 1, stdout: '[service-port-80]', stderr: '' })
  t.match(await npx('explain', 'service-port-80'), { code: 0, stdout: 'kind: Service', stderr: '' })
})

t.test('a Node that is older than it needs is told so in a sentence', async (t) => {
  const runOn = (version: string) => {
    const versions = `Object.defineProperty(process,'versions',{value:{...process.versions,node:'${version}'}})`
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(versions)}`
    return run(join('node_modules', '.bin', 'meshvip'), ['--version'], { env: { NODE_OPTIONS } })
  }
  for (const version of ['20.20.2', '22.18.0']) {
    const { code, stdout, stderr } = await runOn(version)
    t.strictSame({ code, stdout }, { code: 2, stdout: '' }, version)
    t.match(stderr, `meshvip: Node 22.19 or newer is needed, and this is ${version}: install it`)
    t.equal(stderr.split('\n').length, 2)
  }
  for (const version of ['22.19.0', '23.0.0']) t.match(await runOn(version), { code: 0, stderr: '' }, version)
})
