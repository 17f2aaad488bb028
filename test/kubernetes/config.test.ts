import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { delimiter } from 'node:path'
import type { KubeConfig } from '@kubernetes/client-node'
import t from 'tap'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { KubernetesClient } from '../../src/kubernetes/client.ts'
import { loadKubeConfig, loadKubectlConfig, ownNamespace } from '../../src/kubernetes/config.ts'
import { advanceDate } from '../support/clock.ts'
import { withEnvironment } from '../support/environment.ts'
import { startFakeApiServer } from '../support/fake-api-server.ts'
import { kubeconfig } from '../support/kubeconfig.ts'
import { service } from '../support/objects.ts'

const inTime = () => AbortSignal.timeout(10_000)

t.test('the cluster of a file', async (t) => {
  const folder = t.testdir({ kubeconfig: kubeconfig({ server: 'https://192.0.2.1:6443' }) })
  t.equal(loadKubeConfig(`${folder}/kubeconfig`).getCurrentCluster()?.server, 'https://192.0.2.1:6443')
})

t.test('our own namespace is the one of the context', async (t) => {
  const text = kubeconfig({ server: 'https://192.0.2.1:6443' })
  const inMesh = text.replace('"context":{', '"context":{"namespace":"mesh",')
  const folder = t.testdir({ none: text, mesh: inMesh })
  t.equal(ownNamespace(loadKubeConfig(`${folder}/mesh`)), 'mesh')
  t.equal(ownNamespace(loadKubeConfig(`${folder}/none`)), 'default', 'where it names none')
})

t.test('what cannot be used is said in a sentence', async (t) => {
  const folder = t.testdir({
    'bad.yaml': 'clusters: [',
    'empty.yaml': '{}',
    'text.yaml': 'a kubeconfig',
    'other-context.yaml': kubeconfig({ server: 'https://192.0.2.1' }).replace(
      '"current-context":"test"',
      '"current-context":"none"',
    ),
  })
  const cases: [file: string, message: RegExp][] = [
    ['none.yaml', /^cannot read the kubeconfig \S+\/none\.yaml: ENOENT/],
    ['bad.yaml', /^cannot read the kubeconfig \S+\/bad\.yaml: /],
    ['empty.yaml', /^the kubeconfig \S+\/empty\.yaml names no cluster to talk to$/],
    ['text.yaml', /text\.yaml/],
    ['other-context.yaml', /^the kubeconfig \S+\/other-context\.yaml names no cluster to talk to$/],
  ]
  for (const [file, message] of cases) {
    t.throws(() => loadKubeConfig(`${folder}/${file}`), { name: 'UsageError', message }, file)
  }
})

const inPod = { KUBERNETES_SERVICE_HOST: '192.0.2.1', KUBERNETES_SERVICE_PORT: '6443' }
const inNoPod = { KUBERNETES_SERVICE_HOST: undefined, KUBERNETES_SERVICE_PORT: undefined }

const serverOf = (config: KubeConfig) => config.getCurrentCluster()?.server

t.test('without a file it is the cluster of the pod', async (t) => {
  withEnvironment(t, inNoPod)
  t.throws(() => loadKubeConfig(undefined), {
    name: 'UsageError',
    message: 'this is no pod of a cluster: say --kubeconfig FILE, or --standalone to run without one',
  })
  withEnvironment(t, inPod)
  t.equal(serverOf(loadKubeConfig(undefined)), 'https://192.0.2.1:6443')
})

