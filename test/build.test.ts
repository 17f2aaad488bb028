import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { makeServingCertificate } from '../src/certificates/self-made.ts'
import { startFakeApiServer } from './support/fake-api-server.ts'
import { postOverTls } from './support/https.ts'
import { startMeshvip } from './support/meshvip-process.ts'
import { meshNamespace, service } from './support/objects.ts'
import { patchIn, requestFor, responseIn, reviewOf } from './support/reviews.ts'

// Far from node_modules: what the bundle lacks it would find there.
const folder = await mkdtemp(join(tmpdir(), 'meshvip-build-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const bundle = join(folder, 'meshvip.mjs')
await promisify(execFile)(process.execPath, ['build.ts', bundle])

t.test('the bundle is one file that asks for nothing but Node', async (t) => {
  const files = await readdir(folder)
  t.strictSame(files.sort(), ['meshvip.mjs', 'meshvip.mjs.LEGAL.txt', 'meshvip.mjs.map'])
  const text = await readFile(bundle, 'utf8')
  const imported = [...text.matchAll(/^import\b[^'"]*['"]([^'"]+)['"];?$/gm)].map(([, name]) => name ?? '')
  t.ok(imported.length > 10, 'its imports can be found')
  t.strictSame(
    imported.filter((name) => !isBuiltin(name)),
    [],
  )
  t.notOk(text.includes('V1PodSpec'), 'the generated models of client-node are left out')
})

t.test('the bundle serves a live cluster by its credentials, and stops when it is told to', async (t) => {
  const tls = await makeServingCertificate(['127.0.0.1'], new Date())
  const server = await startFakeApiServer(t, tls)
  server.put(meshNamespace('shop'))
  const kubeconfig = join(folder, 'kubeconfig')
  await writeFile(kubeconfig, server.kubeconfig)
  const args = ['serve', '--kubeconfig', kubeconfig, '--listen', '127.0.0.1:0']
  const meshvip = startMeshvip(t, args, { entry: bundle })
  const [, url = '', ca = ''] = await meshvip.printed(/listens on (https:\S+); its CA, new at each start, is (.+)/)
  const body = JSON.stringify(reviewOf(requestFor(service('orders'))))
  const answer = await postOverTls(`${url}/mutate`, await readFile(ca, 'utf8'), body)
  t.match(patchIn(responseIn(answer.body)), { operations: [{ op: 'add', path: '/spec/externalIPs' }] })
  t.strictSame(Object.values(server.claims), ['shop/orders'])
  t.ok(server.requests.every(({ headers }) => headers.authorization === 'Bearer a-token'))
  meshvip.kill('SIGTERM')
  t.strictSame(await meshvip.ended(), { code: 0, signal: null })
  t.equal(meshvip.stderr, '')
})
