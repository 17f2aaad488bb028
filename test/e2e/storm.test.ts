import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Test } from 'tap'
import { liveBackend } from '../../src/admission/backend.ts'
import { type KnownObject, kinds, parseObject } from '../../src/api/kinds.ts'
import { formatName, type NamespacedName } from '../../src/api/metadata.ts'
import { KubernetesClient } from '../../src/kubernetes/client.ts'
import { loadKubeConfig } from '../../src/kubernetes/config.ts'
import { ObjectStore } from '../../src/view/object-store.ts'
import type { ClusterView } from '../../src/view/view.ts'
import type { WatchedCluster, WatchedOptions } from '../../src/view/watched.ts'
import { advanceDate } from '../support/clock.ts'
import { findOrBuildBinaries } from '../testbed/binaries.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'
import { installIstioCrds } from '../testbed/istio-crds.ts'
import { startTcpProxy, type TcpProxy } from '../testbed/tcp-proxy.ts'
import { addressesOf, admits, type Cluster, makeNamespace, submit, testOnCluster, until } from './cluster.ts'
import {
  interfere,
  type Manifest,
  ports,
  rounds,
  route,
  service,
  serviceEntry,
  steadyObjects,
  Writer,
} from './storm.ts'

const clusterDomain = 'cluster.local'

type Questions = { namespaces: string[]; services: NamespacedName[]; hosts: string[]; addresses: string[] }

/** Every question that there is to these objects. */
const questionsTo = (objects: readonly KnownObject[]): Questions => {
  const sets = {
    namespaces: new Set<string>(),
    services: new Map(),
    hosts: new Set<string>(),
    addresses: new Set<string>(),
  }
  for (const known of objects) {
    if (known.kind === 'Namespace') sets.namespaces.add(known.object.name)
    if (known.kind === 'IPAddress') sets.addresses.add(known.object.name)
    if (known.kind === 'Service') {
      sets.services.set(formatName(known.object), { namespace: known.object.namespace, name: known.object.name })
      for (const address of known.object.externalIPs) sets.addresses.add(address)
    }
    if (known.kind === 'VirtualService' || known.kind === 'ServiceEntry') {
      for (const host of known.object.hosts) sets.hosts.add(host)
    }
    if (known.kind === 'DestinationRule')
      sets.hosts.add(`${known.object.host}.${known.object.namespace}.svc.${clusterDomain}`)
    if (known.kind === 'ServiceEntry') for (const address of known.object.addresses) sets.addresses.add(address)
  }
  return {
    namespaces: [...sets.namespaces],
    services: [...sets.services.values()],
    hosts: [...sets.hosts],
    addresses: [...sets.addresses],
  }
}

const byName = (objects: readonly NamespacedName[]) =>
  objects.toSorted((a, b) => formatName(a).localeCompare(formatName(b)))

/** All answers of a view, by question. */
const answersOf = (view: ClusterView, { namespaces, services, hosts, addresses }: Questions): Map<string, unknown> =>
  new Map<string, unknown>([
    ...namespaces.map((name) => [`Namespace ${name}`, view.namespace(name)] as const),
    ...services.map((name) => [`Service ${formatName(name)}`, view.service(name)] as const),
    ...services.map((name) => [`claims of ${formatName(name)}`, view.claimsOf(name).toSorted()] as const),
    ...hosts.map((host) => [`VirtualServices of ${host}`, byName(view.virtualServices(host))] as const),
    ...hosts.map((host) => [`VirtualServices to ${host}`, byName(view.virtualServicesTo(host))] as const),
    ...hosts.map((host) => [`DestinationRules of ${host}`, byName(view.destinationRules(host))] as const),
    ...hosts.map((host) => [`ServiceEntries of ${host}`, byName(view.serviceEntries(host))] as const),
    ...addresses.map(
      (address) =>
        [`holders of ${address}`, view.holders(address).toSorted((a, b) => a.text.localeCompare(b.text))] as const,
    ),
    ['Services', byName(view.servicesUnder('*'))] as const,
  ])

const viewedKinds = ['Namespace', 'Service', 'VirtualService', 'ServiceEntry', 'DestinationRule', 'IPAddress'] as const
type ViewedKind = (typeof viewedKinds)[number]

/** What the API server lists, read past everything that is under test. */
const freshList = async (cluster: Cluster) => {
  const client = new KubernetesClient(loadKubeConfig(cluster.kubeconfig))
  const store = new ObjectStore({ clusterDomain, unlistedNamespacesSelected: false })
  const objects: KnownObject[] = []
  const counts = {} as Record<ViewedKind, number>
  for (const kind of viewedKinds) {
    const labels = kind === 'IPAddress' ? { labels: 'ipaddress.kubernetes.io/managed-by=meshvip.dev' } : {}
    const listed = await client.list(kind, labels, AbortSignal.timeout(10_000))
    counts[kind] = listed.length
    for (const raw of listed) {
      const known = { kind, object: kinds[kind].parse(raw) } as KnownObject
      objects.push(known)
      store.put(known)
    }
  }
  return { store, objects, counts }
}