t.test('as kubectl has it: a file, or KUBECONFIG, or that of the home folder, or the pod', async (t) => {
  const at = (host: string) => kubeconfig({ server: `https://${host}` })
  const folder = t.testdir({
    given: at('given'),
    named: at('named'),
    home: { '.kube': { config: at('home') } },
    empty: {},
  })
  const home = { HOME: `${folder}/home`, KUBECONFIG: undefined }
  const rows: [story: string, environment: Record<string, string | undefined>, server: string, file?: string][] = [
    [
      'a file goes before all',
      { ...home, KUBECONFIG: `${folder}/named`, ...inPod },
      'https://given',
      `${folder}/given`,
    ],
    ['KUBECONFIG goes before the home folder', { ...home, KUBECONFIG: `${folder}/named`, ...inPod }, 'https://named'],
    ['the home folder goes before the pod', { ...home, ...inPod }, 'https://home'],
    ['an empty KUBECONFIG is none', { ...home, KUBECONFIG: '', ...inPod }, 'https://home'],
    ['the pod', { ...home, HOME: `${folder}/empty`, ...inPod }, 'https://192.0.2.1:6443'],
  ]
  for (const [story, environment, server, file] of rows) {
    withEnvironment(t, environment)
    t.equal(serverOf(loadKubectlConfig(file, 'do without')), server, story)
  }
  withEnvironment(t, { ...home, HOME: `${folder}/empty`, ...inNoPod })
  t.throws(() => loadKubectlConfig(undefined, 'do without'), {
    name: 'UsageError',
    message: 'there is no kubeconfig: say --kubeconfig FILE, set KUBECONFIG, or do without',
  })
  t.throws(() => loadKubectlConfig(`${folder}/none`, 'do without'), { name: 'UsageError', message: /none: ENOENT/ })
})

t.test('the files of KUBECONFIG are one, and those that are not there are passed over', async (t) => {
  const of = (name: string, currentContext: string) =>
    kubeconfig({ server: `https://${name}` })
      .replaceAll('"test"', `"${name}"`)
      .replace(`"current-context":"${name}"`, `"current-context":"${currentContext}"`)
  const folder = t.testdir({
    a: of('a', 'b'),
    b: of('b', 'b'),
    c: of('c', 'c'),
    plain: of('plain', ''),
    bad: 'clusters: [',
  })
  const servers = (...names: string[]) => {
    withEnvironment(t, { KUBECONFIG: names.map((name) => `${folder}/${name}`).join(delimiter) })
    return serverOf(loadKubectlConfig(undefined, 'do without'))
  }
  t.equal(servers('none', 'a', 'b'), 'https://b', "the context of one is another's")
  t.equal(servers('b', 'c'), 'https://b', 'the first that names a context says which counts')
  t.equal(servers('plain', 'c'), 'https://c', 'which need not be the first file')
  t.throws(() => servers('plain'), { name: 'UsageError', message: /plain names no cluster to talk to$/ })
  t.throws(() => servers('a', 'a'), { name: 'UsageError', message: /^the kubeconfigs \S+, \S+ do not go together: / })
  t.throws(() => servers('a', 'bad'), { name: 'UsageError', message: /^cannot read the kubeconfig \S+bad: / })
})

t.test('connections are kept from request to request, and made anew when CA or credentials are others', async (t) => {
  const made = await makeServingCertificate(['127.0.0.1'], new Date())
  const other = await makeServingCertificate(['127.0.0.1'], new Date())
  const server = await startFakeApiServer(t, made)
  server.put(service('orders'))
  const folder = t.testdir({ 'ca.crt': made.ca })
  const text = JSON.parse(server.kubeconfig)
  text.clusters[0].cluster = { server: server.url, 'certificate-authority': `${folder}/ca.crt` }
  writeFileSync(`${folder}/kubeconfig`, JSON.stringify(text))
  const config = loadKubeConfig(`${folder}/kubeconfig`)
  const client = new KubernetesClient(config)

  /** How many connections forty requests make, one after the other. undici may make a second one while it tidies the first up. */
  const connectionsFor40Requests = async (): Promise<number> => {
    const before = server.secureConnections
    for (let i = 0; i < 40; i++) await client.list('Service', {}, inTime())
    return server.secureConnections - before
  }
  const oneOrTwo = (count: number, what: string) => t.ok(count === 1 || count === 2, `${what}: ${count}`)

  oneOrTwo(await connectionsFor40Requests(), 'at first')
  t.equal(await connectionsFor40Requests(), 0, 'later')

  writeFileSync(`${folder}/ca.crt`, `${made.ca}\n${other.ca}`)
  oneOrTwo(await connectionsFor40Requests(), 'when the CA is another')

  const certificate = {
    certData: Buffer.from(made.cert).toString('base64'),
    keyData: Buffer.from(made.key).toString('base64'),
  }
  config.users = config.users.map((user) => ({ ...user, ...certificate }))
  oneOrTwo(await connectionsFor40Requests(), 'when the client certificate is another')

  config.users = config.users.map((user) => ({ ...user, token: 'second' }))
  t.equal(await connectionsFor40Requests(), 0, 'another token needs no other connection')
  t.equal(server.requests.at(-1)?.headers.authorization, 'Bearer second')

  writeFileSync(`${folder}/ca.crt`, other.ca)
  await t.rejects(client.list('Service', {}, inTime()), { name: 'ApiError', status: 0 }, 'a CA that did not sign it')
})

