import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type TLSSocket } from 'node:tls'
import { isDeepStrictEqual } from 'node:util'
import type { Test } from 'tap'
import { hopsOf, trustedByAll } from '../../src/registration/published.ts'
import type { RegistrationOptions } from '../../src/server/live-cluster.ts'
import { startBalancer } from '../testbed/balancer.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'
import { applyShells, inOwnNamespace, ownNamespace as namespace } from '../testbed/webhook.ts'
import { type Api, openApi } from './api.ts'
import { type Cluster, serviceManifest, submit, testOnControlPlane, until } from './cluster.ts'
import { freeListeners, Instance, startReplica } from './instances.ts'
import { allIsWell, failuresOf, figures, increase, Load, prepareLoad, webhookCounts } from './load.ts'

const secret = 'meshvip-tls'
const kinds = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'] as const
const pathOf = (kind: (typeof kinds)[number]) => `/apis/admissionregistration.k8s.io/v1/${kind}/meshvip`
const secretPath = `/api/v1/namespaces/${namespace}/secrets/${secret}`

/** Short times for all that takes its time, which leave a loaded machine some. */
const times: NonNullable<RegistrationOptions['times']> = {
  registrar: { interval: 500, unprovenInterval: 300, overlap: 6_000, lifetime: 24_000 },
  follower: { interval: 300, settle: 3_000 },
}

/** Two replicas that register themselves at the balancer before them. They do not run yet. */
const prepareReplicas = async (t: Test, controlPlane: ControlPlane) => {
  const kubeconfig = await inOwnNamespace(controlPlane.kubeconfig)
  let url = ''
  const instances = (await freeListeners(2)).map(
    (listeners) =>
      new Instance(listeners, () => {
        const registration = { to: { url }, secret, selfManaged: true, times }
        return startReplica(t, { kubeconfig, ...listeners, drain: 4_000, registration })
      }),
  )
  const balancer = await startBalancer(instances)
  url = balancer.url
  t.teardown(() => balancer.stop())
  return { instances: instances as [Instance, Instance], balancer }
}

const configurations = (api: Api): Promise<object[]> =>
  Promise.all(kinds.map(async (kind) => JSON.parse((await api.send('GET', pathOf(kind))).text) as object))

/** An entry of a webhook configuration. */
type Entry = {
  name: string
  clientConfig: { caBundle?: string; service?: object }
  matchConditions?: object[]
  objectSelector?: object
}

const entriesOf = async (api: Api, kind: (typeof kinds)[number]): Promise<Entry[]> =>
  JSON.parse((await api.send('GET', pathOf(kind))).text).webhooks

const each =
  (change: (entry: Entry) => Entry) =>
  (entries: Entry[]): Entry[] =>
    entries.map(change)

/** Without what is another with each certificate. */
const withoutCA = ({ clientConfig: { caBundle: _, ...clientConfig }, objectSelector, ...entry }: Entry) => ({
  ...entry,
  clientConfig,
  objectSelector: entry.name === 'probe.meshvip.dev' ? undefined : objectSelector,
})

/** Whether what is to fail closed does. */
const failsClosed = async (api: Api): Promise<boolean> => {
  const hops = (await configurations(api)).flatMap(hopsOf)
  return hops.some(({ name, failurePolicy }) => name === 'virtual-hosts.meshvip.dev' && failurePolicy === 'Fail')
}

const storedCertificate = async (api: Api): Promise<Buffer> => {
  const { data } = JSON.parse((await api.send('GET', secretPath)).text)
  return Buffer.from(data['tls.crt'], 'base64')
}

const storedLeaf = async (api: Api): Promise<string> => new X509Certificate(await storedCertificate(api)).fingerprint256