/** The kinds of what a view had to look for, since it was not in it. */
const misses = new WeakMap<WatchedCluster, string[]>()

/** Another view of the cluster, through the same proxy as that of the webhook. */
const observe = (t: Test, access: string): WatchedCluster => {
  const client = new KubernetesClient(loadKubeConfig(access))
  const missed: string[] = []
  const onRead: WatchedOptions['onRead'] = (kind, reason) => {
    if (reason === 'miss') missed.push(kind)
  }
  const { cluster } = liveBackend({ client, clusterDomain, onError: () => {}, onRead })
  misses.set(cluster, missed)
  const stop = new AbortController()
  const running = cluster.run(stop.signal)
  t.teardown(async () => {
    stop.abort()
    await running
  })
  return cluster
}

/** A gauge of the webhook's view, by kind. */
const gauge = async (cluster: Cluster, name: string): Promise<Record<string, number>> => {
  const text = await (await fetch(`${cluster.webhook.metricsURL}/metrics`)).text()
  const lines = text.matchAll(new RegExp(`^${name}\\{kind="(\\w+)"\\} (\\S+)$`, 'gm'))
  return Object.fromEntries([...lines].map(([, kind, value]) => [kind, Number(value)]))
}

const isCurrent = async (cluster: Cluster): Promise<boolean> =>
  Object.values(await gauge(cluster, 'meshvip_view_current')).every((current) => current === 1)

/** The questions to which a view that is watched answers something else than what is listed. */
const lies = async (view: WatchedCluster, listed: ClusterView, questions: Questions): Promise<object[]> => {
  if (!view.isCurrent) return [{ problem: 'it is not current' }]
  // What is there is in view; only what is not there may be looked for.
  const there = {
    ...questions,
    namespaces: questions.namespaces.filter((name) => listed.namespace(name) !== undefined),
    services: questions.services.filter((name) => listed.service(name) !== undefined),
  }
  const missed = misses.get(view) ?? []
  missed.length = 0
  await view.ask((view) => answersOf(view, there), AbortSignal.timeout(5_000))
  if (missed.length > 0) return [{ problem: 'it had to look for what is there', missed: [...missed] }]
  const expected = answersOf(listed, questions)
  const answers = await view.ask((view) => answersOf(view, questions), AbortSignal.timeout(5_000))
  return [...answers].flatMap(([question, answer]) => {
    const is = expected.get(question)
    return isDeepStrictEqual(answer, is) ? [] : [{ question, answer, is }]
  })
}

/**
 * Asserts that the webhook and these other views come to see what the API server lists, and nothing of what else there ever was.
 * Resolves to what is listed.
 */
const seesAll = async (
  t: Test,
  cluster: Cluster,
  views: readonly WatchedCluster[],
  touched: readonly KnownObject[] = [],
): Promise<readonly KnownObject[]> => {
  /** Listed anew each time: claims that nobody needs any more are collected meanwhile. */
  const look = async () => {
    const { store, objects, counts } = await freshList(cluster)
    const questions = questionsTo([...objects, ...touched])
    const wrong: object[] = (await Promise.all(views.map((view) => lies(view, store, questions)))).flat()
    const [current, sizes] = [await isCurrent(cluster), await gauge(cluster, 'meshvip_view_objects')]
    if (!current || !isDeepStrictEqual(sizes, counts)) wrong.push({ webhook: { current, sizes }, counts })
    return { objects, wrong }
  }
  let seen = await look()
  await until(async () => {
    seen = await look()
    return seen.wrong.length === 0
  })
  t.strictSame(seen.wrong.slice(0, 5), [], `the webhook and ${views.length} other views see what is listed`)
  return seen.objects
}

const stormMilliseconds = 30_000
const seed = 20_260_801

let proxy: TcpProxy
const files = { access: '', ca: '', token: '' }

/** Writes what the kubeconfig of the control plane holds to the files that the webhook's names. */
const handOver = async ({ kubeconfig }: Pick<ControlPlane, 'kubeconfig'>, what: 'ca' | 'token'): Promise<void> => {
  const { clusters, users } = JSON.parse(await readFile(kubeconfig, 'utf8'))
  const ca = Buffer.from(clusters[0].cluster['certificate-authority-data'], 'base64')
  await writeFile(files[what], what === 'token' ? users[0].user.token : ca)
}