t.test('the API server is spoken to by HTTP/1.1 where it offers HTTP/2, too, directly or by a proxy', async (t) => {
  const made = await makeServingCertificate(['127.0.0.1'], new Date())
  const versions: string[] = []
  const server = createSecureServer({ ...made, allowHTTP1: true }, ({ httpVersion }, response) => {
    versions.push(httpVersion)
    response.end('{"items":[]}')
  })
  let tunnels = 0
  const proxy = createServer().on('connect', ({ url = '' }, socket) => {
    tunnels++
    const there = connect(Number(url.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(there).pipe(socket)
    })
  })
  const ports = await Promise.all(
    [server, proxy].map(async (one) => {
      await once(one.listen(0, '127.0.0.1'), 'listening')
      return (one.address() as AddressInfo).port
    }),
  )
  const [port, proxyPort] = ports
  const text = JSON.parse(kubeconfig({ server: `https://127.0.0.1:${port}`, ca: made.ca }))
  const folder = t.testdir({ direct: JSON.stringify(text) })
  text.clusters[0].cluster['proxy-url'] = `http://127.0.0.1:${proxyPort}`
  writeFileSync(`${folder}/by-proxy`, JSON.stringify(text))
  const configs = ['direct', 'by-proxy'].map((file) => loadKubeConfig(`${folder}/${file}`))
  t.teardown(() => {
    server.close()
    proxy.close()
    proxy.closeAllConnections()
  })
  for (const config of configs) {
    const client = new KubernetesClient(config)
    for (let i = 0; i < 2; i++) await client.list('Service', {}, inTime())
  }
  t.strictSame(versions, ['1.1', '1.1', '1.1', '1.1'])
  t.ok(tunnels > 0, 'the proxy was used')
})

t.test('a token in a file is read again after a minute, and is waited for where it is not there', async (t) => {
  const server = await startFakeApiServer(t)
  const folder = t.testdir({ token: 'first' })
  const text = JSON.parse(server.kubeconfig)
  text.users[0].user = { 'auth-provider': { name: 'tokenFile', config: { tokenFile: `${folder}/token` } } }
  writeFileSync(`${folder}/kubeconfig`, JSON.stringify(text))
  const client = new KubernetesClient(loadKubeConfig(`${folder}/kubeconfig`))
  const sent = async () => {
    await client.list('Service', {}, inTime())
    return server.requests.at(-1)?.headers.authorization
  }

  t.equal(await sent(), 'Bearer first')
  writeFileSync(`${folder}/token`, 'second')
  advanceDate(t, 58_000)
  t.equal(await sent(), 'Bearer first', 'within a minute')
  advanceDate(t, 61_000)
  t.equal(await sent(), 'Bearer second', 'after it')
  rmSync(`${folder}/token`)
  advanceDate(t, 122_000)
  await t.rejects(sent(), { name: 'ApiError', isTransient: true })
  writeFileSync(`${folder}/token`, 'third')
  t.equal(await sent(), 'Bearer third')
})

t.test('what is under way when the CA changes is still answered', async (t) => {
  const made = await makeServingCertificate(['127.0.0.1'], new Date())
  const server = await startFakeApiServer(t, made)
  server.put(service('orders'))
  const folder = t.testdir({ kubeconfig: server.kubeconfig })
  const config = loadKubeConfig(`${folder}/kubeconfig`)
  const client = new KubernetesClient(config)
  const seen = Promise.withResolvers<void>()
  const release = Promise.withResolvers<undefined>()
  server.intercept = () => {
    seen.resolve()
    return release.promise
  }
  const first = client.list('Service', {}, inTime())
  await seen.promise
  server.intercept = () => undefined
  const twice = Buffer.from(`${made.ca}\n${made.ca}`).toString('base64')
  config.clusters = config.clusters.map((cluster) => ({ ...cluster, caData: twice }))
  t.equal((await client.list('Service', {}, inTime())).length, 1)
  t.equal(server.secureConnections, 2)
  release.resolve(undefined)
  t.equal((await first).length, 1)
})