/** Connects again and again as an API server does that heard of the configurations a second ago; collects what it does not trust. */
const watchHandshakes = (api: Api, url: string, signal: AbortSignal) => {
  const seen = { handshakes: 0, leaves: new Set<string>(), failures: [] as string[] }
  const { hostname, port } = new URL(url)
  const running = (async () => {
    const heard: { at: number; ca: string[] }[] = []
    while (!signal.aborted) {
      const published = trustedByAll((await configurations(api)).flatMap(hopsOf))
      heard.push({ at: performance.now(), ca: published.map(String) })
      const late = heard.findLast(({ at }) => at <= performance.now() - 1_000)
      if (late !== undefined) {
        const socket: TLSSocket = connect({ host: hostname, port: Number(port), ca: late.ca })
        try {
          await once(socket, 'secureConnect')
          seen.handshakes++
          seen.leaves.add(String(socket.getPeerX509Certificate()?.fingerprint256))
        } catch (error) {
          seen.failures.push(String(error))
        }
        socket.destroy()
      }
      await sleep(100)
    }
  })()
  return { seen, stopped: running }
}

const badService = serviceManifest('shop', 'bad', { ports: [{ name: 'http', port: 80 }] })

await testOnControlPlane('a registration that looks after itself', async (t, controlPlane) => {
  const api = openApi(controlPlane)
  t.teardown(() => api.close())
  const cluster = controlPlane as Cluster
  await applyShells(controlPlane)
  await prepareLoad(cluster)
  const { instances, balancer } = await prepareReplicas(t, controlPlane)
  const [a, b] = instances

  await t.test('before a server runs the cluster is as it was', async (t) => {
    const { code, stderr } = await submit(cluster, ['apply', '--dry-run=server'], badService)
    t.equal(code, 0, 'nothing is refused', { stderr })
  })

  await t.test('while the API server does not reach it everything fails open', async (t) => {
    const [victim] = instances
    await victim.start()
    const warned = () => victim.running.log.find(({ msg }) => String(msg).startsWith('the registration is not'))
    t.ok(await until(async () => (await configurations(api)).flatMap(hopsOf).length > 10), 'it is registered')
    t.ok(await until(async () => warned() !== undefined), 'it says that it is not reached')
    const hops = (await configurations(api)).flatMap(hopsOf)
    t.strictSame(
      hops.filter(({ failurePolicy }) => failurePolicy === 'Fail').map(({ name }) => name),
      ['probe.meshvip.dev'],
      'nothing fails closed but its own probe',
    )
  })

  await t.test('once it is proved to be reached it fails closed', async (t) => {
    await b.start()
    await Promise.all(instances.map((instance) => balancer.until(instance, true)))
    t.ok(await until(() => failsClosed(api)))
    t.match((await submit(cluster, ['apply'], badService)).stderr, 'service-port-80')
  })

  await t.test('a damaged caBundle is mended, and so is a Secret that was deleted', async (t) => {
    const [first] = kinds
    const { webhooks } = JSON.parse((await api.send('GET', pathOf(first))).text)
    const leaf = await storedLeaf(api)
    for (const webhook of webhooks) delete webhook.clientConfig.caBundle
    await api.send('PATCH', pathOf(first), { webhooks })
    t.ok(await until(async () => trustedByAll((await configurations(api)).flatMap(hopsOf)).length > 0), 'it is mended')
    t.ok(await until(() => failsClosed(api)), 'and closed again')
    await api.send('DELETE', secretPath)
    t.ok(await until(async () => (await api.send('GET', secretPath)).status === 200), 'there is one again')
    t.not(await storedLeaf(api), leaf)
  })

  await t.test('what others change in an entry or beside it is as it was before', async (t) => {
    const condition = { name: 'never', expression: 'false' }
    const elsewhere = { service: { namespace: 'shop', name: 'orders', path: '/' } }
    const table: [what: string, change: (entries: Entry[]) => Entry[]][] = [
      ['a condition removed', each(({ matchConditions: _, ...entry }) => entry)],
      [
        'a condition added',
        each(({ matchConditions = [], ...entry }) => ({ ...entry, matchConditions: [...matchConditions, condition] })),
      ],
      ['objects selected', each((entry) => ({ ...entry, objectSelector: { matchLabels: { by: 'hand' } } }))],
      ['all namespaces selected', each((entry) => ({ ...entry, namespaceSelector: {} }))],
      ['a Service in place of the URL', each((entry) => ({ ...entry, clientConfig: elsewhere }))],
      ['an entry by another name', ([first, ...rest]) => [{ ...(first as Entry), name: 'other.example.org' }, ...rest]],
      ['an entry added', (all) => [...all, { ...(all[0] as Entry), name: 'other.example.org' }]],
    ]
    const entries = async () => (await Promise.all(kinds.map((kind) => entriesOf(api, kind)))).flat().map(withoutCA)
    // Once for all: between two of the changes everything may fail open for a moment.
    const before = await entries()
    for (const [what, change] of table) {
      for (const kind of kinds) {
        const changed = { webhooks: change(await entriesOf(api, kind)) }
        t.equal((await api.send('PATCH', pathOf(kind), changed)).status, 200, `${what} in ${kind}`)
        const isMended = async () => isDeepStrictEqual(await entries(), before)
        t.ok(await until(isMended), `${what} in ${kind} is undone`)
      }
    }
  })

  await t.test('certificates are rotated under load, and no request fails', async (t) => {
    const before = await webhookCounts(api)
    const stop = new AbortController()
    const { seen, stopped } = watchHandshakes(api, balancer.url, stop.signal)
    const load = new Load(api, 'rotation')
    const leaves = new Set<string>()
    const isDone = async () => {
      leaves.add(await storedLeaf(api))
      return seen.leaves.size >= 4
    }
    for (const deadline = Date.now() + 120_000; Date.now() < deadline && !(await isDone()); ) await sleep(200)
    await load.stop()
    stop.abort()
    await stopped
    const counts = increase(await webhookCounts(api), before)
    t.comment(`${figures(load.calls())}; ${seen.handshakes} other handshakes; ${JSON.stringify(counts)}`)
    t.ok(seen.leaves.size >= 4, `${seen.leaves.size} certificates were served, ${leaves.size} made`)
    t.strictSame(seen.failures.slice(0, 3), [], 'each was trusted')
    t.ok(load.calls().length > 300, 'there was load')
    t.strictSame(failuresOf(load.calls()), {}, 'no request fails')
    t.match(counts, { failedOpen: 0, failedClosed: 0 }, 'nor does one unnoticed')
    t.strictSame(load.breaches, [], 'nothing is admitted that must not be')
    await allIsWell(t, { cluster, api })
  })

  await t.test('configurations that were deleted stay away, until the chart makes them again', async (t) => {
    for (const kind of kinds) await api.send('DELETE', pathOf(kind))
    await sleep(3_000)
    for (const kind of kinds) t.equal((await api.send('GET', pathOf(kind))).status, 404)
    await applyShells(controlPlane)
    t.ok(await until(() => failsClosed(api)))
  })

  await t.test('replicas that were stopped for longer than a certificate lives recover', async (t) => {
    for (const { running } of instances) running.kill('SIGSTOP')
    const { validToDate } = new X509Certificate(await storedCertificate(api))
    while (new Date() <= validToDate) await sleep(500)
    for (const { running } of instances) running.kill('SIGCONT')
    t.ok(await until(async () => new X509Certificate(await storedCertificate(api)).validToDate > new Date()))
    // Everything fails open for a moment: were it made then, nobody would refuse what it has already.
    const refusal = async () => (await submit(cluster, ['apply', '--dry-run=server'], badService)).stderr
    t.ok(await until(async () => (await refusal()).includes('service-port-80')))
    t.ok(await until(() => failsClosed(api)))
  })

  await t.test('another replica goes on where the one that leads ends', async (t) => {
    const leader = async () => {
      const lease = JSON.parse(
        (await api.send('GET', '/apis/coordination.k8s.io/v1/namespaces/meshvip/leases/meshvip')).text,
      )
      return lease.spec.holderIdentity as string
    }
    const first = await leader()
    for (const instance of [a, b]) {
      instance.running.kill('SIGTERM')
      await instance.running.ended()
      if ((await leader()) !== first) break
      await instance.start()
      await balancer.until(instance, true)
    }
    t.ok(await until(async () => ![first, ''].includes(await leader())), 'another one leads')
    const was = await storedLeaf(api)
    t.ok(await until(async () => (await storedLeaf(api)) !== was), 'and renews the certificate')
  })
})