/** A kubeconfig that leads through the proxy, and names files for what may be renewed. */
const throughProxy = async (controlPlane: ControlPlane): Promise<{ kubeconfig: string }> => {
  proxy = await startTcpProxy(Number(new URL(controlPlane.server).port))
  for (const name of ['access', 'ca', 'token'] as const) files[name] = join(controlPlane.dir, `webhook-${name}`)
  await handOver(controlPlane, 'ca')
  await handOver(controlPlane, 'token')
  const config = JSON.parse(await readFile(controlPlane.kubeconfig, 'utf8'))
  config.clusters[0].cluster = { server: `https://127.0.0.1:${proxy.port}`, 'certificate-authority': files.ca }
  config.users[0].user = { 'auth-provider': { name: 'tokenFile', config: { tokenFile: files.token } } }
  await writeFile(files.access, JSON.stringify(config))
  return { kubeconfig: files.access }
}

/** A virtual host, the VirtualService that routes it, and one that cannot. */
const pair = (name: string) => ({
  host: service('shop', name, { ports: ports(3111) }),
  right: route('shop', name, 3111, { host: 'read', port: 3222 }),
  wrong: route('shop', name, 9, { host: 'read', port: 3222 }),
})

const judgesAsEver = async (t: Test, cluster: Cluster, name: string): Promise<void> => {
  const { host, right, wrong } = pair(name)
  await admits(t, cluster, host, 'a new virtual host is admitted')
  t.equal((await addressesOf(cluster, 'shop', name)).length, 1, 'with an address')
  await admits(t, cluster, right, 'so is its VirtualService')
  t.match((await submit(cluster, ['apply'], wrong)).stderr, 'no host has port 9', 'and a wrong one is refused')
}

const isReady = async (cluster: Cluster): Promise<boolean> => (await fetch(`${cluster.webhook.metricsURL}/readyz`)).ok

await testOnCluster(
  'the view never lies',
  async (t, cluster) => {
    t.teardown(() => proxy.close())

    await t.test('in a storm of changes, while connections are cut and the API server is killed', async (t) => {
      const writer = new Writer(await readFile(cluster.kubeconfig, 'utf8'))
      t.teardown(() => writer.close())
      for (const index of [0, 1, 2, 3]) await makeNamespace(cluster, `storm-${index}`)
      for (const object of steadyObjects) await writer.must(object)

      const over = AbortSignal.timeout(stormMilliseconds)
      const calm = new AbortController()
      const interferences = interfere(proxy, seed, calm.signal)
      const writing = rounds.map(async (round) => {
        let n = 0
        try {
          while (!over.aborted) await round(writer, ++n)
        } catch (error) {
          writer.wrong.push(String(error))
        }
        return n
      })
      // Replicas start in the midst of it, and the API server is killed twice.
      const views = [observe(t, files.access)]
      for (let step = 1; step < 9; step++) {
        await sleep(stormMilliseconds / 9)
        if (step === 3 || step === 6) await cluster.restartApiServer()
        else views.push(observe(t, files.access))
      }
      const done = await Promise.all(writing)
      calm.abort()
      const relists = await gauge(cluster, 'meshvip_view_lists_total')
      t.comment(`seed ${seed}: ${done.reduce((sum, n) => sum + n)} rounds, ${JSON.stringify(writer.figures)}`)
      t.comment(`${await interferences} interferences, 2 restarts, lists of the webhook ${JSON.stringify(relists)}`)

      t.strictSame(writer.wrong, [], 'what is right was admitted, and what is wrong was refused')
      t.ok(writer.figures.denials > 10, 'much was refused')
      const unanswered = cluster.log.filter(({ webhook, verdict }) => webhook === 'mutate' && verdict === 'unavailable')
      const paths = unanswered.map(({ object }) => `/api/v1/namespaces/${String(object).replace('/', '/services/')}?`)
      t.strictSame(
        writer.unmutated.filter((path) => !paths.some((start) => path.startsWith(start))),
        [],
        'no address was missing but for a mutation that could not be answered',
      )
      const touched = writer.touched.flatMap((object: Manifest) => parseObject(object) ?? [])
      const objects = await seesAll(t, cluster, views, touched)

      const services = objects.flatMap(({ kind, object }) => (kind === 'Service' ? [object] : []))
      const hosts = services.filter(({ namespace, hasSelector }) => namespace.startsWith('storm-') && !hasSelector)
      t.ok(hosts.length > 4, 'there are virtual hosts')
      t.strictSame(
        hosts.filter(({ externalIPs }) => externalIPs.length !== 1),
        [],
        'each has one address',
      )
      const addresses = services.flatMap(({ externalIPs }) => externalIPs)
      t.equal(new Set(addresses).size, addresses.length, 'and none is had twice')
    })

    await makeNamespace(cluster, 'shop')
    await admits(t, cluster, service('shop', 'read', { selector: { app: 'a' }, ports: ports(3222) }), 'a destination')
    const before = observe(t, files.access)

    await t.test('what was applied a moment ago is known, however late its events come', async (t) => {
      const writer = new Writer(await readFile(cluster.kubeconfig, 'utf8'))
      t.teardown(() => writer.close())
      proxy.delay(40)
      for (let n = 0; n < 10; n++) {
        const namespace = `late-${n}`
        await makeNamespace(cluster, namespace)
        await writer.mustHaveAddress(service(namespace, 'host', { ports: ports(3111) }))
        await writer.mustNot(service(namespace, 'wrong', { ports: ports(80) }), 'service-port-80')
        await writer.must(service(namespace, 'read', { selector: { app: 'a' }, ports: ports(3222) }))
        await writer.must(route(namespace, 'host', 3111, { host: 'read', port: 3222 }))
      }
      proxy.delay(0)
      t.strictSame([writer.wrong, writer.figures.retries], [[], 0])
    })

    await t.test('while the API server stalls what it must be asked about is not admitted, nor refused', async (t) => {
      const { host, right, wrong } = pair('stalled')
      const taken = await addressesOf(cluster, 'storm-0', 'steady')
      const thief = service('shop', 'thief', { ports: ports(3111), externalIPs: taken })
      proxy.stall()
      const started = Date.now()
      const answers = await Promise.all(
        [host, right, wrong, thief].map(async (manifest) => ({
          manifest,
          answer: await submit(cluster, ['create'], manifest),
        })),
      )
      for (const { manifest, answer } of answers) {
        t.match(answer, { code: 1, stderr: 'failed calling webhook' }, `${manifest.kind} ${manifest.metadata.name}`)
      }
      t.ok(Date.now() - started < 20_000, 'in time')
      proxy.forward()

      t.ok(await until(() => isCurrent(cluster)), 'everything is in view')
      await judgesAsEver(t, cluster, 'stalled')
      t.match((await submit(cluster, ['create'], thief)).stderr, 'belongs to Service storm-0/steady')
      await seesAll(t, cluster, [before])
    })

    await t.test('where a CRD of Istio goes and comes back', async (t) => {
      const binaries = await findOrBuildBinaries(() => {})
      if ('missing' in binaries) throw new Error(binaries.missing)
      const entry = (name: string) => serviceEntry('shop', name, [`${name}.example.com`], 8080)
      const outwards = route('shop', 'absent', 3111, { host: 'bank.example.com', port: 8080 })
      await admits(t, cluster, entry('bank'), 'a ServiceEntry')

      await cluster.kubectl(['delete', 'crd', 'serviceentries.networking.istio.io'])
      const started = observe(t, files.access)
      const entries = async () => (await gauge(cluster, 'meshvip_view_objects')).ServiceEntry
      t.ok(await until(async () => (await entries()) === 0 && (await isCurrent(cluster))), 'none is in view')
      t.ok(await until(async () => started.isCurrent), 'nor in that of a replica that starts now')
      await judgesAsEver(t, cluster, 'absent')
      t.match((await submit(cluster, ['apply'], outwards)).stderr, 'no ServiceEntry has the host "bank.example.com"')
      await seesAll(t, cluster, [before, started])

      await installIstioCrds(binaries.istioCrds, cluster.kubectl)
      await admits(t, cluster, entry('bank'), 'it is back')
      await admits(t, cluster, outwards, 'and can be routed to at once')
      t.ok(await until(async () => (await entries()) === 1), 'it comes into view')
      await seesAll(t, cluster, [before, started])
      await admits(t, cluster, entry('more'), 'another one')
      await seesAll(t, cluster, [before, started])
    })

    await t.test('where the API server comes back with another CA', async (t) => {
      await cluster.restartApiServer('certificate')
      t.notOk(await isReady(cluster), 'nobody trusts it yet')
      await handOver(cluster, 'ca')
      t.ok(await until(() => isReady(cluster)), 'the file has the new one')
      await judgesAsEver(t, cluster, 'certified')
      await seesAll(t, cluster, [before])
    })

    await t.test('where the API server takes another token only', async (t) => {
      await cluster.restartApiServer('token')
      await handOver(cluster, 'token')
      t.notOk(await isReady(cluster), 'the old one is kept')
      advanceDate(t, 61_000)
      t.ok(await until(() => isReady(cluster)), 'a minute later the file is read anew')
      await judgesAsEver(t, cluster, 'trusted')
      await seesAll(t, cluster, [before])
    })
  },
  throughProxy,
)
